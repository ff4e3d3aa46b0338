"""Crops of a padded image."""

import tensorflow as tf

from keras_rescnet.arguments import check_integer
from keras_rescnet.augment.rows import images_and_rows
from keras_rescnet.mistake import Mistake, shorten


class RandomCrop:
    """Pads every side and cuts a window of the original size, anywhere.

    As torchvision's `RandomCrop(size, padding=padding, padding_mode=padding_mode)`. The two
    offsets of an image are uniform over 0, ..., 2 padding. The dtype is kept.

    Args:
        padding: Pixels added on every side.
        padding_mode: `"constant"`, which adds zeros, or `"reflect"`, which mirrors the image
            without repeating its border. Defaults to `"constant"`.

    Raises:
        Mistake: If `padding` is not a positive integer, or `padding_mode` is another; when called,
            if the batch or the seed is not as `Transform` describes it, or `"reflect"` is to add as
            many pixels as a side has.

    Example:

    >>> batch = {"images": np.ones((4, 32, 32, 3), "uint8"), "labels": np.eye(4)}
    >>> kr.augment.RandomCrop(padding=4)(batch, (0, 1))["images"].shape
    TensorShape([4, 32, 32, 3])
    """

    reach = 0
    padding_mode = "constant"

    def __init__(self, padding: int, padding_mode: str = "constant"):
        check_integer("padding", padding, 1)
        if padding_mode not in ("constant", "reflect"):
            raise Mistake(
                '`padding_mode` must be "constant" or "reflect". '
                f"Received: padding_mode={shorten(padding_mode)}."
            )
        self.padding = padding
        if padding_mode != self.padding_mode:  # else no attribute: it would change old digests
            self.padding_mode = padding_mode

    def __call__(self, batch, rows):
        """Returns the batch with every image shifted."""
        images, rows = images_and_rows(batch, rows)
        count, height, width, channels = images.shape
        pad = self.padding
        down, right = tf.unstack(rows.draw((2, count), 0, 2 * pad + 1, "int32", axis=1))
        padded = self._padded(images)
        strips = tf.gather(padded, down[:, None] + tf.range(height), batch_dims=1)
        by_offset = tf.dynamic_partition(tf.range(count), right, 2 * pad + 1)
        windows = [
            tf.gather(strips, members)[:, :, channels * offset : channels * (offset + width)]
            for offset, members in enumerate(by_offset)
        ]
        cropped = tf.dynamic_stitch(by_offset, windows)
        return {**batch, "images": tf.reshape(cropped, images.shape)}

    def _padded(self, images):
        """Returns padded images `(N, H + 2 padding, (W + 2 padding) C)`."""
        count, height, width, channels = images.shape
        pad = self.padding
        # Three axes, not four: TensorFlow pads and reverses those several times faster.
        flat = tf.reshape(images, (count, height, width * channels))
        if self.padding_mode == "constant":
            return tf.pad(flat, [[0, 0], [pad, pad], [pad * channels, pad * channels]])
        if pad >= min(height, width):
            raise Mistake(
                "`padding` by reflection must be smaller than the images. "
                f"Received: padding={pad}, images of shape {tuple(images.shape)}."
            )
        columns = [*range(pad, 0, -1), *range(width - 2, width - 2 - pad, -1)]
        parts = [flat[:, :, channels * x : channels * (x + 1)] for x in columns]
        wide = tf.concat([*parts[:pad], flat, *parts[pad:]], 2)
        return tf.pad(wide, [[0, 0], [pad, pad], [0, 0]], "REFLECT")
