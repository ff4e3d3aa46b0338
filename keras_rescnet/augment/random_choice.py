"""One of several transforms."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_rescnet.augment.rows import call, images_and_rows, total_reach
from keras_rescnet.mistake import Mistake


class RandomChoice:
    """Applies one of several transforms, the same one to the whole batch.

    All are equally likely. Returns float32 images and labels.

    Args:
        transforms: List of transforms: those of `keras_rescnet.augment` or functions of a batch
            and a seed.

    Raises:
        Mistake: If `transforms` is not a list of at least one transform; Keras layers and classes
            are none. When called, if the batch or the seed is not as `Transform` describes it.

    Example:

    >>> choice = kr.augment.RandomChoice([kr.augment.MixUp(), kr.augment.CutMix()])
    >>> batch = {"images": np.zeros((2, 8, 8, 3), "uint8"), "labels": np.eye(2)}
    >>> choice(batch, (0, 1))["images"].dtype.name
    'float32'
    """

    def __init__(self, transforms: Sequence[Callable]):
        is_list = isinstance(transforms, list | tuple)
        others = [t for t in transforms if not _is_transform(t)] if is_list else [transforms]
        if not transforms or others:
            received = [type(transform).__name__ for transform in others]
            raise Mistake(
                "`transforms` must be a list of transforms of keras_rescnet.augment, at least one; "
                "Keras layers draw from a state of their own. "
                f"Received: {received if is_list else received[0]}."
            )
        self.transforms = list(transforms)
        each = [total_reach([transform]) for transform in transforms]
        known = [reach for reach in each if reach is not None]
        self.reach = max(known) if len(known) == len(each) else None

    def __call__(self, batch, rows):
        """Returns the batch as the drawn transform leaves it."""
        _, rows = images_and_rows(batch, rows)
        for_choice, for_transform = rows.split(2)
        count = len(self.transforms)
        choice = tf.random.stateless_uniform((), for_choice.seed, 0, count, "int32")

        def branch(transform):
            changed = call(transform, batch, for_transform)
            alike = {key: tf.cast(changed[key], "float32") for key in _ALIKE if key in changed}
            return {**changed, **alike}

        branches = [lambda transform=transform: branch(transform) for transform in self.transforms]
        return tf.switch_case(choice, branches)


# What some transforms return as floats and some as they are given; branches must not differ
_ALIKE = ("images", "labels")


def _is_transform(value):
    return callable(value) and not isinstance(value, keras.layers.Layer | type)
