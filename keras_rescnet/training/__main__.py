"""The command `train`; `train.py --help` explains its flags."""

import json
import os
import pathlib

from absl import flags

from keras_rescnet.analysis.records import check_folder, write_record
from keras_rescnet.command import run_command
from keras_rescnet.console import say
from keras_rescnet.mistake import Mistake
from keras_rescnet.recipe import load_recipe, recipe_name
from keras_rescnet.training import train


def main(arguments):
    """Trains the recipe that is named."""
    values = flags.FlagValues()
    path = flags.DEFINE_string("recipe", None, "Recipe: FILE or FILE:NAME.", flag_values=values)
    overrides = flags.DEFINE_multi_string(
        "set", [], "field=value, of the recipe.", flag_values=values
    )
    folder = flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=values)
    data_dir = flags.DEFINE_string("data_dir", None, "Where the data is.", flag_values=values)
    devices = flags.DEFINE_integer("devices", None, "How many; all GPUs.", flag_values=values)
    timeout = flags.DEFINE_integer("timeout", 300, "To wait for others, s.", flag_values=values)
    record = flags.DEFINE_string("record", None, "Folder of records.", flag_values=values)

    def command(words):
        if path.value is None:
            raise Mistake("--recipe FILE is missing; --help says more. Received: no recipe.")
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
    run_command(name, "Trains a recipe.", arguments, values, command)
