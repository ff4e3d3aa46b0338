"""A small ensemble, trained once."""

import dataclasses

import pytest

import keras_rescnet as kr
from support import noise
from support.stopping import stopping_after


@pytest.fixture(scope="session")
def members(tmp_path_factory):
    """The folders of two runs on noise; the training of the first was stopped and continued.

    For reading only.
    """
    folder = tmp_path_factory.mktemp("ensemble")
    recipe = dataclasses.replace(noise.recipe, epochs=2, steps_per_execution=5)
    with stopping_after(5), pytest.raises(SystemExit):
        kr.ensemble.train(recipe, folder, 2)
    assert [path.name for path in folder.iterdir()] == ["seed0"]
    assert not (folder / "seed0" / "results.json").exists()
    return kr.ensemble.train(recipe, folder, 2)
