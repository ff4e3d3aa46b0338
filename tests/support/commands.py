"""Commands, run in the process of the tests."""

import runpy
import sys
from unittest import mock

import pytest


def run_command(name, *arguments):
    """Runs a command as `python -m keras_rescnet.<name>` does.

    It is not imported: `keras_rescnet.evaluate` would then be the command, not the function.
    """
    with mock.patch.object(sys, "argv", [name, *map(str, arguments)]):
        runpy.run_module(f"keras_rescnet.{name}", run_name="__main__", alter_sys=True)


def answer(name, *arguments, capsys, code=2):
    """Returns the one line on stderr with which a command ends."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        run_command(name, *arguments)
    error = capsys.readouterr().err
    assert caught.value.code == code, error
    shown = "train" if name == "training" else name
    assert error.count("\n") == 1 and error.startswith(f"{shown}: "), error
    return error
