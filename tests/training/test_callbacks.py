"""Callbacks of a run: what they hear, how they end it, and that a run continues with them."""

import dataclasses
import json
import types

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet.callbacks import Callback, EarlyStopping, MLflowLogger, WandbLogger
from keras_rescnet.training.callbacks import Callbacks
from support import noise
from support.stopping import Killed, killing_after, stopping_after

COLUMNS = ("epoch", "learning_rate", "train_loss", "test_loss", "test_accuracy")


class Recorder(Callback):
    """Keeps all that a state may hold, and what it hears."""

    changes_training = False
    heard: list = []

    def on_train_begin(self, run):
        self.heard.append(("begin", [row["epoch"] for row in run.history]))

    def on_epoch_end(self, row):
        self.state["sum"] = self.state.get("sum", np.zeros(2)) + [row["epoch"], row["train_loss"]]
        self.state["epochs"] = (*self.state.get("epochs", ()), row["epoch"])
        self.heard.append((row["epoch"], self.state["epochs"], self.state["sum"].tolist()))

    def on_train_end(self, results):
        self.heard.append(("end", results.get("stopped_by")))


class StopAfter(Callback):
    """Asks for the end in an epoch, and never again."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, row):
        self.stop_training = self.stop_training or row["epoch"] == self.epoch


def recipe_with(*callbacks, **changes):
    return dataclasses.replace(
        noise.recipe,
        callbacks=lambda: [make() for make in callbacks],
        steps_per_execution=1,
        **{"epochs": 4, **changes},
    )


def files_of(folder):
    return [(folder / name).read_bytes() for name in ("log.csv", "results.json")]


def progress_of(folder):
    return json.loads((folder / "run.json").read_text())["progress"]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_a_run_with_callbacks_goes_on_to_the_last_bit(end, tmp_path, stop_after, monkeypatch):
    """Killed in the second epoch and after the third, whose callbacks have heard of it."""
    recipe = recipe_with(Recorder, lambda: StopAfter(3))
    monkeypatch.setattr(Recorder, "heard", [])
    whole = kr.train(recipe, tmp_path / "whole")
    undisturbed = Recorder.heard
    assert whole["epoch"] == 3 and whole["stopped_by"] == "StopAfter"
    monkeypatch.setattr(Recorder, "heard", [])
    for steps in (7, 6):
        if end == "killed":
            with pytest.raises(Killed), killing_after(steps):
                kr.train(recipe, tmp_path / "parts")
        else:
            stop_after(steps)
            with pytest.raises(SystemExit):
                kr.train(recipe, tmp_path / "parts")
    assert progress_of(tmp_path / "parts")["status"] == ("failed" if end == "killed" else "stopped")
    assert kr.train(recipe, tmp_path / "parts") == whole
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")
    begun = [entry for entry in Recorder.heard if entry[0] == "begin"]
    assert begun == [("begin", []), ("begin", [1]), ("begin", [1, 2])]
    assert [e for e in Recorder.heard if e[0] != "begin"] == undisturbed[1:]
    assert undisturbed[3][1] == (1, 2, 3) and undisturbed[-1] == ("end", "StopAfter")
    shown = progress_of(tmp_path / "parts")
    assert (shown["status"], shown["step"], shown["steps"]) == ("finished", 15, 20)


def test_a_run_ends_after_an_epoch_that_was_tested(tmp_path):
    results = kr.train(recipe_with(lambda: StopAfter(1), evaluate_every=2), tmp_path)
    assert results["epoch"] == 2 and results["test_loss"] is not None


class StopIn(StopAfter):
    """Asks for the end in an epoch, and takes it back in the next."""

    def on_epoch_end(self, row):
        self.stop_training = row["epoch"] == self.epoch


def test_what_a_callback_asks_for_in_an_epoch_without_a_test_is_kept(tmp_path):
    recipe = recipe_with(lambda: StopIn(1), epochs=6, evaluate_every=3)
    with pytest.raises(SystemExit), stopping_after(7):  # between asking and ending
        kr.train(recipe, tmp_path)
    results = kr.train(recipe, tmp_path)
    assert (results["epoch"], results["stopped_by"]) == (3, "StopIn")


def test_a_run_that_was_ended_is_finished_without_another_step(tmp_path, monkeypatch):
    """Killed while the model is written, when the checkpoint says that a callback ended the run."""
    recipe = recipe_with(lambda: StopAfter(1), epochs=2)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("keras_rescnet.training.run.Run._export", _killed)
        kr.train(recipe, tmp_path)
    with killing_after(0):
        results = kr.train(recipe, tmp_path)
    assert (results["epoch"], results["stopped_by"]) == (1, "StopAfter")


def _killed(*_):
    raise Killed


SEQUENCES = {
    "test_loss": [3.0, 2.0, 2.5, 1.95, 2.0, 1.9, 1.9, 2.0, 2.0, 1.0],
    "test_accuracy": [0.1, 0.5, 0.4, 0.55, 0.5, 0.6, 0.6, 0.5, 0.5, 0.9],
}


@pytest.mark.parametrize("monitor", SEQUENCES)
@pytest.mark.parametrize("patience", [0, 1, 2, 3])
@pytest.mark.parametrize("min_delta", [0.0, 0.07])
def test_early_stopping_ends_in_the_epoch_that_keras_ends_in(monitor, patience, min_delta):
    mode = "min" if monitor == "test_loss" else "max"
    theirs = keras.callbacks.EarlyStopping(monitor, min_delta, patience, mode=mode)
    theirs._model = types.SimpleNamespace(stop_training=False)
    theirs.on_train_begin()
    ours = EarlyStopping(monitor, min_delta, patience)
    ended = []
    for epoch, value in enumerate(SEQUENCES[monitor]):
        theirs.on_epoch_end(epoch, {monitor: value})
        ours.on_epoch_end({monitor: None})  # an epoch that was not tested
        ours.on_epoch_end({monitor: value})
        assert ours.stop_training == theirs.model.stop_training
        ended.append(ours.stop_training)
        if ours.stop_training:
            break
    assert any(ended) or patience == 3


def test_early_stopping_counts_in_the_digest_and_loggers_do_not():
    plain = noise.recipe
    loggers = dataclasses.replace(plain, callbacks=lambda: [MLflowLogger(), WandbLogger()])
    assert loggers.describe() == plain.describe() and loggers.digest() == plain.digest()
    recipes = [
        dataclasses.replace(plain, callbacks=lambda: [EarlyStopping(patience=3)]),
        dataclasses.replace(plain, callbacks=lambda: [EarlyStopping(patience=4)]),
        dataclasses.replace(plain, callbacks=lambda: [StopAfter(3)]),
    ]
    assert len({recipe.digest() for recipe in [plain, *recipes]}) == 4
    with_logger = dataclasses.replace(
        plain, callbacks=lambda: [MLflowLogger("other"), EarlyStopping(patience=3)]
    )
    assert with_logger.digest() == recipes[0].digest()


class OneOf:
    """An engine of one of two processes, whose callbacks may differ in what they heard."""

    processes = 2

    def __init__(self, chief, others=False):
        self.chief, self.others = chief, others

    def any(self, flag):
        return flag or self.others


def test_the_first_process_decides_for_all():
    recipe = recipe_with(Recorder, lambda: StopAfter(1))
    row = dict.fromkeys(COLUMNS, 1)
    first = Callbacks(recipe, OneOf(chief=True))
    assert first.end_epoch(row) == "StopAfter"
    second = Callbacks(recipe_with(lambda: StopAfter(1)), OneOf(chief=False, others=True))
    assert second.end_epoch(row) == "StopAfter"
    assert Callbacks(recipe, OneOf(chief=False)).end_epoch(row) is None


def test_callbacks_of_one_class_keep_their_own_and_loggers_come_and_go():
    one = Callbacks(recipe_with(lambda: StopAfter(1), Recorder, Recorder), OneOf(True))
    one.end_epoch({**dict.fromkeys(COLUMNS, 1), "epoch": 5})
    arrays = {"kernel": np.ones(2)}
    packed = json.loads(json.dumps(one.pack(arrays)))
    other = Callbacks(recipe_with(Recorder, WandbLogger, lambda: StopAfter(1)), OneOf(True))
    assert other.restore(packed, arrays).keys() == {"kernel"}
    (recorder, _, stop) = other._named.values()
    assert recorder.state["epochs"] == (5,) and recorder.state["sum"].tolist() == [5.0, 1.0]
    assert stop.stop_training is False


class Slow(Callback):
    """Lets the seconds pass after which a run is shown to others again."""

    changes_training = False
    shown: list = []
    folder = None

    def on_train_begin(self, run):
        self.shown.append(progress_of(run.folder))

    def on_epoch_end(self, row):
        self.shown.append(progress_of(self.folder))


def test_another_program_can_read_how_far_a_run_is(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_rescnet.training.run._SHOWN_SECONDS", 0.0)
    monkeypatch.setattr(Slow, "folder", tmp_path)
    monkeypatch.setattr(Slow, "shown", [])
    kr.train(recipe_with(Slow, epochs=2, warmup_epochs=0), tmp_path)
    first, after_one, after_two = Slow.shown
    assert [p["step"] for p in Slow.shown] == [0, 5, 10]
    assert first["status"] == "training" and first["seconds_left"] is first["estimated_end"] is None
    assert after_one["epoch"] == 2 and after_one["epochs"] == 2 and after_one["steps"] == 10
    assert after_one["images_per_second"] > 0 and after_one["seconds"] >= first["seconds"]
    assert after_two["epoch"] == 2 and after_two["seconds_left"] < 60
    assert after_one["time"] <= after_one["estimated_end"]
    assert progress_of(tmp_path)["status"] == "finished"
