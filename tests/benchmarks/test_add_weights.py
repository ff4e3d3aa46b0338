"""`benchmarks/add_weights.py`: from a finished run to weights, a card and a page."""

import dataclasses
import importlib
import json

import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet.analysis import marked
from keras_rescnet.analysis.records import write_record
from keras_rescnet.analysis.runs import load_run
from support import ROOT


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("add_weights")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps of the digits with its record, and no weights yet."""
    folder = tmp_path_factory.mktemp("weights")
    overrides = ["epochs=1", "warmup_epochs=0", "steps_per_epoch=2"]
    path = "digits_gclu_resnet8"
    recipe = kr.load_recipe(path, overrides)
    kr.train(recipe, folder / "run")
    (folder / "results").mkdir()
    write_record(folder / "results", recipe, f"recipes/{path}.py", overrides, folder / "run")
    return folder


def test_the_page_is_what_the_script_writes(script, tmp_path):
    copy = tmp_path / "copy.md"
    copy.write_bytes(script.PAGE.read_bytes())
    marked.update(copy, "weights", script.render())
    assert copy.read_text() == script.PAGE.read_text(), "run: python benchmarks/add_weights.py"


def test_a_run_becomes_weights_with_a_card(script, run, tmp_path):
    add = script.add
    name, card = add(run / "run", folder=tmp_path, results=run / "results")
    assert name == "digits_gclu_resnet8"
    model = kr.models.CifarResNet8(activation=kr.gclu, weights=tmp_path / f"{name}.npz")
    finished = load_run(run / "run")
    for one, other in zip(model.get_weights(), finished.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    results = json.loads((run / "run" / "results.json").read_text())
    assert card["accuracy"] == results["test_accuracy"] == card["results"]["test_accuracy"]
    assert card["epochs"] == 1 and card["overrides"][2] == "steps_per_epoch=2"
    assert card == json.loads((tmp_path / f"{name}.json").read_text())
    _, half = add(run / "run", folder=tmp_path, results=run / "results", half=True)
    assert half["stored"] == "float16" and half["bytes"] < 0.6 * card["bytes"]
    text = script.render(tmp_path)
    assert f"{100 * card['accuracy']:.2f} % of these weights" in text and half["sha256"] in text


def test_the_card_has_the_precision_that_the_command_asked_for(script, run):
    finished = load_run(run / "run")
    file, record = script.record_of(finished, run / "results")
    recipe = {**finished.facts["recipe"], "precision": "mixed_bfloat16"}
    changed = dataclasses.replace(finished, facts={**finished.facts, "recipe": recipe})
    cards = [script.card_of(one, record, file)[0] for one in (finished, changed)]
    assert [card["precision"] for card in cards] == ["float32", "mixed_bfloat16"]


def test_what_cannot_be_shipped_is_refused(script, run, finished_run, tmp_path, monkeypatch):
    results = run / "results"
    with pytest.raises(kr.Mistake, match="must have its record in results/.*Received: .*run"):
        script.add(run / "run", folder=tmp_path, results=tmp_path)
    with pytest.raises(kr.Mistake, match="must be a builder of kr.models.*Received: "):
        script.add(finished_run, folder=tmp_path, results=finished_run.parent / "results")
    other = tmp_path / "another.json"
    call = 'kr.models.CifarResNet8(activation=kr.gclu, weights="digits")'
    other.write_text(json.dumps({"call": call}))
    with pytest.raises(kr.Mistake, match="one set of weights per network and dataset: another"):
        script.add(run / "run", folder=tmp_path, results=results)
    other.unlink()
    monkeypatch.setattr(script, "LARGEST", 1000)
    with pytest.raises(kr.Mistake, match="at most 1,000 bytes; --float16 halves them. Received: "):
        script.add(run / "run", folder=tmp_path, results=results)
    assert not list(tmp_path.iterdir())
