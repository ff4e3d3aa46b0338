"""Trains a recipe.

    python train.py --recipe recipes/cifar10_gclu_vgg16.py
    python train.py --recipe recipes/table5.py:cifar10-vgg16-gclu --set epochs=30 --set seed=1

The same command again continues a run that was stopped, and prints the results of a finished
one. KERAS_BACKEND=jax trains with JAX. TF_CPP_MIN_LOG_LEVEL=0 shows TensorFlow's own messages.

A recipe is a Python program: run only recipes that you trust.

Exit codes: 0 trained, 2 a mistake in what was asked for, 3 the loss is no longer finite, 4 another
process of the run is gone, 129, 130 and 143 stopped by a closed terminal, Ctrl-C and SIGTERM, and
saved.
"""

import json
import os
import pathlib
import sys

from absl import flags

from keras_rescnet.command import (
    define_data_dir,
    define_recipe,
    quiet_imports,
    run_command,
)
from keras_rescnet.console import say


def main(arguments):
    """Trains the recipe that the arguments name."""
    values = flags.FlagValues()
    path, overrides = define_recipe(values)
    folder = flags.DEFINE_string(
        "workdir",
        None,
        "Folder of the run. One that is not there is made; a run that was stopped continues in its "
        "own. Not given, it is runs/<name of the recipe>.",
        flag_values=values,
    )
    data_dir = define_data_dir(values)
    devices = flags.DEFINE_integer(
        "devices",
        None,
        "How many devices to use. Not given, all GPUs are used, or the CPU where there is none.",
        flag_values=values,
    )
    processes = flags.DEFINE_integer(
        "processes",
        1,
        "Starts this many processes of the run on this machine, which share its CPUs. One process "
        "uses all GPUs; launchers of other machines are in docs/multi_machine.md.",
        flag_values=values,
    )
    timeout = flags.DEFINE_integer(
        "timeout",
        300,
        "Seconds that one of several processes waits for the others before it gives up.",
        flag_values=values,
    )
    record = flags.DEFINE_string(
        "record",
        None,
        "Folder to write a record of the finished run into, one small JSON file.",
        flag_values=values,
    )

    def command(_):
        if processes.value != 1:
            from keras_rescnet.training.launchers.local import run_locally

            words = _without(arguments[1:], "processes")
            module = [sys.executable, "-m", "keras_rescnet.training"]
            sys.exit(run_locally([*module, *words], processes.value))
        with quiet_imports():
            from keras_rescnet.analysis.records import check_folder, write_record
            from keras_rescnet.recipe import load_recipe, recipe_name
            from keras_rescnet.training import train
            from keras_rescnet.training.run import Run  # noqa: F401  loads what `train` needs
        recipe = load_recipe(path.value, overrides.value)
        if record.value is not None:
            check_folder(record.value)
        workdir = folder.value or os.path.join("runs", recipe_name(path.value))
        results = train(
            recipe,
            workdir,
            data_dir=data_dir.value,
            devices=devices.value,
            timeout=timeout.value,
        )
        say(json.dumps(results, indent=2))
        if recipe.reference is not None:
            say(f"The paper has {recipe.reference:.2f} %, its best epoch's test accuracy.")
        if record.value is not None:
            file = write_record(record.value, recipe, path.value, overrides.value, workdir)
            say(f"The record is {file}.")
        say(f"Everything is in {workdir}.")

    name = pathlib.Path(arguments[0]).name  # train.py, or the console script's train
    name = "train" if name == "__main__.py" else name
    run_command(name, __doc__, arguments, values, command, required=["recipe"])


def _without(words, flag):
    """Returns the words of a command line without a flag and its value."""
    kept, drop = [], False
    for word in words:
        name, equals, _ = word.partition("=")
        if drop or name in (f"--{flag}", f"-{flag}"):
            drop = not drop and not equals
        else:
            kept.append(word)
    return kept


if __name__ == "__main__":
    main(sys.argv)
