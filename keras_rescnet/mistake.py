"""What a user can fix."""

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator


class ProcessLost(ConnectionError):
    """Another process of a run is gone, or did not answer in time. Commands end with 4 then."""


class Mistake(ValueError):
    """A mistake of the user: one line says what is wrong and what to do.

    Commands print the line and end with exit code 2. Other exceptions keep their traceback: but for
    those that a function documents and those of the user's own code, they are defects.

    Example:

    >>> try:
    ...     kr.layers.GCLU(approximate="cubic")
    ... except kr.Mistake as mistake:
    ...     print(mistake)
    `approximate` must be None, "sigmoid" or "tanh". Received: approximate='cubic'.
    """


@contextlib.contextmanager
def mistakes_in_tensorflow() -> Iterator[None]:
    """Raises a `Mistake` of a function that TensorFlow called, of which it leaves the text alone.

    That is where batches are read: within `tf.data` an exception becomes an error of TensorFlow's.
    """
    try:
        yield
    except Exception as error:
        line = re.search(r"\bMistake: (.+)", str(error))
        if line is None or not type(error).__module__.startswith("tensorflow."):
            raise
        raise Mistake(line[1]) from error


def shorten(value: object, text=repr, length: int = 100) -> str:
    """Returns `repr(value)`, or `text` of it, on one line of at most `length` characters."""
    line = " ".join(text(value).split())
    return line if len(line) <= length else f"{line[: length - 3]}..."


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns the one of `names` that `name` was most likely meant to be."""
    return difflib.get_close_matches(str(name), list(map(str, names)), n=1, cutoff=0.0)[0]
