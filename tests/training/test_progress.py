"""What a person sees of a run: the line on a terminal, TensorBoard's events, signals."""

import contextlib
import os
import re
import signal
import sys
import time
import types

import pytest
import tensorflow as tf

from keras_rescnet.training import progress
from keras_rescnet.training.events import Events
from keras_rescnet.training.metrics import TAG_METRICS
from keras_rescnet.training.progress import Progress
from keras_rescnet.training.signals import StopRequest

RECIPE = types.SimpleNamespace(epochs=20, batch_size=32, evaluate_every=1)
ROW = {"epoch": 1, "train_loss": 1.5, "train_accuracy": 0.25, "test_loss": 2.5}
NOTHING = {"loss": 0.0, "accuracy": 0.0}


@pytest.fixture
def clock(monkeypatch):
    """Time that continues when a test says so."""
    now = [100.0]

    def go(seconds):
        now[0] += seconds

    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    return go


@pytest.fixture
def terminal(monkeypatch):
    def of_width(columns):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))

    return of_width


def lines(capsys):
    """Returns what was drawn on the line of the terminal, one after another."""
    return [text.removeprefix("\033[K") for text in capsys.readouterr().out.split("\r")[1:]]


@pytest.mark.parametrize("columns", [200, 80, 40, 10])
def test_the_bar_takes_one_line_of_the_terminal(columns, terminal, clock, capsys):
    terminal(columns)
    shown = Progress(RECIPE, 44, 0)
    for step in (1, 20, 43):
        clock(1)
        shown.update(step, {"loss": 312.5 / step, "accuracy": 0.375 / step})
    shown.test(0)
    drawn = lines(capsys)
    assert len(drawn) == 4
    assert all(len(line) < columns and "\n" not in line for line in drawn)
    if columns >= 80:
        assert re.match(r"Epoch 1/20 \[=+ *\] 20/44  loss .* images/s  \d+:\d\d left$", drawn[1])
        assert drawn[-1].endswith("testing")


def test_the_rate_is_that_of_training_without_compilation_and_test(terminal, clock, capsys):
    shown = Progress(RECIPE, 44, 0)
    clock(30.0)  # compilation
    shown.update(4, NOTHING)
    clock(4.0)
    shown.update(44, NOTHING)  # 40 steps of 32 images in 4 s
    clock(7.0)  # the test
    shown.end_epoch({**ROW, "test_accuracy": 0.5})
    clock(4.4)
    shown.update(88, NOTHING)
    shown.end_epoch({**ROW, "epoch": 2, "test_accuracy": None})
    first, second = capsys.readouterr().out.splitlines()
    # 19 epochs of 44 steps at 10 per second and 7 s of test, then 18
    assert first.endswith("test accuracy 50.00 %  320 images/s  3:37 left")
    assert second.endswith("accuracy 25.00 %  320 images/s  3:25 left")


def test_an_epoch_has_two_lines_where_one_is_too_narrow(terminal, clock, capsys):
    row = {**ROW, "test_accuracy": 0.5}
    for columns, expected in ((200, 1), (80, 2)):
        terminal(columns)
        shown = Progress(RECIPE, 44, 0)
        clock(30.0)
        shown.update(44, NOTHING)
        shown.end_epoch(row)
        text = capsys.readouterr().out.rpartition("\r\033[K")[2].splitlines()
        assert len(text) == expected and max(map(len, text)) < columns
    assert re.match(r"Epoch 1/20  loss 1.5000  accuracy 25.00 %  .* left$", text[0])
    assert text[1] == " " * 12 + "test loss 2.5000  test accuracy 50.00 %"


def test_an_epoch_of_one_step_has_a_rate_too(clock, capsys):
    shown = Progress(RECIPE, 1, 0)
    for epoch in (1, 2):
        clock(2.0)
        shown.update(epoch, NOTHING)
        shown.end_epoch({**ROW, "epoch": epoch, "test_accuracy": None})
    assert all("  16 images/s  " in line for line in capsys.readouterr().out.splitlines())


def test_a_line_has_the_metrics_of_tags(clock, capsys):
    shown = Progress(RECIPE, 1, 0, shown=TAG_METRICS)
    clock(2.0)
    shown.update(1, {"loss": 0.5, "f1": 0.25})
    row = {"epoch": 1, "train_loss": 0.5, "train_f1": 0.25, "test_loss": 0.75, "test_f1": 0.5}
    shown.end_epoch({**row, "test_mean_average_precision": 0.125})
    assert (
        "loss 0.5000  f1 25.00 %  test loss 0.7500  test f1 50.00 %  "
        "test mean average precision 12.50 %  16 images/s"
    ) in capsys.readouterr().out


def test_other_processes_than_the_chief_say_nothing(capsys):
    shown = Progress(RECIPE, 44, 0, chief=False)
    shown.update(44, NOTHING)
    shown.test(0)
    shown.end_epoch({**ROW, "test_accuracy": 0.5})
    assert capsys.readouterr().out == ""


def events(folder, name):
    """Returns the steps of the events of one number."""
    (file,) = folder.glob("*.keras_rescnet")
    found = [
        tf.compat.v1.Event.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(file))
    ]
    return [e.step for e in found if any(value.tag == name for value in e.summary.value)]


def test_events_of_others_stay(tmp_path):
    (tmp_path / "deep").mkdir()
    others = ["notes.txt", "events.out.tfevents.1.host.1.0.v2", "deep/events.out.tfevents.1"]
    for name in others:
        (tmp_path / name).write_text("precious")
    rows = [{"epoch": 1, "loss": 2.0, "test_loss": None}, {"epoch": 2, "loss": 1.0}]
    Events(tmp_path, rows).add({"epoch": 3, "loss": 0.5})
    Events(tmp_path, rows).add({"epoch": 3, "loss": 0.25})
    assert events(tmp_path, "loss") == [1, 2, 3] and events(tmp_path, "test_loss") == []
    assert all((tmp_path / name).read_text() == "precious" for name in others)


def test_events_that_cannot_be_written_stop_nothing(tmp_path, capsys):
    (tmp_path / "tensorboard").write_text("own")
    Events(tmp_path / "tensorboard", [{"epoch": 1, "loss": 2.0}]).add({"epoch": 2, "loss": 1.0})
    assert "tensorboard/ could not be written" in capsys.readouterr().out
    assert (tmp_path / "tensorboard").read_text() == "own"


CODES = {signal.SIGINT: None, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_signal_is_noted_and_ends_the_run_when_it_is_saved(number, capsys):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert stop.requested == number
        with contextlib.suppress(KeyboardInterrupt), pytest.raises(SystemExit) as caught:
            stop.leave("Stopped after step 3, and saved.")
    assert signal.getsignal(number) == before
    if CODES[number]:
        assert caught.value.code == CODES[number]
    assert "The same command continues from there." in capsys.readouterr().out


def test_under_nohup_a_closed_terminal_stops_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
            assert stop.requested is None
    finally:
        signal.signal(signal.SIGHUP, before)
