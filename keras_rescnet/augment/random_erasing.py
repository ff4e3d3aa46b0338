"""Pictures with a rectangle missing."""

import math

import tensorflow as tf

from keras_rescnet.augment.rows import draw
from keras_rescnet.mistake import Mistake

ATTEMPTS = 10


class RandomErasing:
    """Overwrites a rectangle of some images with a constant.

    Area `a ~ U(scale) H W` and aspect `log(q) ~ U(log(ratio))` give a rectangle of
    `round(sqrt(a q))` rows and `round(sqrt(a / q))` columns, anywhere inside the image; what
    does not fit is drawn again, up to ten times, and then left out.

    Reference:
        Zhong et al., "Random Erasing Data Augmentation" (AAAI 2020), as torchvision's
        `RandomErasing` has it.

    Args:
        probability: Share of images that lose a rectangle. Defaults to 0.5.
        scale: Smallest and largest share of the image's area. Defaults to (0.02, 0.33).
        ratio: Smallest and largest height over width. Defaults to (0.3, 3.3).
        value: What it is filled with, one pixel value in [0, 255] or one for each channel.
            Defaults to 0. What is 0 after normalization is `[255 * m for m in dataset.mean]`:
            images are then float32, otherwise their dtype is kept.
    """

    reach = 0

    def __init__(self, probability=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0):
        if not 0 <= probability <= 1:
            raise Mistake(
                f"`probability` must be in [0, 1]. Received: probability={probability!r}."
            )
        if not 0 < scale[0] <= scale[1] <= 1:
            raise Mistake(f"`scale` must be two rising shares in (0, 1]. Received: {scale!r}.")
        if not 0 < ratio[0] <= ratio[1]:
            raise Mistake(f"`ratio` must be two rising positive numbers. Received: {ratio!r}.")
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        if not all(isinstance(v, (int, float)) and 0 <= v <= 255 for v in values):
            raise Mistake(f"`value` must be in [0, 255]. Received: value={value!r}.")
        self.probability = probability
        self.scale = scale
        self.ratio = ratio
        self.value = [float(v) for v in values]

    def __call__(self, batch, seed):
        """Returns the batch with rectangles filled in."""
        images = batch["images"]
        if not all(value.is_integer() for value in self.value):
            images = tf.cast(images, "float32")
        count, height, width, channels = images.shape
        if len(self.value) not in (1, channels):
            raise Mistake(
                f"RandomErasing needs one value or {channels}. Received: value={self.value}."
            )
        seeds = tf.random.split(seed, 5)
        chance = draw((count,), seeds[0])
        shape = (ATTEMPTS, count)
        area = draw(shape, seeds[1], *self.scale, rows=1) * (height * width)
        logs = draw(shape, seeds[2], *map(math.log, self.ratio), rows=1)
        rows = tf.cast(tf.round(tf.sqrt(area * tf.exp(logs))), "int32")
        columns = tf.cast(tf.round(tf.sqrt(area / tf.exp(logs))), "int32")
        fits = (rows < height) & (columns < width)
        first = tf.argmax(fits, axis=0, output_type="int32")  # the first that fits

        def drawn(candidates):
            return tf.gather(tf.transpose(candidates), first, batch_dims=1)

        rows, columns = drawn(rows), drawn(columns)
        chosen = tf.where((chance < self.probability) & drawn(fits))[:, 0]

        def start(free, seed):
            uniform = draw((count,), seed)
            return tf.cast(uniform * tf.cast(free + 1, "float32"), "int32")

        top, left = start(height - rows, seeds[3]), start(width - columns, seeds[4])
        boxes = (tf.gather(v, chosen) for v in (top, top + rows, left, left + columns))
        return {**batch, "images": fill_boxes(images, chosen, *boxes, self.value)}


def fill_boxes(images, chosen, top, bottom, left, right, value):
    """Fills one box in each of the `chosen` images.

    Args:
        images: `(n, H, W, C)`.
        chosen: int `(k,)`, rows of `images`.
        top: int32 `(k,)`, first row of each box.
        bottom: int32 `(k,)`, the row after its last.
        left: int32 `(k,)`, first column.
        right: int32 `(k,)`, the column after its last.
        value: List of one or C floats.
    """
    _, height, width, channels = images.shape
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
