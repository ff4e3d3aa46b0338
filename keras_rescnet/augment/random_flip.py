"""Mirrored images."""

import tensorflow as tf

from keras_rescnet.augment.rows import draw
from keras_rescnet.mistake import Mistake


class RandomFlip:
    """Mirrors an image left to right with a given probability.

    Args:
        probability: Share of images that are mirrored. Defaults to 0.5.
    """

    reach = 0

    def __init__(self, probability=0.5):
        if not 0 <= probability <= 1:
            raise Mistake(
                f"`probability` must be in [0, 1]. Received: probability={probability!r}."
            )
        self.probability = probability

    def __call__(self, batch, seed):
        """Returns the batch with some images mirrored; the dtype is kept."""
        images = batch["images"]
        count, height, width, channels = images.shape
        # TensorFlow reverses the rows of a three-axis tensor several times faster.
        rows = tf.reshape(images, (count * height, width, channels))
        mirrored = tf.reshape(tf.reverse(rows, [1]), images.shape)
        flip = draw((count,), seed) < self.probability
        chosen = tf.range(count) + tf.where(flip, count, 0)
        return {**batch, "images": tf.gather(tf.concat([images, mirrored], 0), chosen)}
