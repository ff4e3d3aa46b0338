"""The records in results/: what the code gives today."""

import json

import keras
import pytest

import keras_rescnet as kr
from keras_rescnet.analysis.records import read_record
from keras_rescnet.training.environment import changes
from support import DIGITS_RECORD, ROOT

# What says where a record was made, and decides nothing
_NO_CAUSE = ("commit", "versions", "machine")


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="made on TensorFlow")
def test_the_digits_end_as_their_record_has_it(tmp_path):
    record = read_record(DIGITS_RECORD)
    recipe = kr.load_recipe(ROOT / "recipes" / "digits_gclu_resnet8.py")
    results = kr.train(recipe, tmp_path / "run")
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    now = run["starts"][-1]["environment"]
    before = {name: record[name] for name in now}
    if now["versions"] == before["versions"] and not changes(
        *({k: v for k, v in facts.items() if k not in _NO_CAUSE} for facts in (before, now))
    ):
        assert results == record["results"]
    else:
        accuracies = (values["test_accuracy"] for values in (results, record["results"]))
        assert next(accuracies) == pytest.approx(next(accuracies), abs=0.01)
