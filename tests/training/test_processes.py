"""Several devices and several processes: the same run as on one."""

import csv
import json
import pathlib
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

import keras_rescnet  # registers what its models are made of
from support import ENVIRONMENT, ROOT, noise, tagged

TRAIN, TWO_DEVICES = ROOT / "train.py", ROOT / "tests" / "support" / "two_devices.py"
RECIPE = "tests/support/noise.py:same_everywhere"


def start(script, *arguments, recipe=RECIPE, **environment):
    return subprocess.Popen(
        [sys.executable, script, f"--recipe={recipe}", *map(str, arguments)],
        cwd=ROOT,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes, codes=(0,)):
    """Waits for all; returns what they wrote to stderr."""
    errors = [process.communicate(timeout=240)[1] for process in processes]
    for process, error in zip(processes, errors, strict=True):
        assert process.returncode in codes, error[-3000:]
    return errors


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def tensorflow_pair(*arguments, second=(), of_second=None, **options):
    hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
    return [
        start(
            TRAIN,
            *arguments,
            *(second if index else ()),
            TF_CONFIG=json.dumps(
                {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            ),
            **options,
            **(of_second or {} if index else {}),
        )
        for index in range(2)
    ]


def jax_pair(*arguments, second=(), of_second=None, **options):
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    return [
        start(
            TRAIN,
            *arguments,
            *(second if index else ()),
            KERAS_BACKEND="jax",
            JAX_PLATFORMS="cpu",
            KERAS_DISTRIBUTION_JOB_ADDRESSES=hosts,
            KERAS_DISTRIBUTION_NUM_PROCESSES="2",
            KERAS_DISTRIBUTION_PROCESS_ID=str(index),
            **options,
            **(of_second or {} if index else {}),
        )
        for index in range(2)
    ]


def numbers(workdir):
    with open(workdir / "log.csv") as file:
        return np.array([[float(text) for text in row.values()] for row in csv.DictReader(file)])


def wait_for_rows(workdir, count, process):
    """Waits until the log of a run has so many rows, or the process has ended."""
    while process.poll() is None:
        if (workdir / "log.csv").exists() and len(numbers(workdir)) >= count:
            return
        time.sleep(0.05)


def load(workdir):
    assert keras_rescnet.layers.GCLU
    return keras.models.load_model(workdir / "model.keras")


def assert_same_run(ours, theirs):
    np.testing.assert_allclose(numbers(ours), numbers(theirs), rtol=1e-5)
    models = [load(folder) for folder in (ours, theirs)]
    for one, other in zip(models[0].weights, models[1].weights, strict=True):
        arrays = [keras.ops.convert_to_numpy(weight) for weight in (one, other)]
        np.testing.assert_allclose(*arrays, rtol=1e-5, atol=1e-6, err_msg=one.path)


@pytest.fixture(scope="module")
def on_one_device(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one")
    finish(start(TRAIN, f"--workdir={workdir}", KERAS_BACKEND="tensorflow"))
    return workdir


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([], marks=pytest.mark.slow),
        pytest.param(
            ["--set=global_clipnorm=0.01", "--set=ema_momentum=0.5"], marks=pytest.mark.release
        ),
    ],
    ids=["plain", "clipped, averaged"],
)
def test_two_devices_train(changes, on_one_device, tmp_path):
    finish(start(TWO_DEVICES, "--devices=2", f"--workdir={tmp_path / 'two'}", *changes))
    run = json.loads((tmp_path / "two" / "run.json").read_text())
    assert len(run["starts"][-1]["environment"]["devices"]) == 2
    if not changes:
        assert_same_run(tmp_path / "two", on_one_device)
    else:
        finish(start(TRAIN, f"--workdir={tmp_path / 'one'}", *changes))
        assert_same_run(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_two_processes_of_tensorflow_equal_one(on_one_device, tmp_path):
    finish(*tensorflow_pair(f"--workdir={tmp_path}", KERAS_BACKEND="tensorflow"))
    assert_same_run(tmp_path, on_one_device)


@pytest.mark.parametrize(
    ("name", "learning_rate"),
    [
        pytest.param("dropout", 0.1, marks=pytest.mark.slow),
        pytest.param("fast", 0.005, marks=pytest.mark.release),
    ],
)
def test_two_processes_of_jax_equal_one(name, learning_rate, tmp_path):
    # Masks and statistics are those of the global batch; 0.2, the rate of the fast recipe, makes
    # 1e-3 of rounding errors in three epochs
    options = {"recipe": f"tests/support/noise.py:{name}"}
    changes = f"--set=learning_rate={learning_rate}"
    finish(start(TRAIN, changes, f"--workdir={tmp_path / 'one'}", **options, KERAS_BACKEND="jax"))
    finish(*jax_pair(changes, f"--workdir={tmp_path / 'two'}", **options))
    assert_same_run(tmp_path / "two", tmp_path / "one")


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(tensorflow_pair, marks=pytest.mark.slow),
        pytest.param(jax_pair, marks=pytest.mark.release),
    ],
)
def test_a_process_that_dies_ends_the_other_and_all_go_on(pair, tmp_path):
    arguments = [f"--workdir={tmp_path / 'run'}", "--set=epochs=20", "--timeout=20"]
    chief, worker = pair(*arguments)
    wait_for_rows(tmp_path / "run", 1, chief)
    worker.kill()
    worker.communicate()
    died = time.monotonic()
    (error,) = finish(chief, codes=(4,))
    assert time.monotonic() - died < 60
    assert "Another process of this run is gone" in error
    rows = len(numbers(tmp_path / "run"))
    assert 1 <= rows < 20
    finish(*pair(*arguments))
    assert len(numbers(tmp_path / "run")) == 20
    assert (tmp_path / "run" / "results.json").exists()


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(tensorflow_pair, marks=pytest.mark.release),
        pytest.param(jax_pair, marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_one_process_saves_and_stops_all(pair, tmp_path):
    chief, worker = pair(f"--workdir={tmp_path}", "--set=epochs=400")
    wait_for_rows(tmp_path, 10, chief)
    threads = len(list(pathlib.Path(f"/proc/{chief.pid}/task").iterdir()))
    assert threads < 300  # a thread that stays for every collective operation would make 1,000
    worker.send_signal(signal.SIGTERM)
    finish(chief, worker, codes=(143,))
    assert 1 <= len(numbers(tmp_path)) < 400
    assert list((tmp_path / "checkpoints").glob("step-*.npz"))


@pytest.mark.slow
def test_results_of_two_processes_are_those_of_the_saved_model(tmp_path):
    """Each process has moving statistics of its own rows; the chief's are saved."""
    finish(*tensorflow_pair(f"--workdir={tmp_path}", recipe="tests/support/noise.py:dropout"))
    results = json.loads((tmp_path / "results.json").read_text())
    dataset = noise.recipe.dataset
    examples = noise.random_pictures(dataset, "test")
    images = (examples.images / 255.0 - dataset.mean) / dataset.std
    logits = load(tmp_path).predict(images.astype("float32"), verbose=0).astype("float64")
    rows = np.arange(len(logits))
    losses = np.log(np.exp(logits).sum(1)) - logits[rows, examples.labels]
    assert results["test_accuracy"] == np.mean(logits.argmax(1) == examples.labels)
    np.testing.assert_allclose(results["test_loss"], losses.mean(), rtol=1e-6)


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(tensorflow_pair, marks=pytest.mark.slow),
        pytest.param(jax_pair, marks=pytest.mark.release),
    ],
)
def test_two_processes_measure_tags_of_all_pictures(pair, tmp_path):
    """What is made of the logits of both: average precision, and thresholds."""
    finish(*pair(f"--workdir={tmp_path}", recipe="tests/support/tagged.py"))
    results = json.loads((tmp_path / "results.json").read_text())
    images, labels = tagged.draw(20, 1)
    logits = load(tmp_path).predict(tagged.dataset.normalize(images), verbose=0).astype("float64")
    expected = average_precision_score(labels, logits, average="macro")
    assert results["test_mean_average_precision"] == pytest.approx(expected, rel=1e-6)
    given = 1 / (1 + np.exp(-logits)) >= list(results["thresholds"].values())
    expected = f1_score(labels, given, average="micro")
    assert results["test_f1_at_thresholds"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pair", "second", "different"),
    [
        (tensorflow_pair, "--set=learning_rate=0.5", "recipe"),
        (tensorflow_pair, "--data_dir=1", "data"),
        (jax_pair, "--set=batch_size=4", "recipe"),
        (jax_pair, "--data_dir=1", "data"),
    ],
)
def test_processes_that_differ_end_before_the_first_step(pair, second, different, tmp_path):
    errors = finish(*pair(f"--workdir={tmp_path / 'run'}", second=[second]), codes=(2,))
    for error in errors:
        message = error.splitlines()[-1]
        assert "All 2 processes of a run must have the same" in message
        assert f"Received: another {different} in process 1 than in process 0." in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(tensorflow_pair, marks=pytest.mark.slow),
        pytest.param(jax_pair, marks=pytest.mark.release),
    ],
)
def test_weights_that_were_computed_must_be_the_same_in_all_processes(pair, tmp_path):
    recipe = "tests/support/noise.py:fast"
    other = {"OTHER_WEIGHTS": "1"}
    for error in finish(*pair(f"--workdir={tmp_path}", recipe=recipe, of_second=other), codes=(2,)):
        assert "Received: another weights in process 1 than in process 0." in error.splitlines()[-1]


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(tensorflow_pair, marks=pytest.mark.slow),
        pytest.param(jax_pair, marks=pytest.mark.release),
    ],
)
def test_an_error_of_one_process_ends_it_as_what_it_is(pair, tmp_path):
    chief, worker = pair(
        f"--workdir={tmp_path}",
        "--timeout=30",
        recipe="tests/support/noise.py:failing",
        of_second={"BROKEN_PICTURE": "1"},
    )
    (lost,) = finish(chief, codes=(4,))
    assert "Another process of this run is gone" in lost.splitlines()[-1]
    (error,) = finish(worker, codes=(1,))
    assert "a broken picture" in error and "Another process" not in error


@pytest.mark.release
@pytest.mark.parametrize("pair", [tensorflow_pair, jax_pair])
@pytest.mark.parametrize("there", [0, 1])
def test_a_process_that_never_starts_ends_the_other_in_time(pair, there, tmp_path):
    processes = pair(f"--workdir={tmp_path / 'run'}", "--timeout=10")
    processes[1 - there].kill()
    processes[1 - there].communicate()
    start = time.monotonic()
    (error,) = finish(processes[there], codes=(4,))
    assert time.monotonic() - start < 60
    assert "Another process of this run is gone" in error.splitlines()[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.release
@pytest.mark.parametrize("pair", [tensorflow_pair, jax_pair])
def test_a_process_that_hangs_ends_the_other_in_time(pair, tmp_path):
    chief, worker = pair(f"--workdir={tmp_path}", "--set=epochs=4000", "--timeout=15")
    wait_for_rows(tmp_path, 1, chief)
    worker.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    (error,) = finish(chief, codes=(4,))
    assert time.monotonic() - start < 60
    assert "Another process of this run is gone" in error
    worker.kill()
    worker.communicate()
