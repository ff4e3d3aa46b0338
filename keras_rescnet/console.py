"""Words to the one who started a command, which must never end what they are about."""

import atexit
import contextlib
import errno
import os
import sys


def say(text: str, end: str = "\n") -> None:
    """Prints to stdout at once, or not at all if stdout is full or its reader is gone.

    What runs for days must not end because of `| head`, a closed terminal or a full disk.
    """
    try:
        print(text, end=end, flush=True)
    except UnicodeEncodeError:  # a terminal of another encoding, or the name of a file
        say(text.encode("ascii", "backslashreplace").decode(), end)
    except ValueError:  # stdout is closed
        pass
    except OSError as error:
        if error.errno == errno.ENOSPC:  # there may be room later
            atexit.register(_flush_or_drop)
        else:
            drop_stdout()


def counted(number: int, thing: str) -> str:
    """Returns `"1 epoch"` or `"1,442 epochs"`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _flush_or_drop():
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        drop_stdout()


def drop_stdout() -> None:
    """Sends stdout nowhere: Python flushes it at the end, and would end with another exit code."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
