"""One of several transforms."""

import keras
import tensorflow as tf

from keras_rescnet.augment.rows import reach
from keras_rescnet.mistake import Mistake


class RandomChoice:
    """Applies one of several transforms, the same one to the whole batch.

    All are equally likely. Returns float32 images.

    Args:
        transforms: Transforms of `keras_rescnet.augment`.
    """

    def __init__(self, transforms):
        transforms = list(transforms)
        layers = [type(t).__name__ for t in transforms if isinstance(t, keras.layers.Layer)]
        if not transforms or layers:
            raise Mistake(
                "`transforms` must be transforms of keras_rescnet.augment, at least one; Keras "
                f"layers draw from a state of their own. Received: {layers or transforms}."
            )
        self.transforms = transforms
        each = [reach([transform]) for transform in transforms]
        self.reach = None if None in each else max(each)

    def __call__(self, batch, seed):
        """Returns the batch as the drawn transform leaves it."""
        seeds = tf.random.split(seed, 2)
        count = len(self.transforms)
        choice = tf.random.stateless_uniform((), seeds[0], 0, count, "int32")

        def branch(transform):
            changed = transform(batch, seeds[1])
            return {key: tf.cast(values, "float32") for key, values in changed.items()}

        branches = [lambda transform=transform: branch(transform) for transform in self.transforms]
        return tf.switch_case(choice, branches)
