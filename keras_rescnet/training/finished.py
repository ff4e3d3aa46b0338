"""The files of a finished run: whether they are whole, and what keeps them from being written."""

import contextlib
import hashlib
import json
import pathlib
import re
from collections.abc import Iterator

from keras_rescnet import files
from keras_rescnet.mistake import Mistake, shorten


def checksum(path: pathlib.Path) -> str | None:
    """Returns the SHA-256 of a file, or `None` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def checksums(folder: pathlib.Path) -> dict[str, str | None]:
    """Returns the checksums of the model's files by their paths in the folder of the run."""
    paths = [folder / "model.keras", *sorted((folder / "saved_model").rglob("*"))]
    return {str(path.relative_to(folder)): checksum(path) for path in paths if path.is_file()}


def note_checksums(folder: pathlib.Path, **facts) -> None:
    """Notes in `run.json` the checksums of a model's files that were written again.

    Else `train` would take them for damaged, and finish the run again.

    Args:
        folder: The folder of the run.
        **facts: What else to note.
    """
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    run.update(facts)
    if "finished" in run:  # not in runs of earlier versions
        run["finished"].update(checksums(folder))
        kept = {
            name: digest for name, digest in run["finished"].items() if (folder / name).exists()
        }
        run["finished"] = kept
    if "finished" in run or facts:
        run["checksum"] = files.checksum(run)
        files.write(folder / "run.json", json.dumps(run, indent=2) + "\n")


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
    """Makes a `Mistake` of what a file system answers to the body of a `with`."""
    try:
        yield
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise Mistake(
            f"{path.name} could not be written ({reason}). The run is saved: when there is room, "
            f"the same command finishes it from its last checkpoint. Received: {path.parent}."
        ) from error


def _reason(error):
    """Returns what a file system said, or `None`; libraries fail again while they clean up."""
    while error is not None:
        if isinstance(error, OSError):
            return error.strerror or shorten(error, str)
        if type(error).__module__.startswith("tensorflow.") and hasattr(error, "error_code"):
            return shorten(re.split(r"[;\n]", str(error))[0], str)
        error = error.__cause__ or error.__context__
    return None
