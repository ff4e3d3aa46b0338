"""recipes/rivals.py: every calibration builds, trains, and is told what it costs."""

import functools

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet.analysis.tables import read_table
from keras_rescnet.models.complexity import count_parameters, outline
from support import ROOT, noise

FILE = ROOT / "recipes" / "rivals.py"
# Parameters that a calibration adds to ResNet-32, by the formulas of docs/choosing.md: five blocks
# each of 16, 32 and 64 channels.
ADDED = {
    "plain": 0,
    "rc": 21_420,
    "se": 13_440,
    "eca": 45,
    "simam": 0,
    "srm": 2_240,
    "gated-gct": 1_680,
    "gaussian-gct": 0,
    "cbam": 15_640,
    "coordinate": 14_920,
    "gather-excite": 0,
    "gather-excite-weighted": 144_480,
    "cmpe-double-fc": 26_880,
    "cmpe-2x1": 13_580,
    "cmpe-1x1": 20_265,
    "cmpe-3x3": 15_505,
    "ms-sar-style": 27_160,
}


@functools.cache
def table():
    return read_table(FILE)


def test_every_network_has_every_calibration():
    assert [row.name for row in table().rows] == list(ADDED)
    for row in table().rows:
        missing = [
            heading for heading, cell in zip(table().columns, row.cells, strict=True) if not cell
        ]
        assert missing == (["CIFAR-10, airbench94"] if row.name.startswith("cmpe-") else [])


def test_recipes_differ_in_nothing_but_the_calibration():
    for column in zip(*(row.cells for row in table().rows), strict=True):
        described = [table().recipes[name].describe() for name in column if name]
        for one in described:
            one.pop("model")
        assert all(one == described[0] for one in described)


@pytest.mark.parametrize("name", ADDED)
def test_parameters_of_every_calibration(name):
    model = outline(table().recipes[f"cifar10-resnet8-{name}"].model)  # a third of a stage each
    assert 5 * (count_parameters(model) - 78_042) == ADDED[name]


def short(recipe, **changes):
    return noise.with_random_pictures(
        recipe, batch_size=8, epochs=1, warmup_epochs=0, steps_per_epoch=1, **changes
    )


def test_a_step_of_all_calibrations_one_behind_the_other():
    """Eagerly, where no graph has to be made; the test of every recipe is slow."""
    recipes = [table().recipes[f"cifar10-resnet8-{name}"] for name in ADDED]
    calibrations = [recipe.model.keywords["calibration"] for recipe in recipes]
    keras.utils.set_random_seed(0)
    model = kr.models.ResNet(
        (1,) * len(ADDED),
        widths=(16,) * len(ADDED),
        strides=(1,) * len(ADDED),
        small_images=True,
        calibration=calibrations,
        input_shape=(8, 8, 3),
        classes=10,
    )
    assert sum("_calibration" in layer.name for layer in model.layers) == len(ADDED) - 1
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(recipes[0].optimizer(learning_rate=0.1), loss, run_eagerly=True)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    before = [np.asarray(weight) for weight in model.trainable_weights]
    assert 0.5 < model.train_on_batch(images, np.arange(4)) / np.log(10) < 2
    still = {  # no gradient at their first values, or none at all: a normalization undoes it
        "alpha": "of gates that are zero",
        "normalization/gamma": "of style weights that are zero",
        "hidden/bias": "before a normalization",
    }
    for weight, old in zip(model.trainable_weights, before, strict=True):
        moved = np.any(np.asarray(weight) != old)
        assert moved or any(weight.path.endswith(name) for name in still), weight.path


@pytest.mark.release
@pytest.mark.parametrize("name", ADDED)
def test_a_step_of_every_recipe(name, tmp_path):
    results = kr.train(short(table().recipes[f"cifar10-resnet8-{name}"]), tmp_path / "run")
    assert results["parameters"] == 78_042 + ADDED[name] // 5
    assert 0.5 < results["train_loss"] / np.log(10) < 2
