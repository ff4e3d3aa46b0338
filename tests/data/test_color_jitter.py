"""ColorJitter and its hue."""

import numpy as np
import tensorflow as tf

from keras_rescnet import augment
from keras_rescnet.augment.color_jitter import shift_hue
from support.augmenting import run


def test_color_jitter_draws_factors_and_order():
    """Brightness and contrast of a picture of two greys give away both factors and the order."""
    picture = np.full((4, 4, 3), 40, "uint8")
    picture[:2] = 80
    images = np.repeat(picture[None], 10_000, axis=0)
    transform = augment.ColorJitter(brightness=0.5)
    found = run(transform, images, np.zeros((10_000, 1)))["images"]
    factors = found[:, 0, 0, 0] / 80
    assert 0.48 < factors.min() < 0.51 and 1.48 < factors.max() <= 1.5
    assert abs(factors.mean() - 1 + 0.5 / 80) < 0.012
    both = augment.ColorJitter(brightness=1.0, contrast=(1.0))
    found = run(both, images, np.zeros((10_000, 1)))["images"].astype(int)
    # Contrast last: around the mean grey of the brightened picture. Brightness last: a multiple.
    assert len(np.unique(found[:, 0, 0, 0])) > 150


def test_hue_goes_round_the_circle():
    red = np.zeros((1, 2, 2, 3), "uint8")
    red[..., 0] = 200
    for shift, channel in ((1 / 3, 1), (-1 / 3, 2), (1.0, 0), (0.0, 0)):
        shifted = shift_hue(tf.constant(red), tf.constant([shift], "float64")).numpy()
        expected = np.zeros((1, 2, 2, 3))
        expected[..., channel] = 200
        np.testing.assert_allclose(shifted, expected, atol=1)
