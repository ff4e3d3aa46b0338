"""ColorJitter and its hue."""

import numpy as np
import tensorflow as tf

from keras_rescnet import augment
from keras_rescnet.augment.color_jitter import shift_hue
from support.augmenting import run


def test_color_jitter_draws_factors():
    picture = np.full((4, 4, 3), 40, "uint8")
    picture[:2] = 80
    images = np.repeat(picture[None], 10_000, axis=0)
    transform = augment.ColorJitter(brightness=0.5)
    found = run(transform, images, np.zeros((10_000, 1)))["images"]
    factors = found[:, 0, 0, 0] / 80
    assert 0.48 < factors.min() < 0.51 and 1.48 < factors.max() <= 1.5
    assert abs(factors.mean() - 1 + 0.5 / 80) < 0.012


def test_color_jitter_draws_the_order():
    """Half of the images are brightened first.

    Of a picture of two greys, 255 and 100, both become 255 only if contrast comes first: a low
    contrast lifts the dark grey to 177.5 - 77.5 c, of which brightness b makes 255 if it is at
    least 255 / (177.5 - 77.5 c). Brightened first, 100 would need b = 2.55, above 2.
    """
    picture = np.full((4, 4, 3), 100, "uint8")
    picture[:2] = 255
    images = np.repeat(picture[None], 10_000, axis=0)
    both = augment.ColorJitter(brightness=1.0, contrast=1.0)
    found = run(both, images, np.zeros((10_000, 1)))["images"]
    white = np.mean(np.all(found == 255, axis=(1, 2, 3)))
    most = (177.5 - 127.5) / 77.5  # contrast of which b = 2 makes white: c and b are uniform
    contrast_first = (most - 127.5 / 77.5 * np.log(177.5 / 127.5)) / 2
    deviation = np.sqrt(contrast_first / 2 / 10_000)
    assert abs(white - contrast_first / 2) < 4 * deviation


def test_hue_goes_round_the_circle():
    red = np.zeros((1, 2, 2, 3), "uint8")
    red[..., 0] = 200
    for shift, channel in ((1 / 3, 1), (-1 / 3, 2), (1.0, 0), (0.0, 0)):
        shifted = shift_hue(tf.constant(red), tf.constant([shift], "float64")).numpy()
        expected = np.zeros((1, 2, 2, 3))
        expected[..., channel] = 200
        np.testing.assert_allclose(shifted, expected, atol=1)
