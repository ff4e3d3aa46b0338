"""The folder of a run: whose it is, what it says of the run, and what becomes of damaged files."""

import csv
import dataclasses
import errno
import fcntl
import json
import os
import pathlib

import numpy as np
import pytest

from keras_rescnet import load_recipe
from keras_rescnet.mistake import Mistake
from keras_rescnet.training import environment
from keras_rescnet.training.checkpoint import Checkpoints
from keras_rescnet.training.state import RunState
from keras_rescnet.training.workdir import WorkDir

FILE = '''"""A recipe whose numbers hang on a constant and a helper."""

import functools
from functools import partial

from keras_rescnet import Recipe, augment, gclu
from keras_rescnet.data import DIGITS
from keras_rescnet.models import CifarResNet8
from keras_rescnet.optimizers import SGD

PADDING = 2


def crop():
    return augment.RandomCrop(padding=PADDING)


def twice(function):
    @functools.wraps(function)
    def both():
        return 2 * function()

    return both


@twice
def transforms():
    """Returns the transforms."""
    return [crop()]  # one


recipe = Recipe(
    dataset=DIGITS,
    augment=transforms,
    model=partial(CifarResNet8, activation=gclu),
    optimizer=partial(SGD, momentum=0.9),
    decay=lambda epoch, epochs: 1.0 - epoch / epochs,
    batch_size=32,
    epochs=20,
    learning_rate=0.05,
)
'''


@pytest.fixture
def recipe_of(tmp_path):
    """Returns the recipe of a file with some of its text replaced."""
    (tmp_path / "recipes").mkdir()

    def write(*replacements):
        text = FILE
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "recipes" / "own.py").write_text(text)
        return load_recipe(tmp_path / "recipes" / "own.py")

    return write


@pytest.fixture
def recipe(recipe_of):
    return recipe_of()


@pytest.fixture
def workdir(tmp_path):
    return tmp_path / "run"


def with_checkpoint(workdir):
    (workdir / "checkpoints" / "step-00000005.0.npz").write_bytes(b"")


def run_of(workdir):
    return json.loads((workdir / "run.json").read_text())


EDITS = {  # what decides numbers, and the words that name it
    "constant": (("PADDING = 2", "PADDING = 12"), r"uses.crop.uses.PADDING=12"),
    "helper": (
        ("padding=PADDING", "padding=2 * PADDING"),
        r"augment.uses.function.uses.crop.code='return",
    ),
    "function": (
        ("return [crop()]", "return [crop(), crop()]"),
        r"augment.uses.function.code='return \[crop",
    ),
    "decorator": (("return 2 * ", "return 3 * "), r"augment.code='return 3 \* function"),
    "lambda": (("1.0 - epoch / epochs", "1.0 - epoch"), r"decay.code='lambda epoch, epochs: 1.0 -"),
    "argument": (("activation=gclu", "activation='relu'"), r"model.activation='relu'"),
    "number": (("epochs=20", "epochs=19"), r"`epochs` was 20. Received: epochs=19"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_that_decides_numbers_is_refused_and_named(edit, recipe_of, workdir):
    with WorkDir(workdir, recipe_of()):
        pass
    before = (workdir / "recipe.py").read_text(), (workdir / "run.json").read_text()
    replacement, message = EDITS[edit]
    with pytest.raises(Mistake, match=f"holds a run of another recipe: .*{message}") as caught:
        WorkDir(workdir, recipe_of(replacement))
    assert "\n" not in str(caught.value)
    assert before == ((workdir / "recipe.py").read_text(), (workdir / "run.json").read_text())


FREE_EDITS = {
    "comment": ("# one", "# another one"),
    "docstring": ('"""Returns the transforms."""', '"""Returns them."""'),
    "formatting": ("return [crop()]", "return [\n        crop()\n    ]"),
    "unused": ("PADDING = 2", "PADDING = 2\nUNUSED = 3"),
    "value": ("PADDING = 2", "PADDING = 1 + 1"),
    "free field": ("epochs=20", "nan_policy='rollback', epochs=20"),
}


@pytest.mark.parametrize("edit", FREE_EDITS)
def test_an_edit_that_decides_no_number_goes_on(edit, recipe_of, workdir, capsys):
    with WorkDir(workdir, recipe_of()):
        pass
    capsys.readouterr()
    with WorkDir(workdir, recipe_of(FREE_EDITS[edit])):
        pass
    assert "own.py is not the file that the run was started with" in capsys.readouterr().out
    assert FREE_EDITS[edit][1] in (workdir / "recipe.py").read_text()
    assert (workdir / "recipe.before.py").read_text() == FILE
    first, second = run_of(workdir)["starts"]
    assert first["recipe"] == second["recipe"] and first["file"] != second["file"]


@pytest.mark.parametrize(
    "changes",
    [
        {"nan_policy": "rollback"},
        {"checkpoint_minutes": 1.0},
        {"steps_per_execution": 7},
        {"reference": 90.0},
    ],
)
def test_fields_that_decide_no_number_may_change(changes, recipe, workdir, capsys):
    with WorkDir(workdir, recipe):
        pass
    with WorkDir(workdir, dataclasses.replace(recipe, **changes)):
        pass
    ((name, value),) = changes.items()
    before = getattr(recipe, name)
    assert f"Continues with {name}={value!r}; it was {before!r}." in capsys.readouterr().out
    assert run_of(workdir)["recipe"][name] == value


@pytest.mark.parametrize("first", [None, ("stem_",)])
def test_another_choice_of_trained_weights_is_refused_and_named(first, recipe, workdir):
    with WorkDir(workdir, dataclasses.replace(recipe, trainable=first)):
        pass
    then = ("logits/",) if first is None else None
    with pytest.raises(Mistake, match="`trainable` was .*. Received: trainable=(.'logits/'.|None)"):
        WorkDir(workdir, dataclasses.replace(recipe, trainable=then))


def test_code_of_a_notebook_is_part_of_its_recipe(recipe, workdir):
    def one():
        return []

    def other():
        return [1]

    with WorkDir(workdir, dataclasses.replace(recipe, file=None, augment=one)):
        pass
    with WorkDir(workdir, dataclasses.replace(recipe, file=None, augment=one)):
        pass
    with pytest.raises(Mistake, match="`augment.code` was"):
        WorkDir(workdir, dataclasses.replace(recipe, file=None, augment=other))


@pytest.mark.parametrize("kept", ["", None])
def test_a_recipe_file_that_a_power_cut_emptied_is_copied_again(kept, recipe, workdir):
    with WorkDir(workdir, recipe):
        pass
    (workdir / "recipe.py").unlink()
    if kept is not None:
        (workdir / "recipe.py").write_text(kept)
    with WorkDir(workdir, recipe):
        pass
    assert (workdir / "recipe.py").read_text() == FILE
    assert not (workdir / "recipe.before.py").exists()


def test_every_start_is_recorded(recipe, workdir):
    with WorkDir(workdir, recipe, devices=["CPU:0"]) as folder:
        folder.note_progress(5, 1.5)
        folder.note_progress(10, 3.0)  # and then SIGKILL
    with WorkDir(workdir, recipe, devices=["CPU:0"]) as folder:
        folder.note_progress(20, 2.25)
    run = run_of(workdir)
    assert [(start["step"], start["seconds"]) for start in run["starts"]] == [(10, 3.0), (20, 2.2)]
    assert run["seconds"] == 5.2
    facts = run["starts"][0]["environment"]
    assert facts["threads"] == len(os.sched_getaffinity(0)) and facts["devices"] == ["CPU:0"]
    assert facts["versions"]["keras"] and facts["backend"]
    assert run["starts"][0]["recipe"] == recipe.digest()


DIFFERENCES = {
    "threads": ({"threads": 1}, "threads 2 -> 1"),
    "backend": ({"backend": "jax"}, "backend tensorflow -> jax"),
    "version": ({"versions": {"keras": "3.16"}}, "keras 3.15 -> 3.16"),
    "instructions": ({"instructions": ["avx2"]}, "instructions avx2 avx512 -> avx2"),
    "variable": (
        {"variables": {"ONEDNN_MAX_CPU_ISA": "AVX2"}},
        "ONEDNN_MAX_CPU_ISA none -> AVX2",
    ),
    "devices": ({"devices": ["GPU:0"]}, "devices CPU:0 -> GPU:0"),
}
ENVIRONMENT = {
    "backend": "tensorflow",
    "versions": {"keras": "3.15"},
    "instructions": ["avx2", "avx512"],
    "threads": 2,
    "devices": ["CPU:0"],
    "variables": {},
}


@pytest.mark.parametrize("kind", DIFFERENCES)
def test_a_start_that_differs_in_what_decides_bits_says_so(
    kind, recipe, workdir, monkeypatch, capsys
):
    facts = dict(ENVIRONMENT)
    monkeypatch.setattr("keras_rescnet.training.workdir.environment", lambda devices: facts)
    with WorkDir(workdir, recipe):
        with_checkpoint(workdir)
    with WorkDir(workdir, recipe):
        pass
    assert "This start differs" not in capsys.readouterr().out
    changes, words = DIFFERENCES[kind]
    facts = {**ENVIRONMENT, **changes}
    with WorkDir(workdir, recipe):
        pass
    (line,) = capsys.readouterr().out.splitlines()
    assert line == (
        f"This start differs from the one before in what may decide the last bits of the "
        f"result: {words}."
    )


def test_the_environment_sees_how_many_cpus_are_allowed():
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        assert environment.environment()["threads"] == 1
    finally:
        os.sched_setaffinity(0, cpus)


DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "empty": lambda path: path.write_bytes(b""),
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe" + path.read_bytes()),
    "a list": lambda path: path.write_text("[1, 2]"),
    "a bit flipped": lambda path: path.write_bytes(
        path.read_bytes().replace(b'"seed": 0', b'"seed": 1')
    ),
    "a folder": lambda path: (path.unlink(), path.mkdir(), (path / "file").write_text("own")),
    "deep": lambda path: path.write_text("[" * 100_000),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_run_json_is_kept_aside_and_made_again(kind, recipe, workdir, capsys):
    with WorkDir(workdir, recipe):
        pass
    DAMAGE[kind](workdir / "run.json")
    with WorkDir(workdir, recipe):
        pass
    assert "run.json must be as the run wrote it, but is damaged." in capsys.readouterr().out
    assert (workdir / "run.json.damaged").exists()
    assert run_of(workdir)["recipe"]["seed"] == 0


RESULTS = {"epoch": 20, "test_accuracy": 0.5, "seed": 0}


@pytest.fixture
def finished(recipe, workdir):
    """The folder of a run that has all that is checked of a finished one."""
    with WorkDir(workdir, recipe) as folder:
        with_checkpoint(workdir)
        with folder.write_aside("model.keras") as path:
            path.write_text("a model")
        with folder.write_aside("saved_model") as path:
            (path / "variables").mkdir(parents=True)
            (path / "variables" / "data").write_text("variables")
        folder.results = RESULTS
    return workdir


def test_a_finished_run_gives_its_results(finished, recipe, capsys):
    capsys.readouterr()
    with WorkDir(finished, recipe) as folder:
        assert folder.results == RESULTS
    assert capsys.readouterr().out == ""
    assert json.loads((finished / "results.json").read_text()) == RESULTS
    assert len(run_of(finished)["starts"]) == 1  # the start that made the results


@pytest.mark.parametrize("kind", [kind for kind in DAMAGE if kind != "a list"])
@pytest.mark.parametrize("name", ["results.json", "model.keras", "saved_model/variables/data"])
def test_a_finished_run_with_a_damaged_file_is_finished_again(name, kind, finished, recipe, capsys):
    if kind == "a bit flipped" and name == "results.json":
        (finished / name).write_text((finished / name).read_text().replace("0.5", "0.7"))
    elif kind == "a bit flipped":
        (finished / name).write_text("another text")
    else:
        DAMAGE[kind](finished / name)
    capsys.readouterr()
    with WorkDir(finished, recipe) as folder:
        assert folder.results is None
    output = capsys.readouterr().out
    top = name.split("/")[0]
    assert f"{finished / top} is kept as {top}.damaged" in output
    assert not (finished / "results.json").exists()
    assert len(run_of(finished)["starts"]) == 2


def test_a_finished_run_without_checkpoints_is_not_trained_anew(finished, recipe, capsys):
    (finished / "checkpoints" / "step-00000005.0.npz").unlink()
    (finished / "model.keras").unlink()
    with WorkDir(finished, recipe) as folder:
        assert folder.results == RESULTS
    assert "There is no checkpoint to make them again from." in capsys.readouterr().out
    (finished / "results.json").write_text('{"test_accuracy": 0.9}')
    with pytest.raises(Mistake, match="There is no checkpoint to finish the run from. Received: "):
        WorkDir(finished, recipe)


def test_a_lost_run_json_does_not_make_results_true(finished, recipe, capsys):
    (finished / "run.json").unlink()
    with WorkDir(finished, recipe) as folder:
        assert folder.results is None


@pytest.mark.parametrize("name", ["notes.txt", "model.keras", "log.csv", "recipe.py"])
def test_a_folder_of_something_else_is_refused_and_left_alone(name, recipe, workdir):
    workdir.mkdir()
    (workdir / name).write_text("precious")
    with pytest.raises(Mistake, match=f"new or empty folder.*Received: .*run, which holds '{name}"):
        WorkDir(workdir, recipe)
    assert [path.name for path in workdir.iterdir()] == [name]
    assert (workdir / name).read_text() == "precious"


def test_a_run_json_of_something_else_is_refused(recipe, workdir):
    workdir.mkdir()
    (workdir / "run.json").write_text('{"port": 80}')
    with pytest.raises(Mistake, match="with a run.json of something else"):
        WorkDir(workdir, recipe)
    assert (workdir / "run.json").read_text() == '{"port": 80}'


def test_a_folder_with_leftovers_of_a_start_alone_is_taken(recipe, workdir):
    (workdir / "checkpoints").mkdir(parents=True)
    (workdir / ".lock").touch()
    (workdir / ".run.12.tmp.json").write_text("half")
    with WorkDir(workdir, recipe):
        assert not (workdir / ".run.12.tmp.json").exists()


def test_a_start_that_fails_leaves_nothing(recipe, tmp_path):
    for workdir in (tmp_path / "a" / "b" / "run", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(Mistake), WorkDir(workdir, recipe):
            assert (workdir / "run.json").exists()
            raise Mistake("such as no data")
    assert not (tmp_path / "a").exists() and not list((tmp_path / "empty").iterdir())


def test_a_run_that_trained_stays_when_it_fails(recipe, workdir):
    with pytest.raises(Mistake), WorkDir(workdir, recipe):
        with_checkpoint(workdir)
        raise Mistake("such as a damaged picture")
    with pytest.raises(Mistake), WorkDir(workdir, recipe):
        raise Mistake("again")
    assert (workdir / "run.json").exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_will_do(number, recipe, workdir, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with WorkDir(workdir, recipe) as folder:
        folder.note_progress(5, 1.0)
    assert "has no locks" in capsys.readouterr().out
    assert run_of(workdir)["seconds"] == 1.0


def test_a_workdir_in_use_is_refused(recipe, workdir):
    with WorkDir(workdir, recipe):
        with pytest.raises(Mistake, match="Another run is writing into this workdir. Received: "):
            WorkDir(workdir, recipe)
    with WorkDir(workdir, recipe):
        pass


BAD_PATHS = {
    "not UTF-8": (os.fsdecode(b"/tmp/\xff\xfe"), "whose name is UTF-8. Received: '/tmp/.udcff"),
    "null": ("/tmp/a\0b", "whose name is UTF-8"),
    "number": (3, "whose name is UTF-8. Received: 3"),
    "none": (None, "whose name is UTF-8. Received: None"),
    "too long": ("/tmp/" + "a" * 300, "can be written. Received: /tmp/aaa.*File name too long"),
    "not writable": ("/proc/x", "must be a folder that can be written. Received: /proc/x"),
    "below a file": ("/etc/passwd/run", "must be a folder. Received: /etc/passwd/run, where a f"),
}


@pytest.mark.parametrize("kind", BAD_PATHS)
def test_paths_that_cannot_be_a_workdir_are_refused(kind, recipe):
    path, message = BAD_PATHS[kind]
    with pytest.raises(Mistake, match=message):
        WorkDir(path, recipe)


@pytest.mark.parametrize("change", ["moved", "removed", "a file in its place"])
def test_a_workdir_that_goes_away_stops_nothing(change, recipe, workdir, capsys):
    with WorkDir(workdir, recipe) as folder:
        workdir.rename(workdir.with_name("elsewhere"))
        if change == "a file in its place":
            workdir.write_text("own")
        folder.note_progress(5, 1.0)
        folder.write_log([{"epoch": 1, "test_accuracy": None}])
        output = capsys.readouterr().out
        assert "run.json could not be written (N" in output and "Training continues" in output
        with pytest.raises(Mistake, match="model.keras could not be written.*The run is saved"):
            with folder.write_aside("model.keras") as path:
                path.write_text("model")


def test_a_full_disk_at_the_end_is_said_in_one_line(recipe, small_disk):
    disk = small_disk("256k")
    with WorkDir(disk / "run", recipe) as folder:
        with pytest.raises(Mistake, match=r"model.keras could not be written \(No space left"):
            with folder.write_aside("model.keras") as path:
                path.write_bytes(b"0" * 500_000)
        assert not list((disk / "run").glob(".*tmp*"))


def test_a_folder_that_becomes_read_only_stops_nothing(recipe, workdir, monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with WorkDir(workdir, recipe) as folder:
        checkpoints = Checkpoints(folder.checkpoints)
        with monkeypatch.context() as patch:
            for name in ("write_bytes", "unlink", "rename", "replace"):
                patch.setattr(pathlib.Path, name, refuse)
            folder.note_progress(5, 1.0)
            folder.write_log([{"epoch": 1}])
            checkpoints.save(RunState(step=5), {"weight": np.zeros(3)})
            assert checkpoints.wait() is False
        output = capsys.readouterr().out
        for name in ("run.json", "log.csv", "The checkpoint of step 5"):
            assert f"{name} could not be written (Read-only file system). Training" in output
        checkpoints.close()
        folder.note_progress(10, 2.0)
    assert run_of(workdir)["seconds"] == 2.0


def test_what_was_not_measured_is_an_empty_field(recipe, workdir):
    with WorkDir(workdir, recipe) as folder:
        folder.write_log([{"epoch": 1, "test_accuracy": None}, {"epoch": 2, "test_accuracy": 0.5}])
    with open(workdir / "log.csv") as file:
        assert [row["test_accuracy"] for row in csv.DictReader(file)] == ["", "0.5"]


def test_other_data_are_refused(recipe, workdir):
    with WorkDir(workdir, recipe) as folder:
        folder.update_run(data={"name": "digits", "std": (0.376,)})
        folder.check_data({"name": "digits", "std": (0.376,)})
        with pytest.raises(Mistake, match=r"other data: `std` was \[0.376\]. Received: std=\[0.5"):
            folder.check_data({"name": "digits", "std": (0.5,)})


def test_a_loss_that_comes_or_goes_is_another_recipe(tmp_path):
    """The field is left out of descriptions at its default."""
    from keras_rescnet.losses import categorical_focal_crossentropy
    from support import noise

    focal = dataclasses.replace(noise.recipe, loss=categorical_focal_crossentropy)
    for before, now, message in (
        (noise.recipe, focal, "`loss` was None. Received: loss='keras_rescnet.losses"),
        (focal, noise.recipe, "`loss` was 'keras_rescnet.losses.categ.*Received: loss=None"),
    ):
        folder = tmp_path / str(before is focal)
        with WorkDir(folder, before):
            pass
        with WorkDir(folder, before):  # the same continues
            pass
        with pytest.raises(ValueError, match=message):
            WorkDir(folder, now)
