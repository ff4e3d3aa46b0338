"""Several devices and several processes: the same run as on one."""

import csv
import json
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import keras_rescnet  # registers what its models are made of
from support import ENVIRONMENT, ROOT

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


def tensorflow_pair(*arguments, **options):
    hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
    return [
        start(
            TRAIN,
            *arguments,
            TF_CONFIG=json.dumps(
                {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            ),
            **options,
        )
        for index in range(2)
    ]


def jax_pair(*arguments, **options):
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    return [
        start(
            TRAIN,
            *arguments,
            KERAS_BACKEND="jax",
            JAX_PLATFORMS="cpu",
            KERAS_DISTRIBUTION_JOB_ADDRESSES=hosts,
            KERAS_DISTRIBUTION_NUM_PROCESSES="2",
            KERAS_DISTRIBUTION_PROCESS_ID=str(index),
            **options,
        )
        for index in range(2)
    ]


def numbers(workdir):
    with open(workdir / "log.csv") as file:
        return np.array([[float(text) for text in row.values()] for row in csv.DictReader(file)])


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["--set=gradient_accumulation_steps=2", "--set=synchronized_bn=False"],
        ["--set=global_clipnorm=0.01", "--set=ema_momentum=0.5"],
        ["--set=precision=mixed_float16"],
    ],
    ids=["plain", "parts", "clipped, averaged", "mixed_float16"],
)
def test_two_devices_train(changes, on_one_device, tmp_path):
    finish(start(TWO_DEVICES, "--devices=2", f"--workdir={tmp_path / 'two'}", *changes))
    run = json.loads((tmp_path / "two" / "run.json").read_text())
    assert len(run["devices"]) == 2
    if not changes:
        assert_same_run(tmp_path / "two", on_one_device)
    elif "--set=global_clipnorm=0.01" in changes:
        finish(start(TRAIN, f"--workdir={tmp_path / 'one'}", *changes))
        assert_same_run(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_two_processes_of_tensorflow_equal_one(on_one_device, tmp_path):
    finish(*tensorflow_pair(f"--workdir={tmp_path}", KERAS_BACKEND="tensorflow"))
    assert_same_run(tmp_path, on_one_device)


@pytest.mark.slow
def test_two_processes_of_jax_equal_one(tmp_path):
    recipe = "tests/support/noise.py:dropout"  # its masks are those of the global batch
    finish(start(TRAIN, f"--workdir={tmp_path / 'one'}", recipe=recipe, KERAS_BACKEND="jax"))
    finish(*jax_pair(f"--workdir={tmp_path / 'two'}", recipe=recipe))
    assert_same_run(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("pair", [tensorflow_pair, jax_pair])
def test_a_process_that_dies_ends_the_other_and_all_go_on(pair, tmp_path):
    arguments = [f"--workdir={tmp_path / 'run'}", "--set=epochs=40", "--timeout=20"]
    chief, worker = pair(*arguments)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "log.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    worker.kill()
    worker.communicate()
    died = time.monotonic()
    (error,) = finish(chief, codes=(4,))
    assert time.monotonic() - died < 60
    assert "Another process of this run is gone" in error
    rows = len(numbers(tmp_path / "run"))
    assert 1 <= rows < 40
    finish(*pair(*arguments))
    assert len(numbers(tmp_path / "run")) == 40
    assert (tmp_path / "run" / "results.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("pair", [tensorflow_pair, jax_pair])
def test_a_signal_to_one_process_saves_and_stops_all(pair, tmp_path):
    chief, worker = pair(f"--workdir={tmp_path}", "--set=epochs=400")
    while not (tmp_path / "log.csv").exists() and chief.poll() is None:
        time.sleep(0.05)
    worker.send_signal(signal.SIGTERM)
    finish(chief, worker, codes=(143,))
    assert 1 <= len(numbers(tmp_path)) < 400
    assert list((tmp_path / "checkpoints").glob("step-*.npz"))
