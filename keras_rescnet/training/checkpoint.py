"""Checkpoints that are whole or not there.

A checkpoint is one `.npz` file, `step-00000390.<first half of its SHA-256>.npz`: an array for each
variable, by name, and `facts`, how far the run is and the recipe's digest as JSON. It is written
aside, synced, given its name and read back, so that a file with a name is a whole one, and a file
that is damaged later does not fit its name.
"""

import concurrent.futures
import contextlib
import hashlib
import io
import json
import pathlib
import re

import numpy as np

from keras_rescnet import files
from keras_rescnet.console import say
from keras_rescnet.mistake import Mistake
from keras_rescnet.training.state import RunState
from keras_rescnet.training.variables import UNNAMED


class Checkpoints:
    """The checkpoints of a run, written by a thread while training continues.

    Args:
        folder: Where they lie.
        chief: Whether this process writes them: one of a run does, the others read.
        digest: The `Recipe.digest()` of the run; checkpoints of another recipe are refused.
        state: Class of what says how far a run is: `RunState`, or another with its `step`,
            `to_json` and `from_json`.
    """

    def __init__(self, folder, chief=True, digest=None, state=RunState):
        self.folder = pathlib.Path(folder)
        self.chief = chief
        self.digest = digest
        self._state = state
        self._writer = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        self._pending = None

    def save(self, state, arrays, keep=None):
        """Starts to write a checkpoint.

        The newest two stay, and the one of step `keep`. A full disk is reported, and does no harm
        to those that are there.

        Args:
            state: How far the run is.
            arrays: Dict of names to numpy arrays that nobody changes any more.
            keep: A step whose checkpoint stays.
        """
        self.wait()
        if self.chief:
            facts = {**state.to_json(), "recipe": self.digest}
            self._pending = self._writer.submit(self._save, facts, arrays, keep)

    def wait(self) -> bool:
        """Waits for the checkpoint that is being written; returns `False` if that failed."""
        pending, self._pending = self._pending, None
        return pending is None or pending.result()

    def close(self):
        """Waits, and ends the thread."""
        try:
            self.wait()
        finally:
            self._writer.shutdown()

    def last(self):
        """Returns `(state, arrays)` of the newest good checkpoint, or `None`.

        Damaged ones are named and set aside. Files left behind by a process that was killed while
        it wrote are removed.

        Raises:
            Mistake: If it is one of another recipe.
        """
        if self.chief:
            files.remove_leftovers(self.folder)
            for aside in self.folder.glob("*.tmp"):  # as earlier versions named them
                _try(aside.unlink)
        for path in reversed(self._paths()):
            data = path.read_bytes()
            if _digest(data) == path.name.split(".")[1]:
                return self._parse(data, path)
            if self.chief:
                say(
                    f"This checkpoint is damaged, its checksum differs. Received: {path}. "
                    "It is set aside."
                )
                _try(path.rename, f"{path}.damaged")
        return None

    def _parse(self, data, path):
        with np.load(io.BytesIO(data)) as file:
            facts = json.loads(str(file["facts"]))
            arrays = {name: file[name] for name in file.files if name != "facts"}
        digest = facts.get("recipe")  # earlier versions kept none
        if None not in (digest, self.digest) and digest != self.digest:
            raise Mistake(
                f"{self.folder.parent} holds checkpoints of another recipe. Choose another "
                f"--workdir, or the recipe of that run. Received: {path.name}, of the recipe "
                f"{digest[:8]}, where this one is {self.digest[:8]}."
            )
        return self._state.from_json(facts), arrays

    def _paths(self):
        return sorted(self.folder.glob("step-*.npz"))

    def _save(self, facts, arrays, keep):
        payload = io.BytesIO()
        np.savez(payload, facts=np.array(json.dumps(facts)), **arrays)
        data = payload.getvalue()
        step = facts["step"]
        path = self.folder / f"step-{step:08d}.{_digest(data)}.npz"
        try:
            files.write(path, data)
            if path.read_bytes() != data:
                path.unlink()
                raise OSError(None, "what was read back differs from what was written")
        except OSError as error:
            say(
                f"The checkpoint of step {step} could not be written ({error.strerror}). "
                f"Training continues; the last good one is untouched. Received: {self.folder}."
            )
            return False
        newest = self._paths()[-2:]
        for other in self._paths():
            if other not in newest and _step(other) != keep:
                _try(other.unlink)
        return True


def storable(array: np.ndarray) -> np.ndarray:
    """Returns a copy of an array, of a type that a file of NumPy can hold, with the same values."""
    return np.array(array, "float32" if array.dtype.kind == "V" else None)  # "V": bfloat16


def match(arrays, variables, step):
    """Returns the arrays of a checkpoint by the names of a run's variables.

    Args:
        arrays: Dict of names to arrays, as `Checkpoints.last` returns them. Those of versions
            that kept no names, `array_00000` and so on, are taken by order, and so are those of
            an optimizer's variables without a name, which had Keras's numbers.
        variables: Dict of names to arrays of the same shapes as the run's variables.
        step: The checkpoint's step, for messages.

    Raises:
        Mistake: If a name is missing or a shape differs; the first of them is named.
    """
    if all(re.fullmatch(r"array_\d{5}", name) for name in arrays):
        arrays = dict(zip(variables, arrays.values(), strict=False)) | {
            name: arrays[name] for name in list(arrays)[len(variables) :]
        }
    counted = [filter(re.compile(UNNAMED).fullmatch, names) for names in (arrays, variables)]
    numbers = dict(zip(*counted, strict=False))
    arrays = {numbers.get(name, name): array for name, array in arrays.items()}
    for name in [*variables, *arrays]:
        here, there = (_shape(values.get(name)) for values in (variables, arrays))
        if here != there:
            raise Mistake(
                f"The checkpoint of step {step} must hold the {len(variables)} arrays of this "
                f"model and optimizer. Received: {len(arrays)} arrays, and the first that differs "
                f"is {name!r}, {there} there and {here} here. Choose another --workdir, or the "
                "code of that run."
            )
    return {name: arrays[name] for name in variables}


def _shape(array):
    return "none" if array is None else f"of shape {array.shape}"


def _step(path):
    return int(path.name.split(".")[0].removeprefix("step-"))


def _digest(data):
    return hashlib.sha256(data).hexdigest()[:32]


def _try(function, *arguments):
    """Tidies up where that can be done: a run continues in a folder that has become read-only."""
    with contextlib.suppress(OSError):
        function(*arguments)
