"""Pictures with a square missing."""

import tensorflow as tf

from keras_rescnet.arguments import check_integer
from keras_rescnet.augment.random_erasing import fill_boxes
from keras_rescnet.augment.rows import images_and_rows


class Cutout:
    """Fills a square of every image with zeros.

    Its centre is uniform over the pixels, its half side `length // 2`, and what lies outside
    the image is cut off. The dtype is kept.

    Reference:
        DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with
        Cutout" (2017), which uses 16 for CIFAR-10, 8 for CIFAR-100 and 20 for SVHN.

    Args:
        length: Side of the square in pixels, at least 2.

    Raises:
        Mistake: If `length` is not an integer of at least 2; when called, if the batch or the seed
            is not as `Transform` describes it.

    Example:

    >>> batch = {"images": np.full((4, 32, 32, 3), 255, "uint8"), "labels": np.eye(4)}
    >>> cut = kr.augment.Cutout(length=8)(batch, (0, 1))["images"]
    >>> bool(np.sum(cut[0] == 0) <= 8 * 8 * 3)
    True
    """

    reach = 0

    def __init__(self, length: int):
        check_integer("length", length, 2)
        self.length = length

    def __call__(self, batch, rows):
        """Returns the batch with black squares."""
        images, rows = images_and_rows(batch, rows)
        count, height, width, _ = images.shape
        for_y, for_x = rows.split(2)
        y = for_y.draw((count,), 0, height, "int32")
        x = for_x.draw((count,), 0, width, "int32")
        half = self.length // 2
        boxes = (y - half, y + half, x - half, x + half)
        filled = fill_boxes(images, tf.range(count), boxes, [0.0])
        return {**batch, "images": filled}
