"""Fixtures of all tests."""

import contextlib
import gc
import os
import pathlib
import random
import signal
import subprocess

import numpy as np
import pytest

from support.golden import load_state

# A shell has what it starts in the background ignore them, and so would what the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Graphs are millions of objects: walking over them to find garbage took a fifth of the tests' time,
# and what it found was a quarter of their memory.
gc.disable()

GOLDEN = pathlib.Path(__file__).parent / "golden"


# Keras's initializers and Dropout take their seeds from Python's generator. Seeded by name, every
# test has weights of its own, the same in each run, whichever tests ran before it; and none by
# accident those of a run, whose seed is 0. `keras.utils.set_random_seed` would also empty
# TensorFlow's cache of kernels, for each test to fill again.
def pytest_fixture_setup(fixturedef):
    random.seed(fixturedef.argname)


def pytest_runtest_call(item):
    random.seed(item.nodeid)


@pytest.fixture(scope="session")
def golden():
    """Returns the arrays of `tests/golden/<name>.npz`, which the reference or PyTorch computed."""

    def load(name):
        with np.load(GOLDEN / f"{name}.npz") as file:
            return dict(file)

    return load


@pytest.fixture(scope="session")
def golden_state(golden):
    """Returns the PyTorch state dict of a golden file of a network."""
    return lambda name: load_state(golden(name))


@pytest.fixture(scope="session")
def noise_recipe():
    """A recipe of three epochs of five steps, on 40 pictures of noise."""
    from support import noise

    return noise.recipe


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The folder of a finished run of two epochs on noise; its record lies in `../results`.

    For reading only: tests that change a run train one of their own.
    """
    from keras_rescnet.training.__main__ import main
    from support import noise

    folder = tmp_path_factory.mktemp("finished")
    main(
        [
            "train",
            f"--recipe={noise.__file__}:dropout",
            f"--workdir={folder / 'run'}",
            "--set=epochs=2",
            f"--record={folder / 'results'}",
        ]
    )
    return folder / "run"


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a disk of a size such as "64k", and returns its folder. Needs root."""
    folder = tmp_path / "disk"

    def mount(size):
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root can mount the small disk that this test fills")
        return folder

    yield mount
    if os.path.ismount(folder):
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def stop_after():
    """Sends this process a signal once the next run has done so many steps."""
    from support.stopping import stopping_after

    with contextlib.ExitStack() as stack:

        def arrange(count, number=signal.SIGTERM):
            stack.close()
            stack.enter_context(stopping_after(count, number))

        yield arrange
