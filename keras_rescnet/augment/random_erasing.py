"""Pictures with a rectangle missing."""

import math
from collections.abc import Sequence

import tensorflow as tf

from keras_rescnet.arguments import check_number, is_number
from keras_rescnet.augment.boxes import ATTEMPTS, check_box
from keras_rescnet.augment.rows import images_and_rows
from keras_rescnet.augment.value_range import PIXELS, check_pixels, check_value_range
from keras_rescnet.mistake import Mistake, shorten


class RandomErasing:
    """Overwrites a rectangle of some images with a constant.

    Area `a ~ U(scale) H W` and aspect `log(q) ~ U(log(ratio))` give a rectangle of
    `round(sqrt(a q))` rows and `round(sqrt(a / q))` columns, anywhere inside the image; what
    does not fit is drawn again, up to ten times, and then left out. The dtype is kept unless a
    value is no integer; then images are float32.

    Reference:
        Zhong et al., "Random Erasing Data Augmentation" (AAAI 2020), as torchvision's
        `RandomErasing` has it.

    Args:
        probability: Share of images that lose a rectangle. Defaults to 0.5.
        scale: Smallest and largest share of the image's area. Defaults to (0.02, 0.33).
        ratio: Smallest and largest height over width. Defaults to (0.3, 3.3).
        value: What it is filled with, a number in `value_range` or one per channel. Defaults to
            0. What is 0 after normalization is `[255 * m for m in dataset.mean]`.
        value_range: Smallest and largest value of the images. Defaults to (0, 255), the range
            that `train_batches` works in.

    Raises:
        Mistake: If `probability`, `scale`, `ratio`, `value` or `value_range` is out of its range;
            when called, if the batch or the seed is not as `Transform` describes it, `value` is
            neither one number nor one per channel, or it is not 0 and images are evidently not in
            [0, 255], where that is their `value_range`.

    Example:

    >>> erase = kr.augment.RandomErasing(probability=1.0, value=128)
    >>> batch = {"images": np.zeros((4, 32, 32, 3), "uint8"), "labels": np.eye(4)}
    >>> np.max(erase(batch, (0, 1))["images"], axis=(1, 2, 3)).tolist()
    [128, 128, 128, 128]
    """

    reach = 0

    def __init__(
        self,
        probability: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float | Sequence[float] = 0,
        value_range: tuple[float, float] = PIXELS,
    ):
        check_number("probability", probability, 0, 1)
        check_box(scale, ratio)
        low, high = self.value_range = check_value_range(value_range)
        values: Sequence = value if isinstance(value, list | tuple) else [value]
        if not values or not all(is_number(v) and low <= v <= high for v in values):
            raise Mistake(f"`value` must be in [{low}, {high}]. Received: value={shorten(value)}.")
        self.probability = probability
        self.scale = scale
        self.ratio = ratio
        self.value = [float(v) for v in values]

    def __call__(self, batch, rows):
        """Returns the batch with rectangles filled in."""
        images, rows = images_and_rows(batch, rows)
        count, height, width, channels = images.shape
        if len(self.value) not in (1, channels):
            raise Mistake(
                f"RandomErasing needs one value or {channels}. Received: value={self.value}."
            )
        if any(self.value) and self.value_range == PIXELS:
            images = check_pixels(images, "RandomErasing", rows)
        if not all(value.is_integer() for value in self.value):
            images = tf.cast(images, "float32")
        for_chance, for_area, for_aspect, for_top, for_left = rows.split(5)
        chance = for_chance.draw((count,))
        shape = (ATTEMPTS, count)
        area = for_area.draw(shape, *self.scale, axis=1) * (height * width)
        logs = for_aspect.draw(shape, *map(math.log, self.ratio), axis=1)
        heights = tf.cast(tf.round(tf.sqrt(area * tf.exp(logs))), "int32")
        widths = tf.cast(tf.round(tf.sqrt(area / tf.exp(logs))), "int32")
        fits = (heights < height) & (widths < width)
        first = tf.argmax(fits, axis=0, output_type="int32")  # the first that fits

        def drawn(candidates):
            return tf.gather(tf.transpose(candidates), first, batch_dims=1)

        heights, widths = drawn(heights), drawn(widths)
        chosen = tf.where((chance < self.probability) & drawn(fits))[:, 0]

        def start(free, rows):
            return tf.cast(rows.draw((count,)) * tf.cast(free + 1, "float32"), "int32")

        top, left = start(height - heights, for_top), start(width - widths, for_left)
        boxes = [tf.gather(v, chosen) for v in (top, top + heights, left, left + widths)]
        return {**batch, "images": fill_boxes(images, chosen, boxes, self.value)}


def fill_boxes(images, chosen, boxes, value):
    """Fills one box in each of the `chosen` images.

    Args:
        images: `(n, H, W, C)`.
        chosen: int `(k,)`, positions in `images`.
        boxes: Four of int32 `(k,)`: first row of each box, row after its last, first column,
            column after its last.
        value: List of one or C floats.
    """
    _, height, width, channels = images.shape
    top, bottom, left, right = boxes
    row = tf.range(height)
    column = tf.range(width * channels) // channels
    in_rows = (row >= top[:, None]) & (row < bottom[:, None])  # (k, H)
    in_columns = (column >= left[:, None]) & (column < right[:, None])  # (k, W C)
    # Products of 0 and 1 in three axes: much faster than a broadcast tf.where in four.
    box = tf.cast(in_rows, images.dtype)[:, :, None] * tf.cast(in_columns, images.dtype)[:, None]
    whole = tf.reshape(tf.gather(images, chosen), tf.shape(box))
    filling = tf.cast(tf.constant(value * (width * channels // len(value))), images.dtype)
    filled = tf.reshape(whole * (1 - box) + box * filling, (-1, height, width, channels))
    return tf.tensor_scatter_nd_update(images, chosen[:, None], filled)
