"""Recipes, overrides, workdirs and initial weights that are refused, and the answers."""

import dataclasses
import functools
import io
import os
import zipfile

import h5py
import keras
import numpy as np
import pytest

from keras_rescnet import Recipe, load_recipe, train
from keras_rescnet.data import DIGITS
from keras_rescnet.models import CifarResNet8
from keras_rescnet.models.initial_weights import load_initial_weights
from keras_rescnet.optimizers import SGD
from keras_rescnet.recipe import execute
from keras_rescnet.training.workdir import WorkDir
from support import ROOT, noise

FLAGSHIP = ROOT / "recipes" / "cifar10_gclu_vgg16.py"
HEAD = "from keras_rescnet import Recipe, data, models, optimizers\n"
FIELDS = "dataset=data.DIGITS, model=models.CifarResNet8, optimizer=optimizers.SGD, batch_size=8"

FILES = {  # what is in the file of a recipe
    "empty": (b"", r"must assign `recipe = Recipe.*Received: a file that assigns neither"),
    "no Python": (b"learning_rate: 0.1\n  epochs: 3", r"bad.py:2: unexpected indent.*epochs: 3"),
    "open bracket": (b"recipe = (", r"bad.py:1: .*never closed. Received: recipe = \("),
    "bytes": (b"\xff\xfe\x00\x01", r"bad.py:\d: .*Received: "),
    "a zero byte": (b"x = 1\0", r"bad.py:\d: .*null bytes.*Received: "),
    "another encoding": (b"x = '\xe4'", r"bad.py:\d: .*(utf-8|codec|unicode).*Received: "),
    "deep": (b"x = " + b"(" * 10_000, r"bad.py:\d+: .*Received: "),
    "exit": (b"raise SystemExit(0)", r"bad.py:1: SystemExit: 0. Received: raise SystemExit\(0\)"),
    "sys.exit": (b"import sys\nsys.exit()", r"bad.py:2: SystemExit.*Received: sys.exit\(\)"),
    "import": (b"import none_such", r"bad.py:1: ModuleNotFoundError.*Received: import none_such"),
    "name": (HEAD.encode() + b"models.VGG17", r"bad.py:2: AttributeError.*VGG17"),
    "division": (b"x = 1 / 0", r"bad.py:1: ZeroDivisionError.*Received: x = 1 / 0"),
    "assertion": (b"assert False, 'a\\nb'", r"bad.py:1: AssertionError: a b. Received: assert"),
    "recursion": (b"def f(): f()\nf()", r"bad.py:1: RecursionError.*Received: def f\(\): f\(\)"),
    "long message": (b"raise ValueError('a ' * 9999)", r"bad.py:1: a a .*\.\.\.\. Received: "),
    "a number": (b"recipe = 3", r"must assign `recipe = Recipe.*Received: recipe=3"),
    "a class": (HEAD.encode() + b"recipe = Recipe", r"must assign.*Received: recipe=<class"),
    "a list": (b"recipes = [1, 2]", r"must assign.*Received: recipes=\[1, 2\]"),
    "a dict of numbers": (b"recipes = {'a': 1}", r"must assign.*Received: recipes=\{'a': 1\}"),
    "no fields": (HEAD.encode() + b"recipe = Recipe()", r"bad.py:2: .*missing 6 required"),
    "unknown field": (
        f"{HEAD}recipe = Recipe({FIELDS}, epochs=3, lr=0.1)".encode(),
        r"bad.py:2: A recipe has no field.*Received: 'lr'. Nearest: 'learning_rate'",
    ),
    "unfit field": (
        f"{HEAD}recipe = Recipe({FIELDS}, epochs='3', learning_rate=0.1)".encode(),
        r"bad.py:2: `epochs` must be int. Received: epochs='3'",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_of_recipes(kind, assert_refused, tmp_path):
    content, answer = FILES[kind]
    (tmp_path / "bad.py").write_bytes(content)
    assert_refused(lambda: load_recipe(tmp_path / "bad.py"), answer)
    assert (tmp_path / "bad.py").read_bytes() == content


PATHS = {
    "nothing": ("", r"must be a Python file. Received: "),
    "a folder": ("recipes", r"must be a Python file. Received: recipes, which is no file"),
    "missing": ("recipes/none.py", r"Received: recipes/none.py, which is no file. There are: "),
    "no suffix": ("recipes/table5:a", r"Received: recipes/table5:a, which is no file"),
    "a zero byte": ("a\0b.py", r"must be a Python file. Received: "),
    "too long": ("a" * 5000, r"must be a Python file. Received: aaa"),
    "a number": (3, r"must be a Python file. Received: 3"),
    "unknown name": ("recipes/table6.py:gclu", r"no recipe of this name. Received: 'gclu'. Near"),
    "empty name": ("recipes/table6.py:", r"no recipe of this name. Received: ''"),
}


@pytest.mark.parametrize("kind", PATHS)
def test_paths_of_recipes(kind, assert_refused, monkeypatch):
    monkeypatch.chdir(ROOT)
    path, answer = PATHS[kind]
    assert_refused(lambda: load_recipe(path), answer)


OVERRIDES = {
    "lr=0.1": r"Received: 'lr'. Nearest: 'learning_rate'",
    "bs=8": r"Received: 'bs'. Nearest: 'batch_size'",
    "Epochs=8": r"Received: 'Epochs'. Nearest: 'epochs'",
    "weight_decay=0.1": r"Received: 'weight_decay'. It is an argument of the recipe's `optimizer`",
    "activation=relu": r"Received: 'activation'. It is an argument of the recipe's `model`",
    "=3": r"Received: ''",
    "": r"must read field=value. Received: ''",
    "epochs": r"must read field=value. Received: 'epochs'",
    "epochs 5": r"must read field=value. Received: 'epochs 5'",
    "epochs=": r"`epochs` must be int. Received: epochs=''",
    "epochs=3.0": r"`epochs` must be int. Received: epochs=3.0",
    "epochs=True": r"`epochs` must be int. Received: epochs=True",
    "epochs=None": r"`epochs` must be int. Received: epochs=None",
    "epochs=0": r"`epochs` must be at least 1. Received: epochs=0",
    "epochs=-3": r"`epochs` must be at least 1. Received: epochs=-3",
    f"epochs={2**63}": r"`epochs` must be below 2\*\*31. Received: epochs=9223372036854775808",
    f"epochs={'9' * 5000}": r"`epochs` must be int. Received: epochs='999",
    f"epochs={'(' * 500}": r"`epochs` must be int. Received: epochs='\(\(",
    "epochs={[]: 1}": r"`epochs` must be int. Received: epochs='\{",
    "epochs=2**3": r"`epochs` must be int. Received: epochs='2\*\*3'",
    "batch_size=8\0": r"`batch_size` must be int. Received: batch_size=",
    "seed=-1": r"`seed` must be at least 0 and below 2\*\*31. Received: seed=-1",
    f"seed={2**32}": r"`seed` must be at least 0 and below 2\*\*31. Received: seed=4294967296",
    "seed=one": r"`seed` must be int. Received: seed='one'",
    "learning_rate=fast": r"`learning_rate` must be float. Received: learning_rate='fast'",
    "learning_rate=0": r"`learning_rate` must be positive and finite. Received: learning_rate=0.0",
    "learning_rate=1e999": r"`learning_rate` must be positive and finite. Received: .*=inf",
    "learning_rate=nan": r"`learning_rate` must be float. Received: learning_rate='nan'",
    f"learning_rate={10**400}": r"`learning_rate` must be float. Received: learning_rate=1000",
    "learning_rate=1j": r"`learning_rate` must be float. Received: learning_rate=1j",
    "minimum_learning_rate=9": r"at most `learning_rate`, 0.1. Received: minimum_learning_rate=9.0",
    "warmup_epochs=200": r"`warmup_epochs` must be smaller than `epochs`. Received: warmup",
    "warmup_epochs=-1": r"`warmup_epochs` must be at least 0. Received: warmup_epochs=-1",
    "label_smoothing=1": r"`label_smoothing` must be at least 0 and below 1. Received: .*=1.0",
    "drop_path=-0.1": r"`drop_path` must be at least 0 and below 1. Received: drop_path=-0.1",
    "ema_momentum=1": r"`ema_momentum` must lie between 0 and 1. Received: ema_momentum=1.0",
    "global_clipnorm=0": r"`global_clipnorm` must be positive and finite. Received: .*=0.0",
    "gradient_accumulation_steps=3": r"must divide `batch_size`. Received: gradient_accum.*=3",
    "precision=float16": r"`precision` must be one of .*Received: precision='float16'",
    "precision=16": r"`precision` must be str. Received: precision=16",
    "synchronized_bn=1": r"`synchronized_bn` must be bool. Received: synchronized_bn=1",
    "synchronized_bn=yes": r"`synchronized_bn` must be bool. Received: synchronized_bn='yes'",
    "nan_policy=ignore": r"`nan_policy` must be one of .*Received: nan_policy='ignore'",
    "checkpoint_minutes=0": r"`checkpoint_minutes` must be positive. Received: .*=0.0",
    "steps_per_execution=0": r"`steps_per_execution` must be at least 1. Received: .*=0",
    "evaluate_every=0": r"`evaluate_every` must be at least 1. Received: evaluate_every=0",
    "reference=101": r"`reference` must be a percentage. Received: reference=101.0",
    "initial_weights=3": r"`initial_weights` must be str or None. Received: initial_weights=3",
    "exclude_from_weight_decay=bias": r"must be tuple. Received: exclude_from_.*='bias'",
    "exclude_from_weight_decay=('(',)": r"tuple of regular expressions. Received: '\('",
    "exclude_from_weight_decay=(1,)": r"tuple of regular expressions. Received: 1",
    "dataset=DIGITS": r"`dataset` must be a Dataset. Received: dataset='DIGITS'",
    "augment=[]": r"`augment` must be a function or None. Received: augment=\[\]",
    "optimizer=SGD": r"`optimizer` must be a function. Received: optimizer='SGD'",
    "decay=cosine": r"`decay` must be a function. Received: decay='cosine'",
    "file=x.py": r"A recipe has no field of this name. Received: 'file'",
}


@pytest.fixture(scope="module")
def flagship():
    """The recipe's file, executed once for all rows."""
    return execute(FLAGSHIP)


@pytest.mark.parametrize("override", OVERRIDES, ids=lambda text: ascii(text)[:40])
def test_overrides(override, assert_refused, flagship, monkeypatch):
    monkeypatch.setattr("keras_rescnet.recipe.loading.execute", lambda file: dict(flagship))
    assert_refused(lambda: load_recipe(FLAGSHIP, [override]), OVERRIDES[override])


@pytest.mark.parametrize("text", ["learning_rate=1", "label_smoothing=0", "reference=94"])
def test_a_whole_number_does_for_a_fraction(text):
    name = text.partition("=")[0]
    value = getattr(load_recipe(FLAGSHIP, [text]), name)
    assert isinstance(value, float) and value == float(text.partition("=")[2])


def raising(*_):
    raise KeyError("own")


def a_model():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])


IN_PYTHON = {
    "a model": (lambda: {"model": a_model()}, r"`model` must be what makes a model.*a model"),
    "an optimizer": (lambda: {"optimizer": keras.optimizers.SGD()}, r"`optimizer` must be a func"),
    "a dataset's name": (lambda: {"dataset": "digits"}, r"`dataset` must be a Dataset"),
    "an array": (lambda: {"epochs": np.arange(3)}, r"`epochs` must be int. Received: epochs=array"),
    "a list": (lambda: {"exclude_from_weight_decay": ["bias"]}, r"must be tuple. Received: "),
    "a long text": (lambda: {"precision": "x" * 9999}, r"Received: precision='xxx.*\.\.\."),
    "text of two lines": (lambda: {"nan_policy": "stop\nit"}, r"Received: nan_policy='stop"),
    "a decay that raises": (lambda: {"decay": raising}, r"`decay` failed in .*KeyError: 'own'"),
    "a decay of one": (lambda: {"decay": lambda epoch: 1.0}, r"`decay` failed in .*TypeError"),
    "a decay of nothing": (lambda: {"decay": lambda *_: None}, r"a factor .* Received: None from"),
    "a decay of NaN": (lambda: {"decay": lambda *_: float("nan")}, r"Received: nan from decay="),
    "a decay below 0": (lambda: {"decay": lambda *_: -1.0}, r"at least 0. Received: -1.0 from"),
    "NaN": (lambda: {"learning_rate": float("nan")}, r"`learning_rate` must be positive and fin"),
}


LATER = {
    "raises": (lambda epoch, _: 1 / (2 - epoch), "`decay` failed in .*ZeroDivisionError"),
    "is none": (lambda epoch, _: [1.0, 0.5, None][epoch], "Received: None from .* in epoch 2 of"),
    "is below 0": (lambda epoch, _: 1.0 - 0.6 * epoch, r"at least 0. Received: -0.19\d* from"),
    "is infinite": (lambda epoch, _: [1.0, 0.5, np.inf][epoch], "Received: inf from"),
}


@pytest.mark.parametrize("kind", LATER)
def test_a_decay_that_is_wrong_in_a_later_epoch(kind, assert_refused, tmp_path):
    decay, answer = LATER[kind]
    recipe = dataclasses.replace(noise.recipe, decay=decay, epochs=4)
    assert_refused(lambda: train(recipe, tmp_path / "run"), answer)


@pytest.mark.parametrize("kind", IN_PYTHON)
def test_fields_in_python(kind, assert_refused):
    changes, answer = IN_PYTHON[kind]
    fields = {"dataset": DIGITS, "model": CifarResNet8, "optimizer": SGD}
    fields |= {"batch_size": 8, "epochs": 10, "learning_rate": 0.1}
    assert_refused(lambda: Recipe(**{**fields, **changes()}), answer)


def test_overrides_that_are_no_list(assert_refused):
    answer = r"must be a list of 'field=value' strings. Received: overrides='seed=1'"
    assert_refused(lambda: load_recipe(FLAGSHIP, "seed=1"), answer)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def begun(folder, **changes):
    with WorkDir(folder, dataclasses.replace(noise.recipe, **changes)):
        pass


def finished(folder):
    with WorkDir(folder, noise.recipe) as work:
        work.results = {"test_accuracy": 0.5}
    write(folder / "results.json", '{"test_accuracy": 0.9}')


HOLDS = "new or empty folder.*Received: .*run, which holds"
WORKDIRS = {  # what lies in the workdir
    "a text": (lambda run: write(run / "notes.txt", ""), f"{HOLDS} 'notes.txt'"),
    "a hidden file": (lambda run: write(run / ".bashrc", ""), f"{HOLDS} '.bashrc'"),
    "a model": (lambda run: write(run / "model.keras", ""), f"{HOLDS} 'model.keras'"),
    "a log": (lambda run: write(run / "log.csv", ""), f"{HOLDS} 'log.csv'"),
    "results": (lambda run: write(run / "results.json", "{}"), f"{HOLDS} 'results.json'"),
    "a recipe": (lambda run: write(run / "recipe.py", ""), f"{HOLDS} 'recipe.py'"),
    "pictures": (lambda run: write(run / "train" / "cat" / "1.png", ""), f"{HOLDS} 'train'"),
    "a repository": (lambda run: write(run / ".git" / "HEAD", ""), f"{HOLDS} '.git'"),
    "many files": (
        lambda run: [write(run / f"file {i:04d} of many", "") for i in range(200)],
        rf"{HOLDS} 'file 0000 of many, .*\.\.\.",
    ),
    "a name in Latin-1": (
        lambda run: write(run / os.fsdecode(b"\xe4.txt"), ""),
        rf"{HOLDS} '.udce4.txt'",
    ),
    "another's run.json": (
        lambda run: write(run / "run.json", '{"port": 80}'),
        "with a run.json of something else",
    ),
    "another's results": (finished, "results.json in .* no checkpoint to finish the run from"),
    "another seed": (lambda run: begun(run, seed=1), "`seed` was 1. Received: seed=0"),
    "another length": (lambda run: begun(run, epochs=9), "`epochs` was 9. Received: epochs=3"),
    "other transforms": (lambda run: begun(run, augment=None), "`augment` was None. Received: aug"),
    "a file": (lambda run: write(run, "own"), "must be a folder. Received: .*file is in the way"),
    "checkpoints that are a file": (
        lambda run: write(run / "checkpoints", "own"),
        "must be a folder. Received: .*where a file is in the way",
    ),
    "a lock that is a folder": (
        lambda run: [(run / name).mkdir(parents=True) for name in (".lock", "checkpoints")],
        r"folder that can be written. Received: .*\(Is a directory\)",
    ),
    "a link to nowhere": (
        lambda run: run.symlink_to("/nowhere/at/all"),
        "must be a folder. Received: .*run",
    ),
    "a link to itself": (lambda run: run.symlink_to(run), "Received: .*run.*symbolic links"),
}


@pytest.mark.parametrize("kind", WORKDIRS)
def test_workdirs(kind, assert_refused, tmp_path):
    prepare, answer = WORKDIRS[kind]
    prepare(tmp_path / "run")
    before = contents(tmp_path)
    assert_refused(lambda: WorkDir(tmp_path / "run", noise.recipe), answer)
    after = contents(tmp_path)
    assert {path: after.get(path) for path in before} == before
    assert not set(after) - set(before) - {"run/.lock"}


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


NAMES = {
    "none": (None, r"path whose name is UTF-8. Received: None"),
    "a number": (3, r"path whose name is UTF-8. Received: 3"),
    "a zero byte": ("a\0b", r"path whose name is UTF-8. Received: 'a.x00b'"),
    "Latin-1": (os.fsdecode(b"\xe4"), r"path whose name is UTF-8. Received: '.udce4'"),
    "too long": ("/tmp/" + "a" * 4000, r"can be written. Received: /tmp/aaa.*File name too long"),
    "not a disk": ("/proc/run", r"can be written. Received: /proc/run"),
    "below a file": ("/etc/passwd/run", r"must be a folder. Received: /etc/passwd/run"),
    "a device": ("/dev/null", r"must be a folder. Received: /dev/null"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_of_workdirs(kind, assert_refused):
    name, answer = NAMES[kind]
    assert_refused(lambda: WorkDir(name, noise.recipe), answer)


def archive(**members):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "."), content)
    return data.getvalue()


def h5(**arrays):
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return data.getvalue()


def npz(**arrays):
    data = io.BytesIO()
    np.savez(data, **arrays)
    return data.getvalue()


def encrypted(data):
    """Sets the bit of a zip file's members that says so."""
    found = data.find(b"PK\x03\x04"), data.find(b"PK\x01\x02")
    changed = bytearray(data)
    changed[found[0] + 6] |= 1
    changed[found[1] + 8] |= 1
    return bytes(changed)


def another_compression(data):
    changed = bytearray(data)
    changed[data.find(b"PK\x03\x04") + 8] = 99
    changed[data.find(b"PK\x01\x02") + 10] = 99
    return bytes(changed)


CANNOT = "file of weights that can be read. Received: .*"
WEIGHTS = {  # the file's name and content
    "missing": ("a.keras", None, "must be a file, or the folder.*: .*a.keras, which is none"),
    "another kind": ("a.bin", b"", "must be a file of .keras, .weights.h5.*Received: .*a.bin"),
    "h5 alone": ("a.h5", b"", "must be a file of .keras, .weights.h5.*Received: .*a.h5"),
    "empty .keras": ("a.keras", b"", f"{CANNOT}a.keras .BadZipFile"),
    "text .keras": ("a.keras", b"no weights", f"{CANNOT}a.keras .BadZipFile"),
    "empty archive": ("a.keras", archive(), f"{CANNOT}a.keras .KeyError"),
    "no weights": ("a.keras", archive(config__json=b"{}"), f"{CANNOT}a.keras .KeyError"),
    "bad weights": ("a.keras", archive(model__weights__h5=b"x"), f"{CANNOT}a.keras .OSError"),
    "locked .keras": (
        "a.keras",
        encrypted(archive(model__weights__h5=b"x")),
        f"{CANNOT}a.keras .RuntimeError",
    ),
    "compression": (
        "a.keras",
        another_compression(archive(model__weights__h5=b"x")),
        f"{CANNOT}a.keras .NotImplementedError",
    ),
    "empty h5": ("a.weights.h5", b"", f"{CANNOT}a.weights.h5 .OSError"),
    "text h5": ("a.weights.h5", b"no weights", f"{CANNOT}a.weights.h5 .OSError"),
    "h5 of nothing": ("a.weights.h5", h5(), f"{CANNOT}a.weights.h5 .ValueError"),
    "h5 of something": ("a.weights.h5", h5(a=[1.0]), f"{CANNOT}a.weights.h5 .ValueError"),
    "h5 without names": (
        "a.weights.h5",
        h5(**{"vars/0": [1.0]}),
        f"{CANNOT}a.weights.h5 .ValueError: without names",
    ),
    "empty npz": ("a.npz", b"", f"{CANNOT}a.npz .EOFError"),
    "text npz": ("a.npz", b"no weights", f"{CANNOT}a.npz .(ValueError|UnpicklingError)"),
    "a zip npz": ("a.npz", archive(text=b"x"), f"{CANNOT}a.npz"),
    "locked npz": ("a.npz", encrypted(npz(bias=[1.0])), f"{CANNOT}a.npz .RuntimeError"),
    "compressed npz": (
        "a.npz",
        another_compression(npz(bias=[1.0])),
        f"{CANNOT}a.npz .NotImplementedError",
    ),
    "objects": ("a.npz", npz(bias=np.array([{}])), f"{CANNOT}a.npz .ValueError"),
    "texts": ("a.npz", npz(bias=np.array(["a"])), f"{CANNOT}a.npz .ValueError"),
    "another network": (
        "a.npz",
        npz(weight=[1.0]),
        "of cifar_resnet8 .*a.npz, with 1 weights for 47, of which 46 do not fit: stem",
    ),
    "one of its weights": (
        "a.npz",
        npz(**{"stem_bn/gamma": np.ones(16)}),
        "with 1 weights for 47, of which 44 do not fit: stem_conv/kernel, stem_bn/beta",
    ),
    "no kernel": ("a.npz", npz(**{"conv1.weight": 1.0}), "of which 45 do not fit: stem_conv/ker"),
}


@pytest.fixture(scope="module")
def network():
    return CifarResNet8()


@pytest.mark.parametrize("kind", WEIGHTS)
def test_initial_weights(kind, assert_refused, network, tmp_path):
    name, content, answer = WEIGHTS[kind]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    before = [keras.ops.convert_to_numpy(weight) for weight in network.weights]

    assert_refused(lambda: load_initial_weights(network, tmp_path / name), answer)
    for weight, array in zip(network.weights, before, strict=True):
        np.testing.assert_array_equal(weight, array)


def test_a_cut_file_of_weights(assert_refused, network, tmp_path):
    network.save(tmp_path / "whole.keras")
    network.save_weights(tmp_path / "whole.weights.h5")
    for name in ("whole.keras", "whole.weights.h5"):
        data = (tmp_path / name).read_bytes()
        for share in (0.1, 0.5, 0.9, 0.999):
            cut = tmp_path / f"cut{name[5:]}"
            cut.write_bytes(data[: int(share * len(data))])
            assert_refused(functools.partial(load_initial_weights, network, cut), CANNOT)


def test_the_tables_have_their_rows():
    tables = (FILES, PATHS, OVERRIDES, IN_PYTHON, WORKDIRS, NAMES, WEIGHTS)
    assert sum(map(len, tables)) >= 140
