"""Corruptions against SciPy, Pillow and numpy."""

import io
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_rescnet as kr
from keras_rescnet import corruptions
from keras_rescnet.ensemble.scores import CorruptedExamples

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), "uint8")
SEED = (0, 1)


@pytest.mark.parametrize(("severity", "sigma"), list(enumerate((0.4, 0.6, 0.7, 0.8, 1.0), 1)))
def test_the_blur_is_that_of_scipy(severity, sigma):
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    expected = ndimage.gaussian_filter(
        PICTURE / 255.0, (sigma, sigma, 0), mode="nearest", truncate=4.0
    )
    found = np.asarray(corruptions.gaussian_blur(PICTURE, severity), int)
    assert np.abs(found - (255 * expected).astype("uint8")).max() <= 1
    assert np.mean(found == (255 * expected).astype("uint8")) > 0.99


@pytest.mark.parametrize(("severity", "share"), list(enumerate((0.95, 0.9, 0.85, 0.75, 0.65), 1)))
def test_pixelation_is_that_of_pillow(severity, share):
    size = int(32 * share)
    picture = Image.fromarray(PICTURE).resize((size, size), Image.Resampling.BOX)
    expected = np.asarray(picture.resize((32, 32), Image.Resampling.BOX), int)
    found = np.asarray(corruptions.pixelate(PICTURE, severity), int)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("severity", "quality"), list(enumerate((80, 65, 58, 50, 40), 1)))
def test_jpeg_has_the_quality_of_pillow(severity, quality):
    buffer = io.BytesIO()
    smooth = np.asarray(corruptions.gaussian_blur(PICTURE, 5))
    Image.fromarray(smooth).save(buffer, "JPEG", quality=quality)
    expected = np.asarray(Image.open(buffer), int)
    found = np.asarray(corruptions.jpeg_compression(smooth, severity), int)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize(("severity", "more"), list(enumerate((0.05, 0.1, 0.15, 0.2, 0.3), 1)))
def test_brightness_adds_to_the_value_of_hsv(severity, more):
    hsv = np.array(tf.image.rgb_to_hsv(tf.cast(PICTURE, "float64") / 255))
    hsv[..., 2] = np.clip(hsv[..., 2] + more, 0, 1)
    expected = 255 * np.asarray(tf.image.hsv_to_rgb(hsv))
    found = np.asarray(corruptions.brightness(PICTURE, severity))
    assert np.abs(found - expected).max() <= 1.001
    black = corruptions.brightness(np.zeros((2, 2, 3), "uint8"), severity)
    np.testing.assert_array_equal(black, int(255 * more + 1e-3))


@pytest.mark.parametrize(("severity", "share"), list(enumerate((0.75, 0.5, 0.4, 0.3, 0.15), 1)))
def test_contrast_is_that_of_numpy(severity, share):
    x = PICTURE / 255.0
    means = x.mean((0, 1))
    expected = (np.clip((x - means) * share + means, 0, 1) * 255).astype("uint8").astype(int)
    found = np.asarray(corruptions.contrast(PICTURE, severity), int)
    assert np.abs(found - expected).max() <= 1 and np.mean(found == expected) > 0.99


def test_noise_has_the_moments_of_its_figures():
    grey = np.full((200, 200, 3), 127, "uint8")
    for severity, scale in enumerate((0.04, 0.06, 0.08, 0.09, 0.1), 1):
        noise = np.asarray(corruptions.gaussian_noise(grey, severity, SEED)) / 255
        np.testing.assert_allclose(noise.std(), scale, rtol=0.02)
        np.testing.assert_allclose(noise.mean(), 126.5 / 255, rtol=0.01)  # cut off, not rounded
    for severity, photons in enumerate((500, 250, 100, 75, 50), 1):
        noise = np.asarray(corruptions.shot_noise(grey, severity, SEED)) / 255
        np.testing.assert_allclose(noise.std(), np.sqrt(127 / 255 / photons), rtol=0.02)
    for severity, share in enumerate((0.01, 0.02, 0.03, 0.05, 0.07), 1):
        noise = np.asarray(corruptions.impulse_noise(grey, severity, SEED))
        for value in (0, 255):
            np.testing.assert_allclose(np.mean(noise == value), share / 2, rtol=0.1)
        assert set(np.unique(noise)) == {0, 127, 255}


@pytest.mark.parametrize("name", corruptions.__all__)
@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 12, 1)])
def test_a_corruption_keeps_shape_and_dtype_and_follows_from_its_seed(name, shape):
    picture = np.random.default_rng(1).integers(0, 256, shape, "uint8")
    corruption = partial(getattr(corruptions, name), picture)
    found = corruption(5, SEED)
    assert found.shape == shape and found.dtype == "uint8"
    np.testing.assert_array_equal(found, corruption(5, SEED))
    assert np.any(np.asarray(found) != picture)
    differs = np.any(np.asarray(found) != np.asarray(corruption(5, (7, 7))))
    assert differs == name.endswith("_noise")


def test_pictures_are_corrupted_alike_in_batches_of_any_size():
    dataset = kr.data.DIGITS
    images = np.random.default_rng(2).integers(0, 256, (7, 32, 32, 3), "uint8")
    examples = kr.data.ArrayExamples(dataset, images, np.arange(7), dataset.class_names)
    corrupted = CorruptedExamples(examples, corruptions.gaussian_noise, 3)
    found = [
        np.concatenate([batch["images"][batch["weights"] > 0] for batch in batches])
        for batches in (
            kr.data.evaluation_batches(corrupted, batch_size=size).as_numpy_iterator()
            for size in (2, 7)
        )
    ]
    np.testing.assert_array_equal(*found)
    one = corruptions.gaussian_noise(images[4], 3, keras.ops.convert_to_tensor([4, 3]))
    expected = (np.asarray(one) / 255 - dataset.mean) / dataset.std
    np.testing.assert_allclose(found[0][4], expected, atol=1e-5)


@pytest.mark.parametrize("severity", [0, 6, 1.0, True, "1"])
def test_severities_are_integers_from_1_to_5(severity):
    with pytest.raises(kr.Mistake, match="an integer from 1 to 5. Received: severity="):
        corruptions.contrast(PICTURE, severity)
