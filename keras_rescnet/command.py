"""How every command begins and ends."""

import os
import pathlib
import sys

import keras
import tensorflow as tf
from absl import flags

from keras_rescnet.mistake import Mistake


def run_command(name, help_text, arguments, values, function, takes_words=False):
    """Parses flags, calls `function` with the words that are no flags, and ends the process.

    A `Mistake` is the user's to mend: one line, exit code 2. Any other exception is a defect, and
    keeps its traceback. A loss that is not finite ends with 3, a
    run that lost another of its processes with 4, Ctrl-C with 130.

    Args:
        name: The command's name in messages.
        help_text: What `--help` says above the flags.
        arguments: As `sys.argv`: the program, flags and words.
        values: absl's `FlagValues` of the command.
        function: Called with the list of words.
        takes_words: Whether there may be any.
    """
    if {"--help", "-h", "-help"} & set(arguments):
        print(f"{help_text}\n{values.get_help()}")
        return
    try:
        words = values(arguments)[1:]
        if words and not takes_words:
            raise flags.Error(f"Arguments are given as --flag value. Received: {' '.join(words)}")
    except flags.Error as error:
        _end(name, error, 2)
    keras.config.disable_traceback_filtering()  # it would hide who raised what
    tf.debugging.disable_traceback_filtering()
    try:
        function(words)
    except Mistake as error:
        _end(name, error, 2)
    except FloatingPointError as error:
        _end(name, error, 3)
    except ConnectionError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        os._exit(4)  # an orderly exit would wait for the process that is gone
    except KeyboardInterrupt:
        sys.exit(130)


def check_output(flag, path):
    """Raises a `ValueError` unless a file can lie at `path`: before the work, not after it."""
    file = pathlib.Path(path)
    if file.is_dir() or not file.resolve().parent.is_dir():
        raise Mistake(f"--{flag} must lie in an existing folder. Received: {path}.")


def _end(name, error, code):
    print(f"{name}: {error}", file=sys.stderr)
    sys.exit(code)
