"""One trial of each kind of fault: it raises `AssertionError` if anything was lost.

Each returns how many faults it has tried.
"""

import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time

import numpy as np

from faults import victims
from support import ENVIRONMENT

# The libraries are imported once, in a process that all victims are forked from
os.environ["PYTHONPATH"] = ENVIRONMENT["PYTHONPATH"]
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["faults.victims", "keras_rescnet.training.run", "sklearn"])


def start(function, *arguments):
    process = PROCESSES.Process(target=function, args=arguments)
    process.start()
    return process


def finish(process):
    process.join()
    assert process.exitcode == 0, f"a process ended with {process.exitcode}"


def whole_run(function, folder, *arguments):
    """Runs a process in a folder once without disturbance; returns the seconds it took."""
    note = folder / "seconds.txt"
    if not note.exists():
        finish(start(int))  # which waits for the libraries to be imported
        begun = time.monotonic()
        finish(start(function, folder, *arguments))
        note.write_text(str(time.monotonic() - begun))
    return float(note.read_text())


def kill_at_random(function, arguments, generator: random.Random, kills: int, seconds: float):
    """Starts a process again and again, and kills it at any time, until it ends by itself.

    After 25 kills, or `kills`, it is left alone: on a machine in use it might not come to its end.

    Returns:
        How often it was killed.
    """
    killed, kills = 0, min(kills, 25)
    while True:
        process = start(function, *arguments)
        process.join(generator.uniform(0.0, seconds) if killed < kills else None)
        if process.exitcode is not None:
            finish(process)
            return killed
        process.kill()
        process.join()
        killed += 1


def killed_fit(folder: pathlib.Path, generator: random.Random, kills: int = 10) -> int:
    """`fit` under `ExactResume`, killed, ends as that of Keras alone."""
    seconds = whole_run(victims.fit, folder / "fit", False)
    parts = _new(folder / "parts")
    killed = kill_at_random(victims.fit, (parts, True), generator, kills, seconds)
    assert_same_arrays(parts / "end.npz", folder / "fit" / "end.npz")
    return killed


def killed_train(folder: pathlib.Path, generator: random.Random, kills: int = 10) -> int:
    """A run of `kr.train`, killed, ends as one that was not."""
    seconds = whole_run(victims.train, folder / "train")
    parts = _new(folder / "parts")
    killed = kill_at_random(victims.train, (parts,), generator, kills, seconds)
    assert_same_runs(parts / "run", folder / "train" / "run")
    return killed


def broken_file(folder: pathlib.Path, generator: random.Random) -> int:
    """A run of which any file is damaged after a kill continues, or is finished again."""
    seconds = whole_run(victims.train, folder / "train")
    parts = _new(folder / "parts")
    process = start(victims.train, parts)
    process.join(generator.uniform(0.5, 1.2) * seconds)
    process.kill()
    process.join()
    kinds = ("checkpoints/step-*.npz", "run.json", "log.csv", "recipe.py", "model.keras")
    found = [path for kind in kinds for path in sorted((parts / "run").glob(kind))]
    if not found:
        return 0
    path = generator.choice(found)
    data = path.read_bytes()
    place = generator.randrange(len(data) + 1)
    path.write_bytes(data[:place] if generator.random() < 0.5 else data[:place] + b"\xff")
    finish(start(victims.train, parts))
    assert_same_runs(parts / "run", folder / "train" / "run")
    return 1


def full_disk(folder: pathlib.Path, generator: random.Random) -> int:
    """A run whose disk is full for a while ends as one that had room, at the latest when it has."""
    seconds = whole_run(victims.train, folder / "train")
    disk = _new(folder / "disk")
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        return 0
    try:
        process = start(victims.train, disk)
        process.join(generator.uniform(0.0, seconds))
        filler = disk / "filler"
        with open(filler, "wb", 0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        process.join(generator.uniform(0.0, seconds))
        filler.unlink()
        process.join()
        finish(start(victims.train, disk))
        assert_same_runs(disk / "run", folder / "train" / "run")
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
    return 1


def lost_process(folder: pathlib.Path, generator: random.Random) -> int:
    """Of two processes one is killed or stopped: the other ends, and both continue from there."""
    seconds = whole_pair(folder / "pair")
    parts = _new(folder / "parts")
    address = free_addresses()
    processes = [start(victims.member, parts, address, index) for index in range(2)]
    time.sleep(generator.uniform(0.3, 1.0) * seconds)
    lost, other = generator.sample(processes, 2)
    os.kill(lost.pid, generator.choice([signal.SIGKILL, signal.SIGSTOP]))
    other.join(victims.TIMEOUT + 60)
    lost.kill()
    assert other.exitcode is not None, "a process waits for one that is gone"
    lost.join()
    run_pair(parts)
    assert_same_runs(parts / "run", folder / "pair" / "run")
    return 1


def run_pair(folder):
    addresses = free_addresses()
    for process in [start(victims.member, folder, addresses, index) for index in range(2)]:
        finish(process)


def whole_pair(folder):
    """Runs two processes in a folder once; returns the seconds it took."""
    note = folder / "seconds.txt"
    if not note.exists():
        begun = time.monotonic()
        run_pair(folder)
        note.write_text(str(time.monotonic() - begun))
    return float(note.read_text())


KINDS = {
    "fit": killed_fit,
    "train": killed_train,
    "file": broken_file,
    "disk": full_disk,
    "processes": lost_process,
}


def assert_same_runs(ours, theirs):
    for name in ("log.csv", "results.json"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    assert_same_arrays(_last_checkpoint(ours), _last_checkpoint(theirs))


def _last_checkpoint(run):
    return sorted((run / "checkpoints").glob("step-*.npz"))[-1]


def assert_same_arrays(ours, theirs):
    with np.load(ours) as one, np.load(theirs) as other:
        assert one.files == other.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def _new(folder):
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def free_addresses():
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = ",".join(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    for one in sockets:
        one.close()
    return addresses
