"""recipes/table1.py ... table6.py: every cell of the paper loads, builds and trains."""

import functools
import json
import pathlib

import numpy as np
import pytest

import keras_rescnet
from keras_rescnet import augment, load_recipe
from keras_rescnet.analysis.tables import read_table
from keras_rescnet.models.complexity import count_parameters, outline
from keras_rescnet.optimizers import AdamW
from keras_rescnet.schedules import learning_rate_at
from keras_rescnet.training.setup import build_model
from support import noise

FOLDER = pathlib.Path(__file__).parents[2] / "recipes"
CELLS = {"table1": 27, "table2": 7, "table3": 18, "table4": 5, "table5": 42, "table6": 6}
PAPER = json.loads((FOLDER.parent / "tests" / "golden" / "paper_tables.json").read_text())
FILES = {name: FOLDER / f"{name}.py" for name in CELLS}


@functools.cache
def recipes_of(name):
    return read_table(FILES[name]).recipes


def cell(name):
    """The recipe of `table1:cifar10-resnet32`, as the command line finds it."""
    table, _, key = name.partition(":")
    return load_recipe(f"{FILES[table]}:{key}")


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_has_a_recipe_and_a_place(name):
    table = read_table(FILES[name])
    assert len(table.recipes) == CELLS[name]
    placed = [key for row in table.rows for key in row.cells if key is not None]
    assert sorted(placed) == sorted(table.recipes)


@pytest.mark.parametrize("name", CELLS)
def test_every_recipe_has_the_figures_of_the_paper(name):
    recipes, figures = recipes_of(name), PAPER[name]
    assert len(figures) == len(recipes) == CELLS[name]
    for key, recipe in recipes.items():
        figure = figures[key] if isinstance(figures[key], dict) else {"top1": figures[key]}
        expected = tuple(map(figure.get, ("top1", "top5", "hours")))
        assert (recipe.reference, recipe.reference_top5, recipe.reference_hours) == expected, key


def test_names_are_unique():
    names = [name for table in CELLS for name in recipes_of(table)]
    assert len(names) == len(set(names)) == 105


def test_a_table_without_a_name_lists_the_figures_of_the_paper():
    with pytest.raises(ValueError, match=r"table5.py:NAME.\n") as caught:
        load_recipe(FILES["table5"])
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 42
    assert any(line.split() == "cifar10-vgg16-gclu 94.15 % in the paper".split() for line in lines)


# Trainable parameters with 10 and with 100 classes, as counted on the reference in PyTorch; the
# paper has those of Table 1, rounded to ten.
PARAMETERS = {
    "resnet32": (466_906, 472_756),
    "senet32": (480_346, 486_196),
    "rescnet32": (488_326, 494_176),
    "resnet56": (855_770, 861_620),
    "senet56": (879_962, 885_812),
    "rescnet56": (894_326, 900_176),
    "resnet50": (23_520_842, 23_705_252),
    "senet50": (26_078_394, 26_262_804),
    "rescnet50": (27_324_410, 27_508_820),
    "alexnet": (56_826_698, 57_195_428),
    "vgg16": (134_309_962, 134_678_692),
    "resnet8": (78_042, 83_892),
    "vit-tiny": (5_362_762, 5_380_132),
    "swin-tiny": (27_505_300, 27_574_510),
    "cait-xxs24": (11_601_610, 11_618_980),
}
OTHER_PARAMETERS = {
    "imagenet-resnet18": 11_689_512,
    "imagenet-rescnet18": 11_824_032,
    "imagenet-resnet34": 21_797_672,
    "imagenet-rescnet34": 22_041_236,
    "imagenet-resnet50": 25_557_032,
    "imagenet-senet50": 28_071_976,
    "imagenet-rescnet50": 29_360_600,
    "cifar100-rescnet50-distributed": 24_460_708,
    "cifar100-rescnet32-two-fc": 527_636,
    "cifar100-rescnet32-r2": 514_476,
}


def expected_parameters(name):
    if name in OTHER_PARAMETERS:
        return OTHER_PARAMETERS[name]
    data, _, rest = name.partition("-")
    (network,) = [key for key in PARAMETERS if rest == key or rest.startswith(f"{key}-")]
    return PARAMETERS[network][data == "cifar100"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if count > 20 else [])
        for name, count in CELLS.items()
    ],
)
def test_every_network_builds_with_the_parameters_of_the_paper(name):
    for key, recipe in recipes_of(name).items():
        model = outline(build_model, recipe=recipe, replicas=1)
        assert count_parameters(model) == expected_parameters(key), key


def short(recipe, **changes):
    return noise.with_random_pictures(
        recipe, batch_size=8, epochs=1, warmup_epochs=0, steps_per_epoch=1, **changes
    )


def assert_one_step(recipe, results):
    """A network that has learnt nothing yet guesses: its loss is about the logarithm of classes."""
    assert results["epoch"] == 1
    assert 0.5 < results["train_loss"] / np.log(recipe.dataset.classes) < 2
    assert np.isfinite(results["test_loss"])
    hits = 20 * results["test_accuracy"], 20 * results["test_top5_accuracy"]
    np.testing.assert_allclose(hits, np.round(hits), atol=1e-9)
    assert hits[0] <= hits[1]


# With a small network: data, transforms, optimizer and precision of one cell a file.
@pytest.mark.parametrize(
    "name",
    [
        "table1:svhn-resnet56",
        "table2:imagenet-resnet50",
        pytest.param("table3:cifar100-rescnet50-distributed", marks=pytest.mark.slow),
        "table4:cifar100-rescnet32-two-fc",
        "table5:cifar100-vit-tiny-gclu",
        "table6:cifar100-resnet32-gclu-exact",
    ],
)
def test_a_step_of_a_small_network(name, tmp_path):
    model = functools.partial(noise.model, dropout=0.0)
    recipe = short(cell(name), model=model)
    assert_one_step(recipe, keras_rescnet.train(recipe, tmp_path / "run"))


def test_a_step_of_resnet8(tmp_path):
    results = keras_rescnet.train(short(cell("table5:cifar10-resnet8-gelu")), tmp_path / "run")
    assert results["parameters"] == 78_042


@pytest.mark.release
@pytest.mark.parametrize(
    "name",
    [
        "table1:svhn-rescnet32",
        "table2:imagenet-rescnet18",
        "table3:cifar100-resnet50-cutmix",
        "table4:cifar100-rescnet32-r4-sigmoid",
        "table5:cifar10-vit-tiny-gclu",
        "table6:cifar100-resnet32-gclu-sigmoid",
    ],
)
def test_a_step_of_the_network(name, tmp_path):
    recipe = short(cell(name))
    results = keras_rescnet.train(recipe, tmp_path / "run")
    assert_one_step(recipe, results)
    assert results["parameters"] == expected_parameters(name.split(":")[1])


# The learning rates of the authors' schedulers, as PyTorch computes them (epochs from 0).
@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("table1:cifar10-resnet32", {0: 0.001, 1: 0.0208, 4: 0.0802, 5: 0.1}),
        ("table1:svhn-resnet32", {0: 0.0001, 5: 0.01}),
        ("table2:imagenet-resnet18", {5: 0.1, 34: 0.1, 35: 0.01, 64: 0.01, 65: 0.001}),
        ("table3:cifar100-resnet50-long", {0: 0.001, 20: 0.1, 160: 0.0500005}),
        ("table5:cifar10-vit-tiny-relu", {0: 1.25e-6, 20: 1.25e-4, 160: 6.3e-5}),
    ],
)
def test_learning_rates_are_those_of_the_scripts(name, rates):
    recipe = cell(name)
    for epoch, rate in rates.items():
        assert learning_rate_at(epoch, recipe) == pytest.approx(rate, rel=1e-6)


def test_tricks_are_added_one_by_one():
    rows = [row.name for row in read_table(FILES["table3"]).rows]
    assert rows[0] == "baseline" and rows[-1] == "distributed" and len(rows) == 9
    steps = {
        name: [type(step).__name__ for step in cell(f"table3:cifar100-rescnet50-{name}").augment()]
        for name in rows
    }
    assert steps["long"] == ["RandomCrop", "RandomFlip"]
    assert steps["autoaugment"] == [*steps["long"], "AutoAugment"]
    assert steps["erasing"] == [*steps["autoaugment"], "RandomErasing"]
    assert steps["mixup"] == [*steps["erasing"], "MixUp"]
    assert steps["cutmix"] == steps["distributed"] == [*steps["erasing"], "RandomChoice"]


def test_the_transformers_are_trained_as_the_scripts_do():
    for name, recipe in recipes_of("table5").items():
        transformer = "-tiny-" in name or "cait" in name
        assert (recipe.global_clipnorm == 1.0) == transformer
        assert (recipe.optimizer.func is AdamW) == transformer
        optimizer = recipe.optimizer()
        assert optimizer.weight_decay == (0.05 if transformer else 5e-4)
        assert [type(step) for step in recipe.augment()] == [
            augment.RandomCrop,
            augment.RandomFlip,
        ]


def test_svhn_is_not_augmented():
    for name, recipe in recipes_of("table1").items():
        assert (recipe.augment is None) == name.startswith("svhn-")
        assert recipe.dataset.train_split == "train"
