"""The folder of a `fit` that can be resumed."""

import json
import pathlib

from keras_rescnet import files
from keras_rescnet.console import say
from keras_rescnet.mistake import Mistake
from keras_rescnet.training.checkpoint import Checkpoints
from keras_rescnet.training.claim import Claim
from keras_rescnet.training.differences import difference
from keras_rescnet.training.environment import changes, environment
from keras_rescnet.training.fit_state import FitState


class FitFolder:
    """The folder of a `fit`, held by one process at a time.

    Holds `run.json` (what the `fit` is, and the machine and versions of its last start) and
    `checkpoints/`. Within a process the folder goes from the `fit` that an exception has ended to
    the next one.

    Args:
        path: The folder; made if it does not exist.
        facts: What the `fit` is, as JSON holds it; a folder with other facts is refused. `None`
            stands for what is not known, and fits everything.

    Attributes:
        checkpoints: Its `Checkpoints`.

    Raises:
        Mistake: If the folder cannot be written, is in use, or belongs to something else.
    """

    checkpoints: Checkpoints
    _open: dict[pathlib.Path, "FitFolder"] = {}

    def __init__(self, path: pathlib.Path, facts: dict):
        self.path = path
        before = self._open.pop(path, None)
        if before is not None:
            before.checkpoints.close()
            if not before._claim.holds():  # the folder was removed, to begin anew
                before._claim.release()
                before = None
        self._claim: Claim = before._claim if before is not None else Claim(path)
        try:
            self._start(facts)
            self.checkpoints = Checkpoints(path / "checkpoints", state=FitState)
        except BaseException:
            self._claim.release()
            raise
        self._open[path] = self

    def _start(self, facts):
        before = self._read()
        if before and "fit" not in before:
            raise Mistake(
                "`workdir` must be a new or empty folder, or one that holds a `fit`. "
                f"Received: {self.path}, which holds something else."
            )
        kept = before.get("fit", facts)
        facts = {name: kept[name] if value is None else value for name, value in facts.items()}
        different = difference(kept, facts)
        if different:
            raise Mistake(
                f"{self.path} holds another `fit`: {different}. "
                "Choose another workdir, or the script of that one."
            )
        now = json.loads(json.dumps(environment()))
        words = changes(before.get("environment", now), now)
        if words:
            say(
                "This start differs from the one before in what may decide the last bits of the "
                f"result: {', '.join(words)}."
            )
        run = {"fit": facts, "environment": now}
        text = json.dumps({**run, "checksum": files.checksum(run)}, indent=2)
        try:
            files.write(self.path / "run.json", text + "\n")
        except OSError as error:
            say(f"run.json could not be written ({error.strerror}). Received: {self.path}.")

    def _read(self):
        try:
            run = json.loads((self.path / "run.json").read_bytes())
            if isinstance(run, dict) and run.get("checksum") in (None, files.checksum(run)):
                return run
        except FileNotFoundError:
            return {}
        except ValueError:
            pass
        say(f"run.json must be as it was written, but is damaged. Received: {self.path}.")
        return {}

    def close(self) -> None:
        """Waits for the last checkpoint, and lets other processes have the folder."""
        self.checkpoints.close()
        self._claim.release()
        self._open.pop(self.path, None)
