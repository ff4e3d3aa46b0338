"""Callbacks that are refused, of this package and of your own."""

import collections
import dataclasses
import functools
import pathlib
import sys

import keras
import numpy as np
import pytest

from keras_rescnet.callbacks import Callback, EarlyStopping, MLflowLogger, RunFacts, WandbLogger
from keras_rescnet.training.callbacks import Callbacks
from support import noise

ROW = {"epoch": 1, "test_loss": 2.0}


class Alone:
    """An engine of one process."""

    chief = True

    def any(self, flag):
        return flag


class Forgetful(Callback):
    def __init__(self):
        self.mine = 1


class Remembering(Callback):
    def on_epoch_end(self, row):
        self.state["folder"] = pathlib.Path("runs")


class Counting(Callback):
    def __init__(self):
        super().__init__()
        self.state = collections.defaultdict(int)


class StoppingLogger(Callback):
    changes_training = False

    def on_epoch_end(self, row):
        self.stop_training = True


class Failing(Callback):
    def on_epoch_end(self, row):
        raise KeyError("f1")


def build(callbacks):
    return Callbacks(dataclasses.replace(noise.recipe, callbacks=callbacks), Alone())


def an_epoch(kind):
    callbacks = build(lambda: [kind()])
    callbacks.end_epoch(ROW)
    callbacks.pack({})


def begin(make):
    facts = RunFacts(pathlib.Path("run"), "5f0c", "run", {}, 3, ("epoch", "test_loss"), [])
    build(lambda: [make()]).begin(facts)


REFUSED = {
    "no function": (lambda: build([]), r"`callbacks` must be a function or None. Rec.*: callb"),
    "nothing": (lambda: build(lambda: None), "must return a list of kr.callbacks.Cal.*: None from"),
    "one": (lambda: build(EarlyStopping), "must return a list .* <keras_rescnet.callbacks.early"),
    "classes": (
        lambda: build(lambda: [EarlyStopping]),
        "must return a list .*<class .keras_resc",
    ),
    "Keras's": (lambda: build(lambda: [object()]), r"must return a list .* \[<object object"),
    "an error": (lambda: build(lambda: [1 / 0]), "`callbacks` failed in .*ZeroDivisionError"),
    "no super": (lambda: build(lambda: [Forgetful()]), r"super\(\).__init__\(\). Received: Forg"),
    "kind of state": (
        lambda: an_epoch(Counting),
        "must be a dict .*Received: defaultdict.* of Counting",
    ),
    "state": (lambda: an_epoch(Remembering), "`state` of a .* Received: 'folder': .*runs.*Remem"),
    "a stop": (lambda: an_epoch(StoppingLogger), "must have changes_training = True.*: StoppingL"),
    "a failure": (lambda: an_epoch(Failing), "`callbacks` failed in .*test_callbacks.py.*KeyError"),
    "monitor": (lambda: EarlyStopping(3), "`monitor` must be the name .* Received: monitor=3"),
    "column": (
        lambda: begin(lambda: EarlyStopping("val_loss")),
        "`monitor` of EarlyStopping must be a column of the log: test_loss. .*monitor='val_loss'",
    ),
    "the epoch": (lambda: begin(lambda: EarlyStopping("epoch")), "Received: monitor='epoch'"),
    "patience": (lambda: EarlyStopping(patience=-1), "`patience` must be .* Received: patience=-1"),
    "half": (lambda: EarlyStopping(patience=0.5), "`patience` must be .* Received: patience=0.5"),
    "true": (lambda: EarlyStopping(patience=True), "`patience` must be .* Received: patience=True"),
    "min_delta": (lambda: EarlyStopping(min_delta=-0.1), "`min_delta` must .* min_delta=-0.1"),
    "nan": (lambda: EarlyStopping(min_delta=float("nan")), "`min_delta` must .* min_delta=nan"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_callbacks(case, assert_refused):
    call, pattern = REFUSED[case]
    assert_refused(call, pattern)


@pytest.mark.parametrize(
    ("package", "make"), [("mlflow", MLflowLogger), ("wandb", WandbLogger)], ids=["mlflow", "wandb"]
)
def test_a_missing_extra(package, make, assert_refused, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    pattern = rf"needs {package}. Received: none installed. .* \"keras_rescnet\[{package}\]\""
    assert_refused(functools.partial(begin, make), pattern)


def test_the_fit_of_keras(assert_refused):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = np.ones((2, 1))
    pattern = "are for kr.train; `fit` takes those of keras.callbacks. Received: EarlyStopping"
    assert_refused(lambda: model.fit(data, data, callbacks=[EarlyStopping()], verbose=0), pattern)
