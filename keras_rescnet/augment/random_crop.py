"""Crops of a padded image."""

import tensorflow as tf


class RandomCrop:
    """Pads every side with zeros and cuts a window of the original size, anywhere.

    As torchvision's `RandomCrop(size, padding=padding)`. The two offsets of an image are
    uniform over 0, ..., 2 padding.

    Args:
        padding: Pixels added on every side.
    """

    def __init__(self, padding):
        if not isinstance(padding, int) or padding < 1:
            raise ValueError(
                f"`padding` must be a positive integer. Received: padding={padding!r}."
            )
        self.padding = padding

    def __call__(self, batch, seed):
        """Returns the batch with every image shifted; the dtype is kept."""
        images = batch["images"]
        count, height, width = images.shape[:3]
        pad = self.padding
        offsets = tf.random.stateless_uniform((2, count, 1), seed, 0, 2 * pad + 1, "int32")
        padded = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        rows = tf.gather(padded, offsets[0] + tf.range(height), batch_dims=1)
        flat = tf.reshape(rows, (count * height, width + 2 * pad, -1))
        columns = tf.repeat(offsets[1] + tf.range(width), height, axis=0)
        cropped = tf.gather(flat, columns, batch_dims=1)
        return {**batch, "images": tf.reshape(cropped, images.shape)}
