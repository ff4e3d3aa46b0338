"""What may happen to a run, and what must not be lost by it."""

import contextlib
import csv
import dataclasses
import functools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_rescnet
from faults import trials
from keras_rescnet.mistake import Mistake
from keras_rescnet.training.checkpoint import Checkpoints
from keras_rescnet.training.workdir import WorkDir
from support import ENVIRONMENT, ROOT, noise
from support.stopping import stopping_after


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


# KILLS=500 pytest -m slow tests/training/test_faults.py is the long exam.
@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_last_bit(tmp_path):
    kills, killed = int(os.environ.get("KILLS", 3)), 0
    generator = random.Random(0)
    while killed < kills:
        killed += trials.killed_train(tmp_path, generator, kills - killed)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.release),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.release),
    ],
)
def test_a_signal_saves_and_says_how_to_go_on(number, code, undisturbed, tmp_path):
    process = launch(tmp_path / "run", "--set=steps_per_execution=1")
    while not (tmp_path / "run" / "log.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    output, error = process.communicate()
    assert process.returncode == code, error
    assert "The same command continues from there." in output and "Traceback" not in error
    output, _ = launch(tmp_path / "run", "--set=steps_per_execution=1").communicate()
    assert "Continues after step" in output
    assert contents(tmp_path / "run") == contents(undisturbed)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a run that Ctrl-C stopped after step 11 of 60."""
    workdir = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(KeyboardInterrupt), stopping_after(11, signal.SIGINT):
        keras_rescnet.train(of_12_epochs(), workdir)
    return workdir


def of_12_epochs():
    return dataclasses.replace(noise.recipe, epochs=12, steps_per_execution=1)


DAMAGE = {
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "a bit flipped": lambda data: data[:-900] + bytes([data[-900] ^ 1]) + data[-899:],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(kind, stopped, tmp_path, capsys):
    folder = shutil.copytree(stopped / "checkpoints", tmp_path / "checkpoints")
    before, last = sorted(folder.glob("step-*.npz"))[-2:]
    last.write_bytes(DAMAGE[kind](last.read_bytes()))
    state, _ = Checkpoints(folder).last()
    assert state.step == int(before.name[5:13]) == 10
    assert f"damaged, its checksum differs. Received: {last}" in capsys.readouterr().out
    assert not last.exists() and last.with_name(f"{last.name}.damaged").exists()


def test_a_run_whose_last_files_are_damaged_goes_on_to_the_last_bit(
    undisturbed, stopped, tmp_path, capsys
):
    run = shutil.copytree(stopped, tmp_path / "run")
    last = sorted((run / "checkpoints").glob("step-*.npz"))[-1]
    last.write_bytes(last.read_bytes()[:-100])
    (run / "checkpoints" / ".step-00000012.0.12.tmp.npz").write_bytes(b"half")
    (run / "run.json").write_bytes(b"\xff")
    capsys.readouterr()
    keras_rescnet.train(of_12_epochs(), run)
    output = capsys.readouterr().out
    assert "run.json must be as the run wrote it, but is damaged." in output
    assert "Continues after step 10 of 60" in output
    assert not list((run / "checkpoints").glob(".*tmp*"))
    assert_same_bytes(run, undisturbed)


def test_checkpoints_know_their_recipe_when_run_json_is_lost(stopped, tmp_path):
    run = shutil.copytree(stopped, tmp_path / "run")
    (run / "run.json").unlink()
    other = dataclasses.replace(of_12_epochs(), seed=5)
    with pytest.raises(Mistake, match="holds checkpoints of another recipe.*Received: "):
        keras_rescnet.train(other, run)
    with WorkDir(run, of_12_epochs()):  # the right one continues
        pass


def test_a_finished_run_whose_model_is_damaged_is_finished_again(finished_run, tmp_path, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    recipe = keras_rescnet.load_recipe(f"{noise.__file__}:dropout", ["epochs=2"])
    (run / "model.keras").write_bytes((run / "model.keras").read_bytes()[:-1000])
    shutil.rmtree(run / "saved_model" / "variables")
    keras_rescnet.train(recipe, run)
    assert "Continues after step 10 of 10." in capsys.readouterr().out
    assert_same_bytes(run, finished_run)
    assert (run / "saved_model" / "variables" / "variables.index").exists()
    assert (run / "model.keras.damaged").exists() and (run / "saved_model.damaged").exists()
    keras_rescnet.train(recipe, run)
    assert "nothing is done again" in capsys.readouterr().out


class FillDisk:
    """A constant learning rate; it fills a disk in the third and the sixth epoch, once each.

    Not when the first run tries it for all epochs.
    """

    def __init__(self, folder):
        self.folder = folder
        self.tried: set[int] = set()

    def __call__(self, epoch, epochs):
        if epoch not in self.tried:
            self.tried.add(epoch)
            return 1.0
        once = self.folder / f"filled in epoch {epoch}"
        if epoch in (1, 4) and not once.exists():
            with contextlib.suppress(OSError), open(self.folder / "filler", "wb", 0) as file:
                once.touch()
                while True:
                    file.write(b"0" * 4096)
        if epoch == 3:
            (self.folder / "filler").unlink(missing_ok=True)
        return 1.0

    def __repr__(self):
        return "FillDisk()"


@pytest.mark.slow
def test_a_run_goes_on_while_the_disk_is_full_and_is_finished_when_there_is_room(
    small_disk, tmp_path, capsys
):
    disk = small_disk("4m")
    recipe = dataclasses.replace(noise.recipe, epochs=6, decay=FillDisk(disk))
    with pytest.raises(Mistake, match=r"could not be written \(No space left.*The run is saved"):
        keras_rescnet.train(recipe, disk / "run")
    output = capsys.readouterr().out
    assert "The checkpoint of step 15 could not be written (No space left" in output
    assert "log.csv could not be written (No space left" in output
    assert not list((disk / "run").glob(".*.tmp*"))
    (disk / "filler").unlink()
    keras_rescnet.train(recipe, disk / "run")
    # which is the last checkpoint: one may have been written while the disk was being filled
    assert re.search(r"Continues after step \d+ of 30\.", capsys.readouterr().out)
    always = dataclasses.replace(recipe, decay=constant)
    keras_rescnet.train(always, tmp_path / "undisturbed")
    assert_same_bytes(disk / "run", tmp_path / "undisturbed")


def constant(epoch, epochs):
    return 1.0


def exploding(epoch, epochs):
    """A learning rate that nothing survives in the third epoch."""
    return 1e30 if epoch == 1 else 1.0


def test_a_loss_that_explodes_leaves_the_last_good_checkpoint(tmp_path, capsys):
    recipe = dataclasses.replace(noise.recipe, decay=exploding, epochs=6)
    message = r"not finite at step 1\d, learning rate 1e\+29. .*checkpoint is that of step 10\."
    with pytest.raises(FloatingPointError, match=message):
        keras_rescnet.train(recipe, tmp_path)
    state, arrays = Checkpoints(tmp_path / "checkpoints").last()
    assert state.step == 10
    assert all(np.all(np.isfinite(array)) for array in arrays.values())
    with WorkDir(tmp_path, dataclasses.replace(recipe, nan_policy="rollback")):  # continues
        assert "Continues with nan_policy='rollback'; it was 'stop'." in capsys.readouterr().out


class ExplodeOnce:
    """As `exploding`, the first time it is asked for the second epoch after all were tried."""

    def __init__(self, factor=1e30):
        self.calls = 0
        self.factor = factor

    def __call__(self, epoch, epochs):
        self.calls += epoch == 1
        return self.factor if epoch == 1 and self.calls == 2 else 1.0

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
    (file,) = (workdir / "tensorboard").glob("*.keras_rescnet")
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


CUTS = 8  # after the end


@pytest.fixture
def ext4(tmp_path):
    """A file system in a file, which is copied as a power cut would leave it. Needs root."""
    image, folder = tmp_path / "image", tmp_path / "mounted"
    folder.mkdir()
    with open(image, "wb") as file:
        file.truncate(24 * 2**20)
    made = shutil.which("mkfs.ext4") and not subprocess.run(["mkfs.ext4", "-q", image]).returncode
    if not made or not mount(image, folder):
        pytest.skip("only root can mount the disk whose power this test cuts")
    yield image, folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def mount(image, folder):
    command = ["mount", "-o", "loop", image, folder]
    return os.geteuid() == 0 and not subprocess.run(command, capture_output=True).returncode


@pytest.mark.slow
def test_a_finished_run_survives_a_power_cut(ext4, tmp_path):
    image, disk = ext4
    generator = random.Random(0)
    cuts, ended = [], threading.Event()

    def cut():
        """Copies what has reached the disk, and not what is still in memory, now and then."""
        while sum(after for _, after in cuts) < CUTS:
            path = tmp_path / f"cut-{len(cuts)}"
            shutil.copyfile(image, path)
            cuts.append((path, ended.is_set()))
            time.sleep(generator.uniform(0.0, 2.0) if not ended.is_set() else 0.2)

    recipe = keras_rescnet.load_recipe(f"{noise.__file__}:dropout")
    thread = threading.Thread(target=cut)
    thread.start()
    keras_rescnet.train(recipe, disk / "run")
    ended.set()  # "Everything is in run."
    thread.join()
    whole = 0
    for path, after in cuts:
        folder = tmp_path / f"{path.name}.mounted"
        folder.mkdir()
        assert mount(path, folder)
        try:
            whole += check_what_a_cut_left(folder / "run", disk / "run", recipe, after)
        finally:
            subprocess.run(["umount", folder], check=True)
    assert whole


def check_what_a_cut_left(left, original, recipe, ended):
    """Returns whether the run is finished; whatever has a name must be whole then."""
    if not (left / "results.json").exists():
        assert not ended, "results.json is lost"
        return False
    with WorkDir(left, recipe) as folder:
        assert folder.results == json.loads((original / "results.json").read_text())
    assert (left / "recipe.py").read_bytes() == pathlib.Path(noise.__file__).read_bytes()
    assert_same_bytes(left, original)
    assert tf.saved_model.load(str(left / "saved_model")).class_names().shape == (10,)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("redirection", ["| head -1", "> /dev/full"])
def test_a_run_goes_on_when_nobody_hears_it(redirection, tmp_path):
    arguments = f"--recipe=tests/support/noise.py:dropout --workdir={tmp_path / 'run'}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} train.py {arguments} {redirection}"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "run" / "results.json").exists()


@pytest.mark.slow
def test_a_limit_on_the_size_of_files_is_said_in_one_line(tmp_path):
    arguments = f"--recipe=tests/support/noise.py:dropout --workdir={tmp_path / 'run'}"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 12; {sys.executable} train.py {arguments}"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "could not be written (File too large)" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.release
def test_another_number_of_threads_is_said(tmp_path):
    process = launch(tmp_path / "run", "--set=steps_per_execution=1")
    while not (tmp_path / "run" / "log.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        output, _ = launch(tmp_path / "run", "--set=steps_per_execution=1").communicate()
    finally:
        os.sched_setaffinity(0, cpus)
    if len(cpus) > 1:
        assert f"last bits of the result: threads {len(cpus)} -> 1.\n" in output
    assert (tmp_path / "run" / "results.json").exists()
