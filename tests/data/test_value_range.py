"""Images whose values are not in [0, 255], and transforms that round."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_rescnet import augment, data
from keras_rescnet.mistake import Mistake
from support.augmenting import IMAGES, LABELS, run
from support.tiny import tiny

ROUNDING = {
    "AutoAugment": lambda **options: augment.AutoAugment("cifar10", **options),
    "RandAugment": lambda **options: augment.RandAugment(2, 20, **options),
    "ColorJitter": lambda **options: augment.ColorJitter(0.4, 0.4, 0.4, 0.1, **options),
    "RandomResizedCrop": lambda **options: augment.RandomResizedCrop(8, **options),
}


@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1)], ids=str)
@pytest.mark.parametrize("name", ROUNDING)
def test_a_value_range_is_the_same_pictures_on_another_scale(name, value_range):
    low, high = value_range
    scaled = (IMAGES / 255 * (high - low) + low).astype("float32")
    found = run(ROUNDING[name](value_range=value_range), scaled)["images"]
    assert found.dtype == "float32"
    expected = run(ROUNDING[name]())["images"]
    found = (found - low) / (high - low) * 255
    if name == "RandomResizedCrop":  # bilinear sums of floats may round to the next level
        assert np.abs(found - expected).max() < 1.001
        assert np.mean(np.abs(found - expected) > 0.01) < 0.01
    else:
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_erasing_fills_with_a_value_of_the_range():
    scaled = (IMAGES / 255).astype("float32")
    found = run(augment.RandomErasing(1.0, value=0.5, value_range=(0, 1)), scaled)["images"]
    expected = run(augment.RandomErasing(1.0, value=127.5))["images"] / 255
    np.testing.assert_allclose(found, expected, atol=1e-6)


ERASING = {**ROUNDING, "RandomErasing": lambda: augment.RandomErasing(value=128)}


@pytest.mark.parametrize("images", [IMAGES / 255, IMAGES / 127.5 - 1], ids=["0 to 1", "-1 to 1"])
@pytest.mark.parametrize("name", ERASING)
def test_other_ranges_are_refused_without_a_value_range(name, images):
    with pytest.raises(Mistake, match=rf"{name} needs images in \[0, 255\].*value_range=\(0, 1\)"):
        run(ERASING[name](), images)


def test_other_ranges_are_refused_in_a_graph_too():
    compiled = tf.function(ROUNDING["ColorJitter"]())
    batch = {"images": tf.constant(IMAGES / 255), "labels": tf.constant(LABELS)}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"needs images in \[0, 255\]"):
        compiled(batch, tf.constant([0, 1]))


@pytest.mark.parametrize("images", [IMAGES, IMAGES.astype("float32")], ids=["uint8", "float32"])
@pytest.mark.parametrize("name", ROUNDING)
def test_pixels_are_refused_with_a_value_range(name, images):
    message = rf"{name} needs images in its value_range. Received: value_range=\(0, 1\) and images"
    with pytest.raises(Mistake, match=f"{message} from 0 to 255"):
        run(ROUNDING[name](value_range=(0, 1)), images)


@pytest.mark.parametrize("name", ["ColorJitter", "RandomResizedCrop", "RandomErasing"])
def test_nearly_black_batches_are_trained_on(name):
    """Of an earlier transform, such as MixUp, they are floats."""
    images = np.zeros((8, 8, 8, 3), "uint8")
    images[:, 0, 0] = 1
    dataset = tiny(image_shape=(8, 8, 3))
    examples = data.ArrayExamples(dataset, images, np.arange(8) % 2, ("even", "odd"))
    transforms = [augment.MixUp(), ERASING[name]()]
    batches = data.train_batches(examples, transforms, batch_size=4, seed=0, start=0, stop=2)
    assert len(list(batches)) == 2


def test_pixels_as_floats_are_taken_as_they_are():
    """Dark pictures and black ones included."""
    for images in (IMAGES[:4], np.zeros_like(IMAGES[:2]), np.minimum(IMAGES[:2], 2)):
        for name in ROUNDING:
            labels = LABELS[: len(images)]
            found = run(ROUNDING[name](), images.astype("float32"), labels)["images"]
            np.testing.assert_array_equal(found, run(ROUNDING[name](), images, labels)["images"])


@pytest.mark.parametrize(
    "transform",
    [
        augment.RandAugment(value_range=(0, 1)),
        augment.RandomChoice([augment.RandomFlip(), augment.RandAugment(value_range=[-1, 1])]),
        keras.layers.RandomBrightness(0.2, value_range=(0, 1)),
    ],
    ids=["ours", "in a choice", "of keras"],
)
def test_batches_are_made_of_pixels(transform):
    images = np.zeros((4, 4, 4, 3), "uint8")
    examples = data.ArrayExamples(tiny(), images, np.arange(4) % 2, ["even", "odd"])
    with pytest.raises(Mistake, match=r"given images in \[0, 255\].*Received: Rand.* with value_"):
        data.train_batches(examples, [transform], batch_size=2, seed=0, start=0, stop=1)
