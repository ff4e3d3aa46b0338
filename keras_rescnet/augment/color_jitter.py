"""Random brightness, contrast, saturation and hue."""

import tensorflow as tf

from keras_rescnet.arguments import check_number
from keras_rescnet.augment import pillow
from keras_rescnet.augment.apply import apply_chosen, check_colour
from keras_rescnet.augment.rows import images_and_rows
from keras_rescnet.augment.value_range import PIXELS, check_value_range, from_uint8, to_uint8
from keras_rescnet.mistake import Mistake


class ColorJitter:
    """Changes brightness, contrast, saturation and hue of every image, in random order.

    Factors are uniform over `[max(0, 1 - strength), 1 + strength]`, the hue's shift over
    `[-hue, hue]` of the colour circle; each image draws its own, and its own order. The first
    three are Pillow's, to the pixel. Returns uint8 images, or float32 in a `value_range` of its
    own.

    Reference:
        torchvision's `ColorJitter` on Pillow images.

    Args:
        brightness: Strength, not negative. Defaults to 0.
        contrast: Strength, not negative. Defaults to 0.
        saturation: Strength, not negative. Defaults to 0.
        hue: Largest shift, at most 0.5. Defaults to 0.
        value_range: Smallest and largest value of the images. Defaults to (0, 255), the range
            that `train_batches` works in.

    Raises:
        Mistake: If a strength is negative, all are 0, `hue` is above 0.5, or `value_range` is not
            two rising numbers; when called, if the batch or the seed is not as `Transform`
            describes it, images do not have 3 channels, or they are evidently not in `value_range`.

    Example:

    >>> jitter = kr.augment.ColorJitter(brightness=0.4, value_range=(0, 1))
    >>> batch = {"images": np.full((4, 8, 8, 3), 0.5), "labels": np.eye(4)}
    >>> brightness = np.ptp(jitter(batch, (0, 1))["images"], axis=(1, 2, 3))
    >>> brightness.tolist()  # flat images stay flat
    [0.0, 0.0, 0.0, 0.0]
    """

    reach = 0

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        value_range: tuple[float, float] = PIXELS,
    ):
        check_number("brightness", brightness, 0)
        check_number("contrast", contrast, 0)
        check_number("saturation", saturation, 0)
        check_number("hue", hue, 0, 0.5)
        ranges = [
            (pillow.brightness, 1 - brightness, 1 + brightness),
            (pillow.contrast, 1 - contrast, 1 + contrast),
            (pillow.color, 1 - saturation, 1 + saturation),
            (shift_hue, -hue, hue),
        ]
        self.value_range = check_value_range(value_range)
        self._ranges = [row for row in ranges if row[1] < row[2]]
        if not self._ranges:
            raise Mistake("ColorJitter must change something. Received: all strengths are 0.")

    def __call__(self, batch, rows):
        """Returns the batch with its colours changed."""
        images, rows = images_and_rows(batch, rows)
        check_colour(images, "ColorJitter")
        images = to_uint8(images, self.value_range, "ColorJitter", rows)
        count, steps = images.shape[0], len(self._ranges)
        for_order, for_factors = rows.split(2)
        order = tf.argsort(for_order.draw((count, steps)))
        chance = for_factors.draw((count, steps), dtype="float64")
        low = tf.constant(
            [low if f is shift_hue else max(low, 0) for f, low, _ in self._ranges], "float64"
        )
        high = tf.constant([high for _, _, high in self._ranges], "float64")
        factors = low + chance * (high - low)
        operations = [(operation, True) for operation, _, _ in self._ranges]
        for step in range(steps):
            choice = order[:, step]
            magnitudes = tf.gather(factors, choice, batch_dims=1)
            images = apply_chosen(images, operations, choice, magnitudes)
        return {**batch, "images": from_uint8(images, self.value_range)}


def shift_hue(images, shift):
    """Turns every colour by `shift`, `(n,)`, of the colour circle; uint8 in and out."""
    hue, saturation, value = tf.unstack(
        tf.image.rgb_to_hsv(tf.cast(images, "float32") / 255), axis=-1
    )
    hue = tf.math.floormod(hue + tf.cast(shift, "float32")[:, None, None], 1.0)
    shifted = tf.image.hsv_to_rgb(tf.stack([hue, saturation, value], axis=-1))
    return tf.cast(tf.clip_by_value(tf.round(shifted * 255), 0, 255), "uint8")
