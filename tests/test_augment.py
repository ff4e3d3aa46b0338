"""Augmentations against numpy, Pillow and the paper's code."""

import numpy as np
import pytest
import tensorflow as tf

from keras_rescnet import augment

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (64, 12, 10, 3)).astype("uint8")
LABELS = np.eye(4, dtype="float32")[RNG.integers(0, 4, 64)]


def run(transform, images=IMAGES, labels=LABELS, seed=0):
    batch = {"images": tf.constant(images), "labels": tf.constant(labels)}
    return {key: value.numpy() for key, value in transform(batch, tf.constant([seed, 1])).items()}


def test_random_crop_cuts_windows_of_the_padded_image():
    found = []
    for seed in range(20):
        images = run(augment.RandomCrop(padding=2), seed=seed)["images"]
        for before, after in zip(IMAGES, images, strict=True):
            padded = np.pad(before, [(2, 2), (2, 2), (0, 0)])
            windows = [
                (y, x)
                for y in range(5)
                for x in range(5)
                if np.array_equal(padded[y : y + 12, x : x + 10], after)
            ]
            assert len(windows) == 1
            found += windows
    counts = np.bincount([5 * y + x for y, x in found], minlength=25)
    expected = len(found) / 25
    assert np.sum((counts - expected) ** 2 / expected) < 51.2  # 99.9 % of chi-square with 24


def test_random_flip_mirrors_half_of_them():
    flips = 0
    for seed in range(160):
        images = run(augment.RandomFlip(), seed=seed)["images"]
        flipped = np.all(images == IMAGES[:, :, ::-1], axis=(1, 2, 3))
        np.testing.assert_array_equal(images[~flipped], IMAGES[~flipped])
        flips += flipped.sum()
    assert abs(flips / 10240 - 0.5) < 0.02


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("transform", [augment.RandomCrop(2), augment.RandomFlip()])
def test_dtype_is_kept(transform, dtype):
    images = run(transform, IMAGES.astype(dtype))["images"]
    assert images.dtype == dtype
    np.testing.assert_array_equal(images, run(transform)["images"])


@pytest.mark.parametrize("padding", [0, -1, 1.5])
def test_random_crop_checks_padding(padding):
    with pytest.raises(ValueError, match=f"positive integer.*padding={padding}"):
        augment.RandomCrop(padding)


def test_random_flip_checks_probability():
    with pytest.raises(ValueError, match=r"\[0, 1\].*probability=1.5"):
        augment.RandomFlip(1.5)
