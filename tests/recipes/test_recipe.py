"""Recipes: what they refuse, how they load, and that every one in recipes/ trains and exports."""

import dataclasses
import json
import math
import pathlib
import sys
from functools import partial

import numpy as np
import pytest

from keras_rescnet import Recipe, load_recipe
from keras_rescnet.data import DIGITS
from keras_rescnet.mistake import Mistake
from keras_rescnet.models import CifarResNet8
from keras_rescnet.optimizers import SGD
from keras_rescnet.recipe import LATER_FIELDS, recipe_name
from keras_rescnet.recipe.description import describe
from support import DIGITS_RECORD

FOLDER = pathlib.Path(__file__).parents[2] / "recipes"
FLAGSHIP = FOLDER / "cifar10_gclu_vgg16.py"
REQUIRED = {
    "dataset": DIGITS,
    "model": CifarResNet8,
    "optimizer": SGD,
    "batch_size": 8,
    "epochs": 10,
    "learning_rate": 0.1,
}


def test_recipes_of_the_package_are_found_by_name_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("table5:cifar10-resnet8-gclu", ["seed=3"])
    assert (recipe.name, recipe.seed) == ("cifar10-resnet8-gclu", 3)
    assert recipe.file == FOLDER / "table5.py"
    assert recipe_name("table5:cifar10-resnet8-gclu") == "table5-cifar10-resnet8-gclu"
    assert load_recipe("digits_gclu_resnet8").file == FOLDER / "digits_gclu_resnet8.py"
    with pytest.raises(Mistake, match="Received: digits_gclu_resnet9, which is no file"):
        load_recipe("digits_gclu_resnet9")


def test_a_file_in_this_folder_goes_before_a_recipe_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits_gclu_resnet8").write_text("1 / 0")
    with pytest.raises(Mistake, match="digits_gclu_resnet8:1: ZeroDivisionError"):
        load_recipe("digits_gclu_resnet8")


def test_overrides_are_checked_together():
    recipe = load_recipe(FLAGSHIP, ["epochs=5", "warmup_epochs=1"])  # epochs=5 alone is unfit
    assert (recipe.epochs, recipe.warmup_epochs) == (5, 1)


def test_overrides_replace_fields():
    recipe = load_recipe(FLAGSHIP, ["epochs=7", "precision=mixed_bfloat16", "global_clipnorm=1"])
    assert (recipe.epochs, recipe.precision) == (7, "mixed_bfloat16")
    assert recipe.global_clipnorm == 1
    assert recipe.learning_rate == 0.1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=7", "no field of this name. Received: 'epoch'. Nearest: 'epochs'"),
        ("lr=0.1", "Received: 'lr'. Nearest: 'learning_rate'"),
        ("file=x.py", "no field .*Received: 'file'"),
        ("epochs", "must read field=value. Received: 'epochs'"),
        ("epochs=many", "`epochs` must be int. Received: epochs='many'"),
        ("epochs=True", "`epochs` must be int. Received: epochs=True"),
        ("epochs=2.5", "`epochs` must be int. Received: epochs=2.5"),
        ("model=VGG16", "`model` must be a function. Received: model='VGG16'"),
        ("epochs=3", "smaller than `epochs`. Received: warmup_epochs=5, epochs=3"),
        ("batch_size=0", "`batch_size` must be at least 1. Received: batch_size=0"),
        ("steps_per_epoch=0", "`steps_per_epoch` must be at least 1"),
        ("learning_rate=-1", "`learning_rate` must be positive"),
        ("label_smoothing=1.0", "`label_smoothing` must be at least 0 and below 1"),
        ("drop_path=1.0", "`drop_path` must be at least 0 and below 1"),
        ("ema_momentum=1.5", "`ema_momentum` must lie between 0 and 1"),
        ("precision=half", "`precision` must be one of .*Received: precision='half'"),
        ("nan_policy=ignore", "`nan_policy` must be one of .'stop', 'rollback'"),
        ("gradient_accumulation_steps=3", "must divide `batch_size`.*128"),
    ],
)
def test_unfit_overrides_are_refused(override, message):
    with pytest.raises(Mistake, match=message) as caught:
        load_recipe(FLAGSHIP, [override])
    assert "\n" not in str(caught.value)


BROKEN = {
    "syntax": ("recipe = (", r"broken.py:1: .*never closed"),
    "import": (
        "from keras_rescnet.models import VGG17",
        r"broken.py:1: ImportError: cannot import name 'VGG17'",
    ),
    "a file beside it": (
        "import helpers",
        "broken.py:1: ModuleNotFoundError: No module named 'helpers'; install it, or put the "
        "folder it is in on PYTHONPATH. Received: import helpers",
    ),
    "no dict": ("recipes = [1]", r"broken.py must assign `recipe = Recipe"),
    "no recipes": ("recipes = {'a': 1}", r"broken.py must assign `recipe = Recipe"),
    "nothing": ("x = 1", r"broken.py must assign `recipe = Recipe"),
    "field": (
        "from keras_rescnet import Recipe\n\nrecipe = Recipe(bach_size=1)",
        r"broken.py:3: A recipe has no field .*Received: 'bach_size'. Nearest: 'batch_size'",
    ),
    "missing": (
        "from keras_rescnet import Recipe\nrecipe = Recipe(batch_size=1)",
        r"broken.py:2: .*missing 5 required keyword-only arguments: 'dataset'",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_refused_at_their_line(case, tmp_path):
    text, message = BROKEN[case]
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(Mistake, match=message) as caught:
        load_recipe(tmp_path / "broken.py")
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_those_there():
    with pytest.raises(ValueError, match=r"no_such.py, which is no file.*cifar10_gclu_vgg16.py"):
        load_recipe(FOLDER / "no_such.py")


def test_named_recipes(tmp_path):
    file = tmp_path / "table.py"
    file.write_text(
        "import dataclasses\nfrom keras_rescnet import load_recipe\n"
        f"base = load_recipe({str(FLAGSHIP)!r})\n"
        "recipes = {'long': base, 'short': dataclasses.replace(base, epochs=9, reference=None)}\n"
    )
    assert load_recipe(f"{file}:short").epochs == 9
    assert load_recipe(f"{file}:short").file == file
    assert recipe_name(f"{file}:short") == "table-short"
    with pytest.raises(ValueError, match=r"(?s)several.*long +94.15 % in the paper.*short"):
        load_recipe(file)
    with pytest.raises(ValueError, match=r"'sort'. Nearest: 'short'. There are: long, short"):
        load_recipe(f"{file}:sort")


def test_description_tells_runs_apart():
    recipe = load_recipe(FLAGSHIP)
    described = json.loads(json.dumps(recipe.describe()))
    assert described == load_recipe(FLAGSHIP).describe()
    assert described["model"]["activation"] == "keras_rescnet.activations.gclu"
    assert "RandomCrop(padding=4)" in described["augment"]["code"][1]  # it is part of the file
    other = dataclasses.replace(recipe, model=partial(recipe.model.func, activation="relu"))
    assert other.describe()["model"] != described["model"]


def test_fields_are_checked_in_python_too():
    with pytest.raises(
        ValueError, match="`dataset` must be a Dataset. Received: dataset='cifar10'"
    ):
        Recipe(**{**REQUIRED, "dataset": "cifar10"})
    with pytest.raises(TypeError, match="lr"):
        Recipe(**REQUIRED, lr=0.1)
    with pytest.raises(
        ValueError, match="`model` must be what makes a model.*Received: model=<Funct"
    ):
        Recipe(**{**REQUIRED, "model": CifarResNet8()})
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe(**REQUIRED).epochs = 3


DIGESTS = {
    "cifar10_gclu_resnet8": "ae4e5ebb4361caf8358a13520a8bea89",
    "cifar10_gclu_vgg16": "60f175a83d2d784aa21a3953855caf34",
    "cifar10_kerascv_rescnet32": "305af158fc4da01901162dad31890403",
    "cifar10_rescnet32": "ac9f1c35ba93a67bf92838e4496b6477",
    "cifar10_resnet32": "ab6053807475708173451aed30fd5a03",
    "digits_gclu_resnet8": "6d1c65507ea817354df4735d1c5a1161",
    "imagefolder_rescnet18": "1d2a4ea8a72e16639b8f99387823478e",
    "table2:imagenet-resnet18": "15711533c000e98086571f589e028376",
    "table5:cifar10-alexnet-relu": "ed76a5d5cc112d02555dc564d088e7c5",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_recipes_keep_the_digests_of_earlier_versions(name):
    """Those of commit 22f96ac: runs of before a field was added continue."""
    assert load_recipe(name).digest() == DIGESTS[name]


def test_a_digest_is_that_of_what_decides_numbers():
    recipe = load_recipe(FLAGSHIP)
    assert recipe.digest() == load_recipe(FLAGSHIP).digest()
    free = {"checkpoint_minutes": 1.0, "nan_policy": "rollback", "reference": 1.0}
    same = dataclasses.replace(recipe, **free, steps_per_execution=3)
    assert same.digest() == recipe.digest()
    for changes in ({"seed": 1}, {"evaluate_every": 2}, {"decay": lambda epoch, epochs: 1.0}):
        assert dataclasses.replace(recipe, **changes).digest() != recipe.digest()


def loaded(tmp_path, text, name="own"):
    head = "from keras_rescnet import Recipe, data, models, optimizers\n"
    fields = "model=models.CifarResNet8, optimizer=optimizers.SGD, batch_size=8, epochs=10"
    tail = f"\nrecipe = Recipe(dataset=data.DIGITS, {fields}, learning_rate=0.1, augment=augment)"
    (tmp_path / f"{name}.py").write_text(f"{text}\n{head}{tail}")
    return load_recipe(tmp_path / f"{name}.py")


def test_layers_within_layers_are_described_alike_when_they_are_made_again(tmp_path):
    """Keras counts the names that it gives on over the life of a process."""
    pipeline = "keras.layers.Pipeline([{}keras.layers.RandomFlip(), keras.layers.RandomFlip('{}')])"
    other = pipeline.format("keras.layers.Rescaling(1 / 255, name='mine'), ", "vertical")
    flips = f"{pipeline.format('', 'vertical')}, {other}"
    text = f"import keras\nLAYERS = [{flips}]\ndef augment():\n    return LAYERS"
    recipe = loaded(tmp_path, text)
    assert loaded(tmp_path, text).digest() == recipe.digest()
    horizontal = text.replace("vertical", "horizontal")
    assert loaded(tmp_path, horizontal).digest() != recipe.digest()
    states = [each["state"] for each in recipe.describe()["augment"]["uses"]["LAYERS"]]
    names = [layer["config"]["name"] for state in states for layer in state["layers"]]
    # Those of a new process, as earlier versions described them there
    assert names == ["random_flip", "random_flip_1", "mine", "random_flip_2", "random_flip_3"]


NETWORK = "def build(input_shape, classes):\n    return {}\n"
WITHIN = "def augment():\n    from {} import build\n    return [build]"
AT_THE_TOP = "import {0}\ndef augment():\n    return [{0}.build]"
BY_RECIPE = {  # the recipe, the file that differs, and files beside it
    "imported in a function": (WITHIN.format("own_helpers"), "own_helpers.py", {}),
    "imported by another": (
        AT_THE_TOP.format("own_helpers"),
        "own_network.py",
        {"own_helpers.py": "from own_network import build"},
    ),
    "within a package": (
        AT_THE_TOP.format("own_package"),
        "own_package/network.py",
        {"own_package/__init__.py": "from .network import build"},
    ),
    "in a folder": (WITHIN.format("own_folder.network"), "own_folder/network.py", {}),
}


@pytest.mark.parametrize("case", BY_RECIPE)
def test_a_recipe_is_another_one_with_another_file_beside_it(case, tmp_path, monkeypatch):
    text, differing, others = BY_RECIPE[case]
    digests = []
    for place, result in enumerate((1, 1, 2)):
        folder = tmp_path / str(place)
        for name, code in {**others, differing: NETWORK.format(result)}.items():
            (folder / name).parent.mkdir(exist_ok=True, parents=True)
            (folder / name).write_text(code)
        before = set(sys.modules)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            digests.append(loaded(folder, text).digest())
        for name in set(sys.modules) - before:
            del sys.modules[name]
    assert digests[0] == digests[1] != digests[2]


LOSS = """import keras, dataclasses
import numpy as np
class Margin(keras.losses.Loss):
    def __init__(self, margin):
        super().__init__()
        self.margin = margin
    def call(self, labels, logits):
        return keras.ops.relu(self.margin - labels * logits)
@dataclasses.dataclass
class Scaled:
    by: object
LOSS = {}
def augment():
    return LOSS"""


@pytest.mark.parametrize(
    "loss",
    ["Margin({})", "Scaled(lambda x: {} * x)", "Scaled(np.full(3000, {}))"],
)
def test_a_recipe_is_another_one_with_another_number_in_a_loss(loss, tmp_path):
    digests = [loaded(tmp_path, LOSS.format(loss.format(number))).digest() for number in (1, 1, 50)]
    assert digests[0] == digests[1] != digests[2]


TYPED = [
    "def loss(x):\n    return x * SCALE + {}",
    "def loss(x):\n    return math.{}(x)",
    "def loss(x):\n    return [(lambda y: y + {})(x)]",
    "def made(margin):\n    return lambda x: x + margin\nloss = made({})",
    "def loss(x, margin={}):\n    return x + margin",
]


@pytest.mark.parametrize("text", TYPED)
def test_functions_without_a_text_are_described_by_what_they_do(text):
    """Those that are typed into a prompt."""
    described = []
    for name in ("e", "pi", "e"):
        names = {"SCALE": 2.0, "math": math, "e": math.e, "pi": math.pi}
        filled = text.format(name if "math" in text else names[name])
        exec(compile(filled, "<prompt>", "exec"), names)
        described.append(describe(names["loss"]))
    assert described[0] == described[2] != described[1]


def test_functions_without_a_text_are_described_with_the_globals_they_use():
    described = []
    for scale in (1.0, 2.0):
        names = {"SCALE": scale}
        exec(compile("def loss(x):\n    return [SCALE * y for y in x]", "<prompt>", "exec"), names)
        described.append(describe(names["loss"]))
    assert described[0] != described[1]


def test_an_address_is_no_part_of_a_description():
    assert describe(np.random.default_rng(0)) == "Generator(PCG64)"  # NumPy's are in capitals


@pytest.mark.parametrize("name", ["own", "colorsys"])
def test_a_recipe_may_have_a_dataclass_and_annotations_that_are_text(name, tmp_path):
    """Python's `dataclasses` looks for the module; one of Python's own is not hidden."""
    text = "from __future__ import annotations\nimport colorsys, dataclasses\n"
    text += "BLACK = colorsys.rgb_to_hls(0, 0, 0)\n@dataclasses.dataclass\nclass Noise:\n"
    text += "    amount: float = 1.0\ndef augment():\n    return [Noise()]"
    before = set(sys.modules)
    assert loaded(tmp_path, text, name).augment()[0].amount == 1.0
    assert set(sys.modules) - before <= {"colorsys"}


def test_a_field_of_a_later_version_leaves_digests_as_they_were():
    recipe = load_recipe("digits_gclu_resnet8")
    assert recipe.digest() == json.loads(DIGITS_RECORD.read_text())["results"]["recipe_digest"]
    assert not LATER_FIELDS & recipe.describe().keys()
    changed = dataclasses.replace(recipe, trainable=("logits/",))
    assert changed.describe() == {**recipe.describe(), "trainable": ["logits/"]}
    assert changed.digest() != recipe.digest()
