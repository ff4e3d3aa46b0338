"""What a process does that waits for the others of its run in vain."""

import contextlib
import os
import sys
import threading

from keras_rescnet.mistake import Mistake, ProcessLost

# How lines of TensorFlow's errors begin that say nothing of what has happened
_UNTOLD = ("Graph execution error", "Detected at node", "<stack traces", "File ")

LOST = (
    "Another process of this run is gone, or did not answer in time ({}). Start all of them again: "
    "they continue from the last checkpoint."
)


def lost(error):
    """Returns the `ProcessLost` that stands for what a library raised, with its first line."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(_UNTOLD)] or [""]
    return ProcessLost(LOST.format(f"{type(error).__name__}: {told[0][:200]}"))


def too_late(error):
    """Returns the `Mistake` that stands for a library's refusal to join processes by now."""
    return Mistake(
        "Nothing may be computed before several processes find each other: make tensors in "
        f"functions of the recipe, not in its file. Received: {str(error).splitlines()[0]}"
    )


class Deadline:
    """A context that ends the process when its body waits longer than `timeout` seconds.

    For calls into C++ that wait for other processes without a time limit of their own: nothing
    can interrupt them, and no exception can be raised in them. This is the one place where the
    library ends the process itself: it prints a line on stderr and exits with 4, as the commands
    do after a `ProcessLost`.

    Args:
        timeout: Seconds; `None` for no limit.
        message: What to print.
    """

    def __init__(self, timeout, message):
        self._timeout, self._message = timeout, message
        self._timer = None

    def __enter__(self):
        self.restart()
        return self

    def __exit__(self, *_):
        if self._timer is not None:
            self._timer.cancel()

    def restart(self):
        """Begins to count again."""
        self.__exit__()
        if self._timeout is not None:
            self._timer = threading.Timer(self._timeout, self._end)
            self._timer.daemon = True
            self._timer.start()

    def _end(self):
        with contextlib.suppress(OSError):
            print(self._message, file=sys.stderr, flush=True)
        os._exit(4)
