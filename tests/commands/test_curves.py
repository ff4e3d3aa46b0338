"""`curves` and the pictures of runs."""

import csv
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from keras_rescnet.analysis import plots
from keras_rescnet.analysis.log import read_log
from support.commands import answer, run_command


def rows_of(file):
    with open(file) as lines:
        return list(csv.DictReader(lines))


def test_curves_draw_runs_and_write_their_numbers(finished_run, tmp_path, capsys):
    picture = tmp_path / "both.png"
    run_command("curves", finished_run, f"--output={picture}")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == f"Wrote {picture} and the CSV file of its numbers.\n"
    ours, theirs = rows_of(tmp_path / "both.csv"), rows_of(finished_run / "log.csv")
    assert [row.pop("run") for row in ours] == ["run", "run"]
    for row, logged in zip(ours, theirs, strict=True):
        numbers = {name: float(text) for name, text in logged.items()}
        assert {name: float(text) for name, text in row.items()} == numbers


def test_curves_take_names_that_are_no_utf8(finished_run, tmp_path):
    run = os.fsdecode(os.fsencode(tmp_path) + b"/lat\xe4")
    shutil.copytree(finished_run, run)
    run_command("curves", run, f"--output={tmp_path / 'one.svg'}")
    assert {row["run"] for row in rows_of(tmp_path / "one.csv")} == {"lat\\udce4"}


def test_curves_refuse_what_cannot_be_drawn(finished_run, tmp_path, capsys):
    assert "Name at least one run's folder" in answer("curves", capsys=capsys)
    assert "must hold a log.csv" in answer("curves", tmp_path, capsys=capsys)
    for output, message in (
        ("/no/such/curves.png", "must lie in an existing folder"),
        (tmp_path / "curves.xyz", "must end in .png or .pdf or .svg. Received: "),
        (tmp_path / "log.csv", "must end in .png"),  # its own CSV file would replace it
    ):
        line = answer("curves", finished_run, f"--output={output}", capsys=capsys)
        assert f"--output {message}" in line


def test_curves_of_runs_of_one_name_are_all_drawn(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")
    runs = [str(finished_run), str(tmp_path / "run")]
    run_command("curves", *runs, f"--output={tmp_path / 'both.svg'}")
    assert [row["run"] for row in rows_of(tmp_path / "both.csv")] == [runs[0]] * 2 + [runs[1]] * 2


def log_of(errors):
    return [
        {
            "epoch": float(epoch),
            "train_loss": 2.0 * error,
            "train_accuracy": 1 - error,
            "test_loss": error,
            "test_accuracy": 1 - error,
        }
        for epoch, error in enumerate(errors, start=1)
    ]


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, before they are written."""
    drawn = []
    save = plots.save

    def keep(figure, *arguments):
        figure.canvas.draw()
        drawn.append(figure)
        save(figure, *arguments)

    monkeypatch.setattr(plots, "save", keep)
    return drawn


def test_the_end_of_a_run_can_be_read_off_its_curves(figures, tmp_path):
    plots.plot_curves({"a": log_of([0.9, 0.3, 0.02, 0.05])}, tmp_path / "a.png")
    errors, losses = figures[0].axes
    labels = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert labels == ["a, test: 5.00 %, best 2.00 %", "a, train: 5.00 %, best 2.00 %"]
    assert errors.get_yscale() == losses.get_yscale() == "log"
    assert all(tick == int(tick) for tick in errors.get_xticks())
    assert errors.get_title() and losses.get_title()
    names = [label.get_text() for label in errors.get_yticklabels()]
    assert "10" in names and not any("^" in name for name in names)


def test_the_legend_of_many_runs_hides_no_curve(figures, tmp_path):
    runs = {f"run {number} of a long name": log_of([0.9, 0.1]) for number in range(6)}
    plots.plot_curves(runs, tmp_path / "a.png")
    figures[0].canvas.draw()  # writing it has left places of another resolution
    (legend,) = figures[0].legends
    place = legend.get_window_extent()
    assert not any(place.overlaps(axes.get_window_extent()) for axes in figures[0].axes)
    assert place.x0 > 0 and place.y0 > 0
    first, second = (legend.get_texts()[i].get_text() for i in (0, 6))
    assert first.startswith("run 0 of a long name, test") and second.startswith(
        "run 0 of a long name, train"
    )


def test_an_error_of_zero_is_drawn_on_a_linear_axis(figures, tmp_path):
    plots.plot_curves({"a": log_of([0.5, 0.0])}, tmp_path / "a.png")
    errors, losses = figures[0].axes
    assert errors.get_yscale() == "linear" and losses.get_yscale() == "linear"
    assert list(errors.get_lines()[0].get_ydata()) == [50.0, 0.0]


def test_names_without_a_font_become_numbers(figures, tmp_path):
    # An Egyptian hieroglyph, no formula, and what legends leave out
    names = ["cat", "\U00013000", "$5 and $6", "_cat"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.plot_confusion(np.eye(4, dtype=int), names, tmp_path / "a.png", "Test")
    axes, bar = figures[0].axes
    assert bar.get_ylabel() == "share of the true class"
    shown = [label.get_text() for label in axes.get_xticklabels()]
    assert shown == ["cat", "#1", r"\$5 and \$6", " _cat"]
    assert axes.get_title() == "Test"


def test_curves_need_neither_tensorflow_nor_keras(finished_run, tmp_path):
    script = (
        "import runpy, sys\n"
        "runpy.run_module('keras_rescnet.curves', run_name='__main__', alter_sys=True)\n"
        "assert not {'tensorflow', 'keras', 'jax'} & set(sys.modules)\n"
    )
    arguments = [finished_run, f"--output={tmp_path / 'a.png'}"]
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert Image.open(tmp_path / "a.png").size[0] > 1000


DAMAGED = {
    "empty": b"",
    "header only": b"epoch,train_loss,train_accuracy,test_loss,test_accuracy\n",
    "no epoch": b"a,b\n1,2\n",
    "a word": b"epoch,train_loss,train_accuracy,test_loss,test_accuracy\n1,x,2,3,4\n",
    "infinity": b"epoch,train_loss,train_accuracy,test_loss,test_accuracy\n1,inf,0,3,4\n",
    "short row": b"epoch,train_loss,train_accuracy,test_loss,test_accuracy\n1,2,3\n",
    "long row": b"epoch,train_loss,train_accuracy,test_loss,test_accuracy\n1,2,3,4,5,6\n",
    "epoch twice": b"epoch,train_loss,train_accuracy,test_loss,test_accuracy\n1,,,,\n1,,,,\n",
    "half an epoch": b"epoch,train_loss,train_accuracy,test_loss,test_accuracy\n1.5,,,,\n",
    "no text": b"\xff\xfe\x00",
    "zero bytes": b"epoch,train_loss\x00,train_accuracy,test_loss,test_accuracy\n1,2,3,4,5\n",
    "a quote": b'epoch,train_loss,train_accuracy,test_loss,test_accuracy\n1,"2,3,4,5\n',
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_log_is_named(damage, tmp_path, capsys):
    (tmp_path / "log.csv").write_bytes(DAMAGED[damage])
    line = answer("curves", tmp_path, f"--output={tmp_path / 'a.png'}", capsys=capsys)
    assert "must be as a run wrote it" in line and f"Received: {tmp_path / 'log.csv'}." in line
    assert not (tmp_path / "a.png").exists()


def test_random_damage_never_gives_a_traceback(finished_run, tmp_path, capsys):
    whole = (finished_run / "log.csv").read_bytes()
    generator = np.random.default_rng(0)
    answered = 0
    for number in range(120):
        data = bytearray(whole)
        for _ in range(generator.integers(1, 4)):
            place = generator.integers(len(data))
            kind = generator.integers(3)
            if kind == 0:
                data[place] = generator.integers(256)
            elif kind == 1:
                del data[place : place + generator.integers(1, 30)]
            else:
                data[place:place] = bytes(generator.integers(0, 256, 3, "uint8"))
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "log.csv").write_bytes(data)
        try:
            assert read_log(folder)
        except ValueError as error:  # a Mistake is one, and the only one that is expected
            assert type(error).__name__ == "Mistake", repr(error)
            assert "\n" not in str(error) and "Received: " in str(error)
            answered += 1
    assert answered > 30
