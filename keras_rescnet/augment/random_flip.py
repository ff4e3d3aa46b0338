"""Mirrored images."""

import tensorflow as tf

from keras_rescnet.arguments import check_number
from keras_rescnet.augment.rows import images_and_rows


class RandomFlip:
    """Mirrors an image left to right with a given probability. The dtype is kept.

    Args:
        probability: Share of images that are mirrored. Defaults to 0.5.

    Raises:
        Mistake: If `probability` is not in [0, 1]; when called, if the batch or the seed is not as
            `Transform` describes it.

    Example:

    >>> images = np.arange(4 * 2 * 3 * 1).reshape(4, 2, 3, 1)
    >>> flip = kr.augment.RandomFlip(probability=1.0)
    >>> flip({"images": images, "labels": np.eye(4)}, (0, 1))["images"][0, :, :, 0].numpy()
    array([[2, 1, 0],
           [5, 4, 3]])
    """

    reach = 0

    def __init__(self, probability: float = 0.5):
        check_number("probability", probability, 0, 1)
        self.probability = probability

    def __call__(self, batch, rows):
        """Returns the batch with some images mirrored."""
        images, rows = images_and_rows(batch, rows)
        flip = rows.draw((images.shape[0],)) < self.probability
        return {**batch, "images": flipped(images, flip)}


def flipped(images, flip):
    """Returns images of which those are mirrored left to right for which `flip`, `(N,)`, holds."""
    count, height, width, channels = images.shape
    # TensorFlow reverses the rows of a three-axis tensor several times faster.
    lines = tf.reshape(images, (count * height, width, channels))
    mirrored = tf.reshape(tf.reverse(lines, [1]), images.shape)
    chosen = tf.range(count) + tf.where(flip, count, 0)
    return tf.gather(tf.concat([images, mirrored], 0), chosen)
