"""Crops of a padded image."""

import tensorflow as tf

from keras_rescnet.augment.rows import draw
from keras_rescnet.mistake import Mistake


class RandomCrop:
    """Pads every side with zeros and cuts a window of the original size, anywhere.

    As torchvision's `RandomCrop(size, padding=padding)`. The two offsets of an image are
    uniform over 0, ..., 2 padding.

    Args:
        padding: Pixels added on every side.
    """

    reach = 0

    def __init__(self, padding):
        if not isinstance(padding, int) or padding < 1:
            raise Mistake(f"`padding` must be a positive integer. Received: padding={padding!r}.")
        self.padding = padding

    def __call__(self, batch, seed):
        """Returns the batch with every image shifted; the dtype is kept."""
        images = batch["images"]
        count, height, width, channels = images.shape
        pad = self.padding
        offsets = draw((2, count), seed, 0, 2 * pad + 1, "int32", rows=1)
        down, right = tf.unstack(offsets)
        # Three axes, not four: TensorFlow pads and reverses those several times faster.
        flat = tf.reshape(images, (count, height, width * channels))
        padded = tf.pad(flat, [[0, 0], [pad, pad], [pad * channels, pad * channels]])
        rows = tf.gather(padded, down[:, None] + tf.range(height), batch_dims=1)
        by_offset = tf.dynamic_partition(tf.range(count), right, 2 * pad + 1)
        windows = [
            tf.gather(rows, members)[:, :, channels * offset : channels * (offset + width)]
            for offset, members in enumerate(by_offset)
        ]
        cropped = tf.dynamic_stitch(by_offset, windows)
        return {**batch, "images": tf.reshape(cropped, images.shape)}
