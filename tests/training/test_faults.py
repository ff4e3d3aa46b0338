"""What may happen to a run, and what must not be lost by it."""

import contextlib
import csv
import dataclasses
import functools
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_rescnet
from keras_rescnet.training.checkpoint import Checkpoints
from support import ENVIRONMENT, ROOT, noise


def contents(workdir):
    results = json.loads((pathlib.Path(workdir) / "results.json").read_text())
    del results["recipe_digest"]  # that of what fills a disk, or explodes, is another
    return results, (pathlib.Path(workdir) / "log.csv").read_bytes()


def weights(workdir):
    model = keras.models.load_model(pathlib.Path(workdir) / "model.keras")
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


def assert_same_bytes(ours, theirs):
    assert contents(ours) == contents(theirs)
    for one, other in zip(weights(ours), weights(theirs), strict=True):
        np.testing.assert_array_equal(one, other)


def launch(workdir, *arguments):
    command = [sys.executable, "train.py", "--recipe=tests/support/noise.py:dropout"]
    return subprocess.Popen(
        [*command, f"--workdir={workdir}", "--set=epochs=12", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed")
    recipe = dataclasses.replace(noise.recipe, epochs=12)
    keras_rescnet.train(recipe, workdir)
    return workdir


# KILLS=20 pytest -m slow tests/test_faults.py is the long exam.
@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_last_bit(tmp_path):
    generator = random.Random(0)
    kills = int(os.environ.get("KILLS", 5))
    epochs = 15 * kills  # so that the run is not over before the last kill
    keras_rescnet.train(dataclasses.replace(noise.recipe, epochs=epochs), tmp_path / "whole")
    killed = 0
    for _ in range(kills):
        process = launch(tmp_path / "parts", f"--set=epochs={epochs}")
        wait_for_a_checkpoint_of(process, tmp_path / "parts")
        time.sleep(generator.uniform(0.0, 0.5))  # between checkpoints, in the middle of one, ...
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed > kills / 2
    output, error = launch(tmp_path / "parts", f"--set=epochs={epochs}").communicate()
    assert (tmp_path / "parts" / "results.json").exists(), error[-2000:]
    assert_same_bytes(tmp_path / "parts", tmp_path / "whole")


def wait_for_a_checkpoint_of(process, workdir):
    """Waits until a process that was just started writes a checkpoint, or ends."""
    before = set((workdir / "checkpoints").glob("*"))
    while set((workdir / "checkpoints").glob("*")) <= before and process.poll() is None:
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_says_how_to_go_on(number, code, undisturbed, tmp_path):
    process = launch(tmp_path, "--set=steps_per_execution=1")
    while not (tmp_path / "log.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    output, error = process.communicate()
    assert process.returncode == code, error
    assert "The same command goes on from there." in output and "Traceback" not in error
    assert "Goes on after step" in launch(tmp_path, "--set=steps_per_execution=1").communicate()[0]
    assert contents(tmp_path) == contents(undisturbed)


DAMAGE = {
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "a bit flipped": lambda data: data[:-900] + bytes([data[-900] ^ 1]) + data[-899:],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    kind, undisturbed, tmp_path, stop_after, capsys
):
    stop_after(11, signal.SIGINT)
    recipe = dataclasses.replace(noise.recipe, epochs=12, steps_per_execution=1)
    with pytest.raises(KeyboardInterrupt):
        keras_rescnet.train(recipe, tmp_path)
    before, last = sorted((tmp_path / "checkpoints").glob("step-*.npz"))[-2:]
    last.write_bytes(DAMAGE[kind](last.read_bytes()))
    (tmp_path / "checkpoints" / "step-00000012.0.npz.tmp").write_bytes(b"half")
    capsys.readouterr()
    keras_rescnet.train(recipe, tmp_path)
    output = capsys.readouterr().out
    assert f"damaged, its checksum differs. Received: {last}" in output
    assert f"Goes on after step {int(before.name[5:13])} of 60" in output
    assert not list((tmp_path / "checkpoints").glob("*.tmp"))
    assert_same_bytes(tmp_path, undisturbed)


class FillDisk:
    """A constant learning rate; on the way it fills a disk, and frees it two epochs later."""

    def __init__(self, folder):
        self.filler = folder / "filler"

    def __call__(self, epoch, epochs):
        if epoch == 1 and not self.filler.exists():
            with contextlib.suppress(OSError), open(self.filler, "wb", buffering=0) as file:
                while True:
                    file.write(b"0" * 4096)
        if epoch == 3:
            self.filler.unlink(missing_ok=True)
        return 1.0


def test_a_run_goes_on_while_the_disk_is_full(small_disk, tmp_path, capsys):
    disk = small_disk("4m")
    recipe = dataclasses.replace(noise.recipe, epochs=5, decay=FillDisk(disk))
    keras_rescnet.train(recipe, disk / "run")
    output = capsys.readouterr().out
    assert "The checkpoint of step 15 could not be written (No space left" in output
    assert "log.csv could not be written (No space left" in output
    assert not list((disk / "run").glob(".*.tmp"))
    always = dataclasses.replace(recipe, decay=constant)
    keras_rescnet.train(always, tmp_path / "undisturbed")
    assert_same_bytes(disk / "run", tmp_path / "undisturbed")


def constant(epoch, epochs):
    return 1.0


def exploding(epoch, epochs):
    """A learning rate that nothing survives in the third epoch."""
    return 1e30 if epoch == 1 else 1.0


def test_a_loss_that_explodes_leaves_the_last_good_checkpoint(tmp_path):
    recipe = dataclasses.replace(noise.recipe, decay=exploding, epochs=6)
    message = r"not finite at step 1\d, learning rate 1e\+29. .*checkpoint is that of step 10\."
    with pytest.raises(FloatingPointError, match=message):
        keras_rescnet.train(recipe, tmp_path)
    state, arrays = Checkpoints(tmp_path / "checkpoints").last()
    assert state.step == 10
    assert all(np.all(np.isfinite(array)) for array in arrays.values())


class ExplodeOnce:
    """As `exploding`, the first time it is asked for the second epoch."""

    def __init__(self, factor=1e30):
        self.calls = 0
        self.factor = factor

    def __call__(self, epoch, epochs):
        self.calls += epoch == 1
        return self.factor if epoch == 1 and self.calls == 1 else 1.0

    def __repr__(self):
        return "ExplodeOnce()"


def test_rollback_goes_back_once_with_another_order(tmp_path, capsys):
    recipe = dataclasses.replace(noise.recipe, decay=ExplodeOnce(), epochs=6, nan_policy="rollback")
    results = keras_rescnet.train(recipe, tmp_path / "once")
    assert results["epoch"] == 6
    assert "Goes back to the last checkpoint, with another order." in capsys.readouterr().out
    always = dataclasses.replace(recipe, decay=exploding)
    with pytest.raises(FloatingPointError, match="is not finite at step"):
        keras_rescnet.train(always, tmp_path / "always")


def test_rollback_goes_back_behind_an_epoch_whose_weights_exploded(tmp_path):
    explode = ExplodeOnce(1e40)  # in float32 an infinite step, which the loss is yet to see
    recipe = dataclasses.replace(
        noise.recipe, decay=explode, epochs=3, steps_per_epoch=1, nan_policy="rollback"
    )
    results = keras_rescnet.train(recipe, tmp_path)
    assert results["epoch"] == 3
    assert [float(row["learning_rate"]) for row in rows(tmp_path)][1:] == [0.1, 0.1]
    assert [event.step for event in events(tmp_path, "learning_rate")] == [1, 2, 3]


def rows(workdir):
    with open(workdir / "log.csv") as file:
        return list(csv.DictReader(file))


def events(workdir, name):
    """Returns the TensorBoard events of one number."""
    (file,) = (workdir / "tensorboard").glob("*")
    found = [
        tf.compat.v1.Event.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(file))
    ]
    return [event for event in found if any(value.tag == name for value in event.summary.value)]


def test_a_weight_that_explodes_in_the_last_step_is_not_saved(tmp_path):
    recipe = dataclasses.replace(
        noise.recipe,
        optimizer=functools.partial(keras.optimizers.SGD),
        learning_rate=float("1e38"),
        warmup_epochs=0,
        epochs=1,
        steps_per_epoch=1,
        decay=lambda epoch, epochs: 1e5,
    )
    with pytest.raises(FloatingPointError, match="The weight is not finite at step 1"):
        keras_rescnet.train(recipe, tmp_path)
    assert not (tmp_path / "model.keras").exists()
