"""Random sequences of operations of one strength."""

import numpy as np
import tensorflow as tf

from keras_rescnet.augment import pillow
from keras_rescnet.augment.apply import apply_chosen, as_uint8
from keras_rescnet.augment.rows import draw
from keras_rescnet.mistake import Mistake

BINS = 31


class RandAugment:
    """A few operations a picture, drawn from fourteen, all of one strength.

    Each image draws its own operations, with replacement, one of which is to do nothing.
    Shear reaches 0.3, translation 150/331 of the image, rotation 30 degrees, the four
    enhancements 1 +- 0.9, posterizing 4 bits and solarizing 0, at magnitude 30; signs are
    random. The operations are Pillow's, to the pixel. Returns uint8 images.

    Reference:
        Cubuk et al., "RandAugment" (2020); space and bins as torchvision's `RandAugment`.

    Args:
        operations: Operations per image. Defaults to 2.
        magnitude: Strength, from 0 to 30. Defaults to 9.
    """

    reach = 0

    def __init__(self, operations=2, magnitude=9):
        if not isinstance(operations, int) or operations < 1:
            raise Mistake(
                f"`operations` must be a positive integer. Received: operations={operations!r}."
            )
        if not isinstance(magnitude, int) or not 0 <= magnitude < BINS:
            raise Mistake(
                f"`magnitude` must be an integer from 0 to {BINS - 1}. "
                f"Received: magnitude={magnitude!r}."
            )
        self.operations = operations
        self.magnitude = magnitude
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

    def __call__(self, batch, seed):
        """Returns the batch with its images changed."""
        images = as_uint8(batch["images"])
        shape = (self.operations, images.shape[0])
        seeds = tf.random.split(seed, 2)
        operations = [(f, values is not None) for f, values in self._magnitudes.items()]
        table = [[0.0, 0.0] if values is None else values for values in self._magnitudes.values()]
        table = tf.constant(np.array([*table, [0.0, 0.0]]), "float64")
        choices = draw(shape, seeds[0], 0, len(operations) + 1, "int32", rows=1)
        signs = draw(shape, seeds[1], 0, 2, "int32", rows=1)
        for choice, sign in zip(tf.unstack(choices), tf.unstack(signs), strict=True):
            magnitudes = tf.gather_nd(table, tf.stack([choice, sign], axis=1))
            images = apply_chosen(images, operations, choice, magnitudes)
        return {**batch, "images": images}
