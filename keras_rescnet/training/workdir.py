"""The folder of a run, and what it says of the run."""

import contextlib
import csv
import datetime
import hashlib
import io
import json
import os
import pathlib
import shlex
import sys
import uuid
from collections.abc import Iterable, Iterator

from keras_rescnet import files
from keras_rescnet.console import say
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.recipe import FREE_FIELDS, LATER_FIELDS, Recipe
from keras_rescnet.training import finished
from keras_rescnet.training.checkpoint import Checkpoints
from keras_rescnet.training.claim import Claim
from keras_rescnet.training.differences import difference
from keras_rescnet.training.environment import changes, environment


class WorkDir:
    """A run's folder, held by one process at a time.

    Holds `recipe.py` (the recipe's file), `run.json` (recipe, data, how far the run is, and a list
    of its starts: command, versions, commit, machine, threads, devices, seconds), `checkpoints/`,
    `log.csv` (a row per epoch) and, once the run is finished, `results.json`, `model.keras` and
    `saved_model/`, whose checksums are in `run.json`. A damaged file is kept aside and made again.

    A folder that holds a run of a recipe that gives other numbers is refused. Fields in
    `FREE_FIELDS`, comments and formatting may change from one start to the next.

    Args:
        path: The folder; made if it does not exist.
        recipe: The `Recipe` of the run.
        chief: Whether this process holds the folder and writes into it. One process of a run does.
        devices: Names of the devices that the run uses.

    Raises:
        Mistake: If the folder cannot be written, is in use, or belongs to something else.
    """

    def __init__(self, path, recipe: Recipe, *, chief: bool = True, devices: Iterable[str] = ()):
        self.path = _checked(path)
        self.checkpoints = self.path / "checkpoints"
        self.digest = recipe.digest()
        self.chief = chief
        self._recipe = _stored(recipe.describe())
        self._unwritten: set[str] = set()
        self._claim = Claim(self.path) if chief else None
        try:
            self._run = self._read("run.json") or {}
            if not self._run and self._has_checkpoint():  # which knows its recipe, too
                Checkpoints(self.checkpoints, chief=False, digest=self.digest).last()
            self._check_recipe()
            self._results = self._find_results()
            if chief:
                self._start(recipe.file, devices)
        except BaseException as error:
            self.__exit__(type(error))
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self._claim is not None:
            if kind is not None:
                self._claim.clear()
            self._claim.release()

    def _check_recipe(self):
        if self._run and "recipe" not in self._run:
            raise Mistake(
                "`workdir` must be a new or empty folder, or one that holds a run. "
                f"Received: {self.path}, with a run.json of something else."
            )
        if not self._run:  # lost: what was trained knows its recipe, too
            Checkpoints(self.checkpoints, chief=False, digest=self.digest).last()
        before = self._run.get("recipe", self._recipe)
        if self._run and "starts" not in self._run:  # an earlier version described code otherwise
            plain = {k: v for k, v in before.items() if not isinstance(v, dict | str)}
            before = {**self._recipe, **plain}
        kept = {name: before.get(name) for name in FREE_FIELDS}
        always = {k: v for k, v in self._recipe.items() if k not in LATER_FIELDS}
        different = difference({**always, **before, **kept}, {**self._recipe, **kept})
        if different:
            raise Mistake(
                f"{self.path} holds a run of another recipe: {different}. "
                "Choose another --workdir, or the recipe of that run."
            )

    def _start(self, file, devices):
        """Adds a start to `run.json`, and says what differs from the one before."""
        facts = environment(devices)
        start = {
            "time": _time(),
            "command": shlex.join(sys.argv),
            "recipe": self.digest,
            "file": self._keep_recipe(file) if file is not None else None,
            "python": sys.version.split()[0],
            "environment": facts,
            "step": 0,
            "seconds": 0.0,
        }
        if self._results is not None:
            return
        before = self._run.get("recipe", self._recipe)
        for name in sorted(FREE_FIELDS):
            now = self._recipe.get(name)
            if before.get(name) != now:
                say(f"Continues with {name}={now!r}; it was {before.get(name)!r}.")
        starts = self._run.get("starts", [])
        if starts and self._has_checkpoint():
            different = changes(starts[-1]["environment"], facts)
            if different:
                say(
                    "This start differs from the one before in what may decide the last bits of "
                    f"the result: {', '.join(different)}."
                )
        identity = self._run.get("id") or uuid.uuid4().hex[:12]
        self.update_run(id=identity, recipe=self._recipe, starts=[*starts, start])

    def _keep_recipe(self, file):
        """Keeps the recipe file as `recipe.py`, the one before aside; returns its checksum."""
        kept = self.path / "recipe.py"
        try:
            data = file.read_bytes()
            before = kept.read_bytes() if kept.exists() else b""
            if before not in (data, b""):
                aside = _unused(kept.with_name("recipe.before.py"))
                kept.rename(aside)
                say(
                    f"{file} is not the file that the run was started with, but decides the same "
                    f"numbers. The file before is kept as {aside.name}."
                )
            if before != data:
                files.write(kept, data)
        except OSError as error:
            say(f"recipe.py could not be written ({error.strerror}). Received: {self.path}.")
            return None
        return hashlib.sha256(data).hexdigest()

    def check_data(self, facts: dict) -> None:
        """Raises a `Mistake` unless `facts` are those of the data the run began with."""
        now = _stored(facts)
        different = difference(self._run.get("data", now), now)
        if different:
            raise Mistake(
                f"{self.path} holds a run on other data: {different}. "
                "Choose another --workdir, or the data of that run."
            )

    @property
    def run(self) -> dict:
        """What `run.json` holds."""
        return self._run

    def update_run(self, **facts) -> None:
        """Adds facts to `run.json`."""
        if self.chief:
            self._run = _stored({**self._run, **facts})
            self._keep("run.json", self._sealed_run())

    def _sealed_run(self):
        return _json({**self._run, "checksum": files.checksum(self._run)})

    def note_progress(
        self, step: int, seconds: float, *, status: str = "training", **facts: float | None
    ) -> None:
        """Notes in `run.json` how far the run is, for other programs; to be called now and then.

        Its `progress` says when it was written, so that a reader knows a run that was killed.

        Args:
            step: The step that the run has reached.
            seconds: Seconds that this start has trained.
            status: `"training"`, `"exporting"`, `"stopped"` by a signal, or `"failed"`; a run that
                has ended has `"finished"`.
            **facts: What else `progress` shows.
        """
        if not self.chief:
            return
        *earlier, start = self._run["starts"]
        starts = [*earlier, {**start, "step": step, "seconds": round(seconds, 1)}]
        total = round(sum(start["seconds"] for start in starts), 1)
        left = facts.get("seconds_left")
        progress = {
            "status": status,
            "time": _time(),
            "step": step,
            "seconds": total,
            **facts,
            "estimated_end": None if left is None else _time(left),
        }
        self.update_run(starts=starts, seconds=total, progress=progress)

    @property
    def results(self) -> dict | None:
        """The results of a finished run whose files are whole, or else `None`.

        To set them is the last that a run does: `results.json` says that all the rest is there. It
        is written when everything else is on the disk, and its checksum too.
        """
        return self._results

    @results.setter
    def results(self, results):
        self._results = results
        if not self.chief:
            return
        text = _json(results)
        own = hashlib.sha256(text.encode()).hexdigest()
        self._run["finished"] = {**finished.checksums(self.path), "results.json": own}
        end = {"status": "finished", "time": _time(), "seconds_left": 0.0}
        self._run["progress"] = {**self._run.get("progress", {}), **end, "estimated_end": _time()}
        with finished.writing(self.path / "results.json"):
            files.sync_tree(self.path)
            files.write(self.path / "run.json", self._sealed_run())
            files.write(self.path / "results.json", text)

    @contextlib.contextmanager
    def write_aside(self, name: str) -> Iterator[pathlib.Path]:
        """Gives the body of a `with` a path to write a file or folder of the finished run to.

        It gets its name when it is whole and synced, as by `files.write_aside`.

        Args:
            name: Its name in the folder of the run.

        Raises:
            Mistake: If it cannot be written, because the disk is full, say.
        """
        with finished.writing(self.path / name), files.write_aside(self.path / name) as aside:
            yield aside

    def _find_results(self):
        """Returns the results of a finished run whose files are whole; sets aside what is not."""
        results = self._read("results.json")
        if results is None or (self._run and "starts" not in self._run):
            return results  # of an earlier version, without checksums
        expected = {"results.json": "none", **self._run.get("finished", {})}
        damaged = [
            n for n, digest in expected.items() if finished.checksum(self.path / n) != digest
        ]
        if not damaged:
            return results
        names = list(dict.fromkeys(name.split("/")[0] for name in damaged))
        what = f"{', '.join(names)} in {self.path} must be as the run wrote them, but differ."
        if self._has_checkpoint():
            self._say(f"{what} The run is finished again from its last checkpoint.")
            for name in dict.fromkeys([*names, "results.json"]):
                self._set_aside(name)
            return None
        if "results.json" in names:
            raise Mistake(
                f"{what} There is no checkpoint to finish the run from. Received: {self.path}. "
                "Choose another --workdir."
            )
        self._say(f"{what} There is no checkpoint to make them again from.")
        return results

    def _has_checkpoint(self):
        return any(self.checkpoints.glob("step-*.npz"))

    def _say(self, text):
        if self.chief:
            say(text)

    def write_log(self, rows: list[dict]) -> None:
        """Writes `log.csv` anew, a line per row.

        Args:
            rows: The rows of all epochs so far, with the same columns in the same order; `None`
                becomes an empty field.
        """
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self._keep("log.csv", text.getvalue())

    def _read(self, name):
        """Returns the dict of a JSON file; `None` if there is none or a damaged one."""
        try:
            found = json.loads((self.path / name).read_bytes())
            if found.get("checksum") in (None, files.checksum(found)):
                return {key: value for key, value in found.items() if key != "checksum"}
        except FileNotFoundError:
            return None
        except (ValueError, AttributeError, RecursionError, IsADirectoryError):
            pass
        except OSError as error:
            raise Mistake(
                f"{name} must be a file that can be read. Received: {self.path / name} "
                f"({error.strerror})."
            ) from None
        self._say(f"{name} must be as the run wrote it, but is damaged. It is made again.")
        self._set_aside(name)
        return None

    def _set_aside(self, name):
        if self.chief and os.path.lexists(self.path / name):
            aside = _unused(self.path / f"{name}.damaged")
            (self.path / name).rename(aside)
            say(f"{self.path / name} is kept as {aside.name}.")

    def _keep(self, name, text):
        """Writes what is written again later: that it cannot be written now stops nothing."""
        if not self.chief:
            return
        try:
            files.write(self.path / name, text)
            self._unwritten.discard(name)
        except OSError as error:
            if name not in self._unwritten:  # once, until it can be written again
                say(
                    f"{name} could not be written ({error.strerror}). Training continues. "
                    f"Received: {self.path}."
                )
            self._unwritten.add(name)


def _checked(path):
    """Returns the path of a workdir if all that writes into it takes its name."""
    try:
        folder = pathlib.Path(path)
        str(folder).encode()  # TensorFlow and HDF5 want UTF-8
    except (TypeError, UnicodeEncodeError):
        folder = None
    if folder is None or "\0" in str(folder):
        received = shorten(path, ascii)
        raise Mistake(f"`workdir` must be a path whose name is UTF-8. Received: {received}.")
    return folder


def _stored(value):
    """Returns what JSON makes of a value, such as lists of tuples."""
    return json.loads(json.dumps(value))


def _unused(path):
    """Returns `path`, or with a number if something has that name."""
    paths = [path, *(path.with_name(f"{path.stem}.{i}{path.suffix}") for i in range(2, 1000))]
    return next(path for path in paths if not os.path.lexists(path))


def _time(seconds=0.0):
    """Returns the time in so many seconds, as text with the offset to UTC."""
    time = datetime.datetime.now().astimezone() + datetime.timedelta(seconds=seconds)
    return time.isoformat(timespec="seconds")


def _json(value):
    return json.dumps(value, indent=2) + "\n"
