"""Who may write into the folder of a run."""

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
from typing import TextIO

from keras_rescnet import files
from keras_rescnet.console import say
from keras_rescnet.mistake import Mistake, shorten

# What a run may have left that was killed before it had written `run.json`
_OF_A_START = {".lock", "checkpoints"}
# What is there when a run failed before it had trained anything
_OF_A_FAILURE = {*_OF_A_START, "recipe.py", "run.json", "tensorboard"}
# What file systems without locks answer
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL)


class Claim:
    """A run's folder, which this process alone writes into until it releases it.

    Args:
        path: The folder; made if it does not exist. One that holds anything but a run is refused.

    Attributes:
        new: Whether there was no run in the folder.

    Raises:
        Mistake: If the folder cannot be written, is in use, or holds something else.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.new = not self._holds_run()
        folders = (path / "checkpoints", path, *path.parents)
        self._made = [folder for folder in folders if not folder.exists()]
        try:
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
            self._lock = self._take_lock()
        except (FileExistsError, NotADirectoryError):
            raise Mistake(
                f"`workdir` must be a folder. Received: {path}, where a file is in the way."
            ) from None
        except OSError as error:
            raise Mistake(_unwritable(path, error)) from None
        files.remove_leftovers(path)

    def _holds_run(self):
        try:
            names = {entry.name for entry in self.path.iterdir()}
            steps = any((self.path / "checkpoints").glob("step-*"))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise Mistake(_unwritable(self.path, error)) from None
        if "run.json" in names or steps:
            return True
        own = {name for name in names if files.is_leftover(name) or ".damaged" in name}
        foreign = sorted(names - own - _OF_A_START)
        if foreign:
            raise Mistake(
                "`workdir` must be a new or empty folder, or one that holds a run. Received: "
                f"{shorten(self.path, str)}, which holds {shorten(', '.join(foreign), ascii)}."
            )
        return False

    def _take_lock(self) -> TextIO:
        name = self.path / ".lock"
        while True:
            lock = open(name, "w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(lock, name):
                    return lock
                lock.close()  # the lock of a run that failed at its start, and has removed it
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    say(
                        f"The file system of {self.path} has no locks ({error.strerror}): see to "
                        "it that no second run writes into this folder."
                    )
                    return lock
                lock.close()
                if not isinstance(error, BlockingIOError | PermissionError):
                    raise
                raise Mistake(
                    f"Another run is writing into this workdir. Received: {self.path}. "
                    "Wait for it, or choose another --workdir."
                ) from None

    def clear(self) -> None:
        """Removes what a start made that failed, unless something has been trained."""
        with contextlib.suppress(OSError):
            names = {entry.name for entry in self.path.iterdir()}
            if names - _OF_A_FAILURE or any((self.path / "checkpoints").iterdir()):
                return
            for name in names - {"checkpoints"} if self.new else ():
                path = self.path / name
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for folder in self._made:
                folder.rmdir()

    def holds(self) -> bool:
        """Returns whether the folder is that which was claimed: it may have been removed since."""
        return _is_at(self._lock, self.path / ".lock")

    def release(self) -> None:
        """Lets other processes have the folder."""
        self._lock.close()


def _is_at(file, path):
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())


def _unwritable(path, error):
    return (
        f"`workdir` must be a folder that can be written. Received: {shorten(path, str, 300)} "
        f"({error.strerror})."
    )
