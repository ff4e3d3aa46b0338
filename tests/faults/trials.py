"""One trial of each kind of fault: it raises `AssertionError` if anything was lost."""

import multiprocessing
import pathlib
import random
import shutil
import time

import numpy as np

from faults import victims

# The libraries are imported once, in a process that all victims are forked from
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["faults.victims", "keras_rescnet.training.run", "sklearn"])


def start(function, *arguments):
    process = PROCESSES.Process(target=function, args=arguments)
    process.start()
    return process


def whole_run(function, folder, *arguments):
    """Runs a process in a folder once without disturbance; returns the seconds it took."""
    note = folder / "seconds.txt"
    if not note.exists():
        begun = time.monotonic()
        process = start(function, folder, *arguments)
        process.join()
        assert process.exitcode == 0, f"{function.__name__} ended with {process.exitcode}"
        note.write_text(str(time.monotonic() - begun))
    return float(note.read_text())


def kill_at_random(function, arguments, generator: random.Random, kills: int, seconds: float):
    """Starts a process again and again, and kills it at any time, until it ends by itself.

    Returns:
        How often it was killed.
    """
    killed = 0
    while True:
        process = start(function, *arguments)
        process.join(generator.uniform(0.0, seconds) if killed < kills else None)
        if process.exitcode is None:
            process.kill()
            process.join()
            killed += 1
        else:
            assert process.exitcode == 0, f"{function.__name__} ended with {process.exitcode}"
            return killed


def killed_fit(folder: pathlib.Path, generator: random.Random, kills: int) -> int:
    """`fit` under `ExactResume`, killed, ends as that of Keras alone; returns the kills."""
    whole = folder / "whole"
    seconds = whole_run(victims.fit, whole, False)
    parts = folder / "parts"
    shutil.rmtree(parts, ignore_errors=True)
    killed = kill_at_random(victims.fit, (parts, True), generator, kills, seconds)
    assert_same_arrays(parts / "end.npz", whole / "end.npz")
    return killed


def assert_same_arrays(ours, theirs):
    with np.load(ours) as one, np.load(theirs) as other:
        assert one.files == other.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
