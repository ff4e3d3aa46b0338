"""Pictures with a square missing."""

import tensorflow as tf

from keras_rescnet.augment.random_erasing import fill_boxes
from keras_rescnet.augment.rows import draw
from keras_rescnet.mistake import Mistake


class Cutout:
    """Blackens a square of every image.

    Its centre is uniform over the pixels, its half side `length // 2`, and what lies outside
    the image is cut off. The dtype is kept.

    Reference:
        DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with
        Cutout" (2017), which uses 16 for CIFAR-10, 8 for CIFAR-100 and 20 for SVHN.

    Args:
        length: Side of the square in pixels.
    """

    reach = 0

    def __init__(self, length):
        if not isinstance(length, int) or length < 2:
            raise Mistake(f"`length` must be an integer, at least 2. Received: length={length!r}.")
        self.length = length

    def __call__(self, batch, seed):
        """Returns the batch with black squares."""
        images = batch["images"]
        count, height, width, _ = images.shape
        seeds = tf.random.split(seed, 2)
        y = draw((count,), seeds[0], 0, height, "int32")
        x = draw((count,), seeds[1], 0, width, "int32")
        half = self.length // 2
        filled = fill_boxes(images, tf.range(count), y - half, y + half, x - half, x + half, [0.0])
        return {**batch, "images": filled}
