"""The folder of a run: who may write into it, and its small files."""

import contextlib
import csv
import fcntl
import importlib.metadata
import io
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys

import keras

from keras_rescnet.mistake import Mistake

_PACKAGES = ("keras", "tensorflow", "jax", "keras-cv", "tensorflow-datasets", "numpy")


class WorkDir:
    """A run's folder, held by one process at a time.

    Holds `recipe.py` (the recipe file verbatim), `run.json` (recipe, data, command, versions,
    devices, seconds), `checkpoints/`, `log.csv` (a row an epoch), `results.json` once the run is
    finished.

    Args:
        path: The folder; made if it is not there.
        recipe: The `Recipe` of the run.
        writes: Whether this process holds and writes it: one of a run does, the others read.

    Raises:
        ValueError: if the folder cannot be written, is in use, or belongs to another recipe.
    """

    def __init__(self, path, recipe, writes=True):
        self.path = pathlib.Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.writes = writes
        self._lock = contextlib.ExitStack()
        if writes:
            self._take()
            self._lock.enter_context(self._hold())
            self._check_recipe(recipe)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._lock.close()

    def _take(self):
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise Mistake(
                f"`workdir` must be a folder. Received: {self.path}, where a file is in the way."
            ) from None
        except OSError as error:
            raise Mistake(_unwritable(self.path, error)) from None

    def _hold(self):
        try:
            lock = open(self.path / ".lock", "w")
        except OSError as error:
            raise Mistake(_unwritable(self.path, error)) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise Mistake(
                f"Another run is writing into this workdir. Received: {self.path}. "
                "Wait for it, or choose another --workdir."
            ) from None
        return lock

    def _check_recipe(self, recipe):
        self.recipe = recipe.describe()
        different = _difference(self.run.get("recipe"), self.recipe)
        if different:
            self._lock.close()
            raise Mistake(
                f"{self.path} holds a run of another recipe: {different}. "
                "Choose another --workdir, or the recipe of that run."
            )
        if recipe.file is not None and not (self.path / "recipe.py").exists():
            shutil.copyfile(recipe.file, self.path / "recipe.py")

    def check_data(self, facts):
        """Raises a `ValueError` unless `facts` are those of the data the run began with."""
        different = _difference(self.run.get("data"), facts)
        if different:
            raise Mistake(
                f"{self.path} holds a run on other data: {different}. "
                "Choose another --workdir, or the data of that run."
            )

    @property
    def run(self) -> dict:
        """What `run.json` holds: recipe, data, command, versions, commit, devices, seconds."""
        return self._read("run.json") or {}

    def update_run(self, **facts):
        """Adds facts to `run.json`."""
        if not self.writes:
            return
        base = {
            "recipe": self.recipe,
            "command": " ".join(sys.argv),
            "python": platform.python_version(),
            "versions": _versions(),
            "commit": _commit(),
            "backend": keras.backend.backend(),
            "machine": f"{_processor()}, {os.cpu_count()} CPUs",
        }
        self._keep("run.json", _json({**base, **self.run, **facts}))

    @property
    def results(self) -> dict | None:
        """What `results.json` holds, or `None` while the run is not finished."""
        return self._read("results.json")

    @results.setter
    def results(self, results):
        self._write("results.json", _json(results))

    def write_log(self, rows):
        """Writes `log.csv`: every epoch once, whatever was there before."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self._keep("log.csv", text.getvalue())

    def _read(self, name):
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        except json.JSONDecodeError:
            raise Mistake(
                f"{name} must be as a run wrote it. Received: {self.path / name}, which is no "
                "JSON. Choose another --workdir."
            ) from None

    def _keep(self, name, text):
        """Writes what is written again later; a full disk is said, and stops nothing."""
        try:
            self._write(name, text)
        except OSError as error:
            print(
                f"{name} could not be written ({error.strerror}). Training goes on. "
                f"Received: {self.path}.",
                flush=True,
            )

    def _write(self, name, text):
        if not self.writes:
            return
        aside = self.path / f".{name}.tmp"
        try:
            with open(aside, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.path / name)
        finally:
            aside.unlink(missing_ok=True)


def _json(value):
    return json.dumps(value, indent=2) + "\n"


def _difference(before, now):
    """Returns the first difference of two dicts in words, or `None`; no `before`, no difference."""
    now = json.loads(json.dumps(now))  # as it was stored
    before = now if before is None else before
    for name in [*now, *before]:
        if now.get(name) != before.get(name):
            was, received = _short(before.get(name)), _short(now.get(name))
            return f"`{name}` was {was}. Received: {name}={received}"
    return None


def _short(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unwritable(path, error):
    return f"`workdir` must be a folder that can be written. Received: {path} ({error.strerror})."


def _processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def _versions():
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commit():
    """Returns the git commit of this package's checkout, "+" if it was changed, else `None`."""

    def git(*words):
        folder = pathlib.Path(__file__).parent
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True)

    try:
        head = git("rev-parse", "HEAD")
        if head.returncode:
            return None
        changed = git("status", "--porcelain", "--untracked-files=no").stdout.strip()
    except OSError:
        return None
    return head.stdout.strip() + ("+" if changed else "")
