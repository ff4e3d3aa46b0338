"""Random sequences of operations of one strength."""

import numpy as np
import tensorflow as tf

from keras_rescnet.arguments import check_integer
from keras_rescnet.augment import pillow
from keras_rescnet.augment.apply import apply_chosen, check_colour
from keras_rescnet.augment.rows import images_and_rows
from keras_rescnet.augment.value_range import PIXELS, check_value_range, from_uint8, to_uint8

BINS = 31  # magnitudes from 0 to 30, as torchvision counts them


class RandAugment:
    """A few operations per image, drawn from fourteen, all of one strength.

    Each image draws its own operations, with replacement, one of which is to do nothing.
    Shear reaches 0.3, translation 150/331 of the image, rotation 30 degrees, the four
    enhancements 1 +- 0.9, posterizing 4 bits and solarizing 0, at magnitude 30; signs are
    random. The operations are Pillow's, to the pixel. Returns uint8 images, or float32 in a
    `value_range` of its own.

    Reference:
        Cubuk et al., "RandAugment" (2020); space and bins as torchvision's `RandAugment`.

    Args:
        operations: Operations per image. Defaults to 2.
        magnitude: Strength, from 0 to 30. Defaults to 9.
        value_range: Smallest and largest value of the images. Defaults to (0, 255), the range
            that `train_batches` works in.

    Raises:
        Mistake: If `operations` is not a positive integer, `magnitude` is not an integer from 0 to
            30, or `value_range` is not two rising numbers; when called, if the batch or the seed is
            not as `Transform` describes it, images do not have 3 channels, or they are evidently
            not in `value_range`.

    Example:

    >>> images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    >>> batch = {"images": images, "labels": np.eye(4)}
    >>> changed = kr.augment.RandAugment(operations=2, magnitude=9)(batch, (0, 1))["images"]
    >>> changed.shape, changed.dtype.name
    (TensorShape([4, 32, 32, 3]), 'uint8')
    """

    reach = 0

    def __init__(
        self,
        operations: int = 2,
        magnitude: int = 9,
        value_range: tuple[float, float] = PIXELS,
    ):
        check_integer("operations", operations, 1)
        check_integer("magnitude", magnitude, 0, BINS - 1)
        self.operations = operations
        self.magnitude = magnitude
        self.value_range = check_value_range(value_range)
        share = magnitude / (BINS - 1)
        signs = np.array([-1.0, 1.0])
        enhancement = 1 + 0.9 * share * signs
        # What each operation is given, for a negative and a positive sign.
        self._magnitudes = {
            pillow.shear_x: 0.3 * share * signs,
            pillow.shear_y: 0.3 * share * signs,
            pillow.translate_x: 150 / 331 * share * signs,
            pillow.translate_y: 150 / 331 * share * signs,
            pillow.rotate: 30 * share * signs,
            pillow.brightness: enhancement,
            pillow.color: enhancement,
            pillow.contrast: enhancement,
            pillow.sharpness: enhancement,
            pillow.posterize: np.full(2, 8 - round(4 * share)),
            pillow.solarize: np.full(2, 255 * (1 - share)),
            pillow.autocontrast: None,
            pillow.equalize: None,
        }

    def __call__(self, batch, rows):
        """Returns the batch with its images changed."""
        images, rows = images_and_rows(batch, rows)
        check_colour(images, "RandAugment")
        images = to_uint8(images, self.value_range, "RandAugment", rows)
        shape = (self.operations, images.shape[0])
        for_operations, for_signs = rows.split(2)
        operations = [(f, values is not None) for f, values in self._magnitudes.items()]
        table = [[0.0, 0.0] if values is None else values for values in self._magnitudes.values()]
        table = tf.constant(np.array([*table, [0.0, 0.0]]), "float64")
        choices = for_operations.draw(shape, 0, len(operations) + 1, "int32", axis=1)
        signs = for_signs.draw(shape, 0, 2, "int32", axis=1)
        for choice, sign in zip(tf.unstack(choices), tf.unstack(signs), strict=True):
            magnitudes = tf.gather_nd(table, tf.stack([choice, sign], axis=1))
            images = apply_chosen(images, operations, choice, magnitudes)
        return {**batch, "images": from_uint8(images, self.value_range)}
