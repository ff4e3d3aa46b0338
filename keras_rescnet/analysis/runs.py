"""Finished runs: their model, their log, their names."""

import csv
import dataclasses
import json
import pathlib

import keras

from keras_rescnet import layers, optimizers  # noqa: F401  so that Keras knows saved ones
from keras_rescnet.mistake import Mistake
from keras_rescnet.recipe import load_recipe


def load_run(workdir):
    """Returns the recipe and the model of a finished run.

    The recipe's dataset has the statistics and class names that the run was trained with, also
    if it is a folder of pictures, which does not know them before it is read.

    Raises:
        ValueError: if the folder holds none.
    """
    folder = pathlib.Path(workdir)
    for name in ("recipe.py", "run.json", "model.keras"):
        if not (folder / name).is_file():
            raise Mistake(
                f"`workdir` must be the folder of a finished run. Received: {workdir}, "
                f"which has no {name}."
            )
    run = json.loads((folder / "run.json").read_text())
    name, found = run["name"], run.get("data", {})
    recipe = load_recipe(f"{folder / 'recipe.py'}:{name}" if name else folder / "recipe.py")
    facts = {key: tuple(found[key]) for key in ("mean", "std", "class_names") if key in found}
    recipe = dataclasses.replace(recipe, dataset=dataclasses.replace(recipe.dataset, **facts))
    return recipe, keras.models.load_model(folder / "model.keras")


def read_log(workdir):
    """Returns the rows of a run's `log.csv` as dicts of floats, `None` where nothing was measured.

    Raises:
        ValueError: if there is none.
    """
    file = pathlib.Path(workdir) / "log.csv"
    if not file.is_file():
        raise Mistake(f"A run's folder must hold a log.csv. Received: {workdir}.")
    with open(file) as lines:
        return [
            {name: float(text) if text else None for name, text in row.items()}
            for row in csv.DictReader(lines)
        ]


def run_names(workdirs):
    """Returns the runs' names in a picture: their folders', or the paths if two are alike."""
    names = [pathlib.Path(workdir).resolve().name for workdir in workdirs]
    return names if len(set(names)) == len(names) else list(workdirs)
