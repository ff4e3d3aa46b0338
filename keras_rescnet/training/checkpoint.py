"""Checkpoints that are whole or not there.

A checkpoint is one `.npz` file, `step-00000390.<first half of its SHA-256>.npz`. It is written
aside, synced, read back, and only then given its name, so that a file with a name is a whole one,
and a file that was damaged later no longer fits its name.
"""

import concurrent.futures
import hashlib
import io
import json
import os
import pathlib

import numpy as np

from keras_rescnet.mistake import Mistake


class Checkpoints:
    """The checkpoints of a run, written by a thread while training goes on.

    Args:
        folder: Where they lie.
        writes: Whether this process writes them: one of a run does, the others read.
    """

    def __init__(self, folder, writes=True):
        self.folder = pathlib.Path(folder)
        self.writes = writes
        self._writer = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        self._pending = None

    def save(self, step, arrays, facts, best_step=None):
        """Starts to write a checkpoint.

        The newest two stay, and that of `best_step`. A full disk is said, and does no harm to
        those that are there.

        Args:
            step: Number of steps done.
            arrays: List of numpy arrays that nobody changes any more.
            facts: What else to keep, as JSON holds it.
            best_step: A step whose checkpoint stays.
        """
        self.wait()
        if not self.writes:
            return
        self._pending = self._writer.submit(self._save, step, arrays, facts, best_step)

    def wait(self):
        """Waits for the checkpoint that is being written."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def close(self):
        """Waits, and ends the thread."""
        try:
            self.wait()
        finally:
            self._writer.shutdown()

    def last(self):
        """Returns `(facts, arrays)` of the newest good checkpoint, or `None`.

        Damaged ones are named and set aside. Files left behind by a process that was killed while
        it wrote are removed.
        """
        if self.writes:
            for aside in self.folder.glob("*.tmp"):
                aside.unlink()
        for path in reversed(self._paths()):
            try:
                return _read(path)
            except ValueError as error:
                print(f"{error} It is set aside.", flush=True)
                if self.writes:
                    path.rename(f"{path}.damaged")
        return None

    def _paths(self):
        return sorted(self.folder.glob("step-*.npz"))

    def _save(self, step, arrays, facts, best_step):
        payload = io.BytesIO()
        names = {f"array_{i:05d}": array for i, array in enumerate(arrays)}
        np.savez(payload, facts=np.array(json.dumps({**facts, "step": step})), **names)
        data = payload.getbuffer()
        name = f"step-{step:08d}.{_digest(data)}.npz"
        aside = self.folder / f"{name}.tmp"
        try:
            with open(aside, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if f".{_digest(aside.read_bytes())}." not in name:
                raise OSError(None, "what was read back differs from what was written")
        except OSError as error:
            aside.unlink(missing_ok=True)
            print(
                f"The checkpoint of step {step} could not be written ({error.strerror}). "
                f"Training goes on; the last good one is untouched. Received: {self.folder}.",
                flush=True,
            )
            return
        aside.replace(self.folder / name)
        _sync_folder(self.folder)
        keep = self._paths()[-2:]
        for path in self._paths():
            if path not in keep and _step(path) != best_step:
                path.unlink()


def check_arrays(arrays, variables, step):
    """Raises a `ValueError` unless a checkpoint's arrays have the shapes of the variables."""
    if [array.shape for array in arrays] != [array.shape for array in variables]:
        raise Mistake(
            f"The checkpoint of step {step} must hold the {len(variables)} arrays of this model "
            f"and optimizer. Received: one of another, with {len(arrays)}. Choose another "
            "--workdir, or the code of that run."
        )


def _read(path):
    data = path.read_bytes()
    if _digest(data) != path.name.split(".")[1]:
        raise Mistake(f"This checkpoint is damaged, its checksum differs. Received: {path}.")
    with np.load(io.BytesIO(data)) as file:
        facts = json.loads(str(file["facts"]))
        return facts, [file[name] for name in file.files if name != "facts"]


def _step(path):
    return int(path.name.split(".")[0].removeprefix("step-"))


def _digest(data):
    return hashlib.sha256(data).hexdigest()[:32]


def _sync_folder(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
