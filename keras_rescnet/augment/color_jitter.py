"""Random brightness, contrast, saturation and hue."""

import tensorflow as tf

from keras_rescnet.augment import pillow
from keras_rescnet.augment.apply import apply_chosen, as_uint8
from keras_rescnet.augment.rows import draw
from keras_rescnet.mistake import Mistake


class ColorJitter:
    """Changes brightness, contrast, saturation and hue of every image, in random order.

    Factors are uniform over `[max(0, 1 - strength), 1 + strength]`, the hue's shift over
    `[-hue, hue]` of the colour circle; each image draws its own, and its own order. The first
    three are Pillow's, to the pixel. Returns uint8 images.

    Reference:
        torchvision's `ColorJitter` on Pillow images.

    Args:
        brightness: Strength, not negative. Defaults to 0.
        contrast: Strength, not negative. Defaults to 0.
        saturation: Strength, not negative. Defaults to 0.
        hue: Largest shift, at most 0.5. Defaults to 0.
    """

    reach = 0

    def __init__(self, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0):
        strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, strength in strengths.items():
            if not strength >= 0:
                raise Mistake(f"`{name}` must not be negative. Received: {name}={strength!r}.")
        if not 0 <= hue <= 0.5:
            raise Mistake(f"`hue` must be in [0, 0.5]. Received: hue={hue!r}.")
        ranges = [
            (pillow.brightness, 1 - brightness, 1 + brightness),
            (pillow.contrast, 1 - contrast, 1 + contrast),
            (pillow.color, 1 - saturation, 1 + saturation),
            (shift_hue, -hue, hue),
        ]
        self._ranges = [row for row in ranges if row[1] < row[2]]
        if not self._ranges:
            raise Mistake("ColorJitter must change something. Received: all strengths are 0.")

    def __call__(self, batch, seed):
        """Returns the batch with its colours changed."""
        images = as_uint8(batch["images"])
        count, steps = images.shape[0], len(self._ranges)
        seeds = tf.random.split(seed, 2)
        order = tf.argsort(draw((count, steps), seeds[0]))
        chance = draw((count, steps), seeds[1], dtype="float64")
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
        return {**batch, "images": images}


def shift_hue(images, shift):
    """Turns every colour by `shift`, `(n,)`, of the colour circle; uint8 in and out."""
    hue, saturation, value = tf.unstack(
        tf.image.rgb_to_hsv(tf.cast(images, "float32") / 255), axis=-1
    )
    hue = tf.math.floormod(hue + tf.cast(shift, "float32")[:, None, None], 1.0)
    shifted = tf.image.hsv_to_rgb(tf.stack([hue, saturation, value], axis=-1))
    return tf.cast(tf.clip_by_value(tf.round(shifted * 255), 0, 255), "uint8")
