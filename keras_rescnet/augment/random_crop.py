"""Crops of a padded image."""

import tensorflow as tf

from keras_rescnet.augment.arguments import check_integer
from keras_rescnet.augment.rows import images_and_rows


class RandomCrop:
    """Pads every side with zeros and cuts a window of the original size, anywhere.

    As torchvision's `RandomCrop(size, padding=padding)`. The two offsets of an image are
    uniform over 0, ..., 2 padding. The dtype is kept.

    Args:
        padding: Pixels added on every side.

    Example:

    >>> batch = {"images": np.ones((4, 32, 32, 3), "uint8"), "labels": np.eye(4)}
    >>> kr.augment.RandomCrop(padding=4)(batch, (0, 1))["images"].shape
    TensorShape([4, 32, 32, 3])
    """

    reach = 0

    def __init__(self, padding: int):
        check_integer("padding", padding, 1)
        self.padding = padding

    def __call__(self, batch, rows):
        """Returns the batch with every image shifted."""
        images, rows = images_and_rows(batch, rows)
        count, height, width, channels = images.shape
        pad = self.padding
        down, right = tf.unstack(rows.draw((2, count), 0, 2 * pad + 1, "int32", axis=1))
        # Three axes, not four: TensorFlow pads and reverses those several times faster.
        flat = tf.reshape(images, (count, height, width * channels))
        padded = tf.pad(flat, [[0, 0], [pad, pad], [pad * channels, pad * channels]])
        strips = tf.gather(padded, down[:, None] + tf.range(height), batch_dims=1)
        by_offset = tf.dynamic_partition(tf.range(count), right, 2 * pad + 1)
        windows = [
            tf.gather(strips, members)[:, :, channels * offset : channels * (offset + width)]
            for offset, members in enumerate(by_offset)
        ]
        cropped = tf.dynamic_stitch(by_offset, windows)
        return {**batch, "images": tf.reshape(cropped, images.shape)}
