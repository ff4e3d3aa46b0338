"""The command `train`: mistakes in what was asked for."""

import subprocess
import sys

import pytest

from support import ROOT, pictures
from support.commands import answer

COMMANDS = {
    "no recipe": ([], "--recipe is missing"),
    "unknown flag": (["--recepe=x.py"], "Unknown command line flag 'recepe'"),
    "stray word": (["x.py"], "Arguments are given as --flag value. Received: x.py"),
    "no file": (["--recipe=recipes/none.py"], "recipes/none.py, which is no file"),
    "field": (
        ["--recipe=recipes/cifar10_resnet32.py", "--set=epoch=1"],
        "Received: 'epoch'. Nearest: 'epochs'",
    ),
    "file in the way": (
        ["--recipe=recipes/digits_gclu_resnet8.py", "--workdir=README.md"],
        "`workdir` must be a folder",
    ),
    "no devices": (
        ["--recipe=recipes/digits_gclu_resnet8.py", "--devices=0", "--workdir={tmp}"],
        "`devices` must be a positive integer. Received: devices=0",
    ),
    "record": (
        ["--recipe=recipes/digits_gclu_resnet8.py", "--record=README.md", "--workdir={tmp}"],
        "--record must be a folder. Received: README.md",
    ),
    "too many devices": (
        ["--recipe=recipes/digits_gclu_resnet8.py", "--devices=99", "--workdir={tmp}"],
        "Received: devices=99",
    ),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_mistake_is_one_line_and_exit_code_2(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    arguments, message = COMMANDS[case]
    arguments = [argument.format(tmp=tmp_path / "run") for argument in arguments]
    assert message in answer("training", *arguments, capsys=capsys)
    assert not (tmp_path / "run").exists()


RECIPE = """
import dataclasses
import pathlib

from keras_rescnet.data import image_folder
from support import noise


def model(*arguments, **options):
    pathlib.Path({file!r}).unlink(missing_ok=True)  # when the folder has been looked through
    return noise.recipe.model(*arguments, **options)


dataset = image_folder({folder!r}, size=28)
recipe = dataclasses.replace(noise.recipe, dataset=dataset, model=model, augment=None, epochs=2)
"""


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_picture_that_disappears_is_named_in_one_line(split, tmp_path, capsys):
    folder = pictures.write(tmp_path / "pictures")
    file = folder / split / "cat" / "0.jpg"
    recipe = tmp_path / "recipe.py"
    recipe.write_text(RECIPE.format(file=str(file), folder=str(folder)))
    arguments = [f"--recipe={recipe}", f"--workdir={tmp_path / 'run'}"]
    error = answer("training", *arguments, capsys=capsys)
    assert f"Received: {file}: No such file or directory. Once it is there again" in error


def test_the_program_of_the_checkout_answers_under_its_own_name():
    command = [sys.executable, ROOT / "train.py", "--recepe=recipes/none.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("train.py: Unknown command line flag 'recepe'")
    assert done.stderr.count("\n") == 1
