"""recipes/methods.py: every method trains on the digits, and a run that is killed continues."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet import load_recipe
from keras_rescnet.recipe import execute
from support import ROOT
from support.stopping import Killed, killing_after

FILE = ROOT / "recipes" / "methods.py"
SHORT = {"epochs": 2, "warmup_epochs": 0, "steps_per_epoch": 3, "steps_per_execution": 1}


def arrays_of(folder):
    model = keras.models.load_model(pathlib.Path(folder) / "model.keras")
    return [keras.ops.convert_to_numpy(variable) for variable in model.weights]


@pytest.mark.slow
@pytest.mark.parametrize("name", execute(FILE)["recipes"])
def test_a_run_that_is_killed_goes_on_to_the_last_bit(name, tmp_path):
    """Random numbers of layers, masks and what callbacks count are those of an undisturbed run."""
    recipe = dataclasses.replace(load_recipe(f"{FILE}:{name}"), **SHORT)
    whole = kr.train(recipe, tmp_path / "whole")
    with pytest.raises(Killed), killing_after(5):  # within the second epoch
        kr.train(recipe, tmp_path / "parts")
    assert kr.train(recipe, tmp_path / "parts") == whole
    pairs = zip(arrays_of(tmp_path / "parts"), arrays_of(tmp_path / "whole"), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)
    assert 0.0 < whole["test_loss"] < np.inf


@pytest.mark.slow
def test_early_stopping_ends_the_run_of_the_digits(tmp_path):
    recipe = load_recipe(f"{FILE}:digits-early-stopping", ["learning_rate=1e-9", "epochs=9"])
    recipe = dataclasses.replace(recipe, warmup_epochs=0, steps_per_epoch=2)
    results = kr.train(recipe, tmp_path)
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert results["stopped_by"] == "EarlyStopping" and len(rows) - 1 == results["epoch"] < 9
