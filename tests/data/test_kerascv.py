"""Layers of keras-cv in a recipe's list of transforms, as docs/augmentations.md lists them."""

import keras_cv
import numpy as np
import pytest

import keras_rescnet as kr
from support import ROOT

PIXELS = (0, 255)
LAYERS = (  # those that a recipe is most likely to have, and those that are built unlike others
    keras_cv.layers.AugMix(PIXELS),
    keras_cv.layers.AutoContrast(PIXELS),
    keras_cv.layers.ChannelShuffle(),
    keras_cv.layers.CutMix(),
    keras_cv.layers.Equalization(PIXELS),
    keras_cv.layers.Grayscale(3),
    keras_cv.layers.GridMask(),
    keras_cv.layers.MixUp(),
    keras_cv.layers.Mosaic(),
    keras_cv.layers.Posterization(PIXELS, bits=4),
    keras_cv.layers.RandAugment(PIXELS),
    keras_cv.layers.RandomApply(keras_cv.layers.RandomSharpness(0.5, PIXELS)),
    keras_cv.layers.RandomChoice(
        [keras_cv.layers.RandomFlip(), keras_cv.layers.Solarization(PIXELS)]
    ),
    keras_cv.layers.RandomColorJitter(PIXELS, 0.2, 0.2, 0.2, 0.1),
    keras_cv.layers.RandomCropAndResize((32, 32), (0.5, 1.0), (0.8, 1.25)),
    keras_cv.layers.RandomCutout(0.3, 0.3),
    keras_cv.layers.RandomFlip(),
    keras_cv.layers.RandomGaussianBlur(3, 0.5),
    keras_cv.layers.RandomRotation(0.1),
    keras_cv.layers.RandomTranslation(0.1, 0.1),
    keras_cv.layers.RandomZoom(0.2),
)


def batches(transforms):
    digits = kr.data.load(kr.data.DIGITS, "train")
    return kr.data.train_batches(digits, transforms, batch_size=8, seed=0, start=0, stop=1)


@pytest.mark.slow
def test_layers_of_keras_cv_work_in_a_recipes_list():
    (batch,) = batches([*LAYERS, kr.augment.RandomCrop(padding=2)])
    assert batch["images"].shape == (8, 32, 32, 3) and np.all(np.isfinite(batch["images"]))
    np.testing.assert_allclose(np.sum(batch["labels"], axis=1), 1, atol=1e-5)


def test_the_page_on_augmentations_names_them():
    page = (ROOT / "docs" / "augmentations.md").read_text()
    assert not [layer for layer in LAYERS if type(layer).__name__ not in page]


@pytest.mark.slow
def test_a_layer_that_changes_the_size_is_refused_without_a_resizing():
    crop = keras_cv.layers.RandomCrop(28, 28)
    with pytest.raises(kr.Mistake, match="must have the shape .* after all transforms"):
        batches([crop])
    (batch,) = batches([crop, keras_cv.layers.Resizing(32, 32)])
    assert batch["images"].shape == (8, 32, 32, 3)


@pytest.mark.slow
def test_layers_that_the_page_calls_broken_are():
    """If this fails, a new keras-cv has mended one: say so in docs/augmentations.md."""
    with pytest.raises(TypeError, match="Ragged"):
        batches([keras_cv.layers.RandomAspectRatio((0.8, 1.25))])
