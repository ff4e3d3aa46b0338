"""Files that are whole or not there, also after a power cut: written aside, synced, renamed."""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

# What a file system answers that cannot sync a folder; there is nothing more to do on it then
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS)


def write(path: str | os.PathLike, data: bytes | str) -> None:
    """Writes a file as a whole, or leaves what was there.

    The data are written aside, synced and given their name, and the folder is synced, so that
    they survive a power cut as soon as this function has returned.

    Args:
        path: The file. A link is replaced, not followed.
        data: Its contents; text is encoded as UTF-8.

    Raises:
        OSError: If it cannot be written; nothing is left aside then.
    """
    with write_aside(path) as aside:
        aside.write_bytes(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def write_aside(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives the body of a `with` a path to write to, and then moves what is there to `path`.

    For what only a library can write, such as a model: the body makes a file or a folder at the
    path it is given, which is in the same folder and has the same suffix. It is synced, and takes
    the place of what was at `path`. If the body raises, nothing is changed.

    Args:
        path: The file or folder to write.
    """
    path = pathlib.Path(path)
    # The number of the process: several may write the same file, such as a cache of all
    aside = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    _remove(aside)
    try:
        yield aside
        sync_tree(aside)
        if aside.is_dir() and path.is_dir() and not path.is_symlink():
            before = aside.with_name(f"{aside.name}.before")  # a folder cannot be replaced at once
            path.rename(before)
            aside.rename(path)
            _remove(before)
        else:
            aside.replace(path)
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(aside)):
            error.filename = str(path)  # of a full disk the system does not say in which file
        raise
    finally:
        _remove(aside)
    _sync(path.parent)


@contextlib.contextmanager
def write_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """As `write_aside`, of a folder that is made for the body to write into."""
    with write_aside(path) as aside:
        aside.mkdir()
        yield aside


def is_file(path: str | os.PathLike) -> bool:
    """Returns whether there is a file, also of a name that no file can have."""
    try:
        return pathlib.Path(path).is_file()
    except (OSError, ValueError):  # a name that is too long
        return False


def sync_tree(path: str | os.PathLike) -> None:
    """Syncs a file, or a folder with all files and folders below it."""
    path = pathlib.Path(path)
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                _sync(pathlib.Path(folder, name))
            _sync(pathlib.Path(folder))
    else:
        _sync(path)


def remove_leftovers(folder: str | os.PathLike) -> None:
    """Removes what processes that were killed while they wrote left in `folder`.

    Only for a folder into which no other process writes. What cannot be removed stays.
    """
    with contextlib.suppress(OSError):
        for path in list(pathlib.Path(folder).iterdir()):
            if is_leftover(path.name):
                _remove(path)


def is_leftover(name: str) -> bool:
    """Returns whether a name is one that `write_aside` writes to."""
    return re.fullmatch(r"\..+\.\d+\.tmp(\..+)?", name) is not None


def checksum(facts: dict) -> str:
    """Returns the SHA-256 of all entries of a dict but `"checksum"`, where it is kept."""
    rest = {name: value for name, value in facts.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _sync(path):
    folder = path.is_dir()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not folder or error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
