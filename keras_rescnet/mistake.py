"""What a user can put right."""

import difflib
from collections.abc import Iterable


class ProcessLost(ConnectionError):
    """Another process of a run is gone, or did not answer in time. Commands end with 4 then."""


class Mistake(ValueError):
    """A mistake in what was asked for: one line says what is wrong and what to do.

    Commands print the line and end with exit code 2. Every other exception is a defect of this
    package or of what it calls, and keeps its traceback.

    Example:

    >>> try:
    ...     kr.layers.GCLU(approximate="cubic")
    ... except kr.Mistake as mistake:
    ...     print(mistake)
    `approximate` must be None, "sigmoid" or "tanh". Received: approximate='cubic'.
    """


def shorten(value: object, text=repr, length: int = 100) -> str:
    """Returns `repr(value)`, or `text` of it, on one line of at most `length` characters."""
    line = " ".join(text(value).split())
    return line if len(line) <= length else f"{line[: length - 3]}..."


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns the one of `names` that `name` was most likely meant to be."""
    return difflib.get_close_matches(str(name), list(map(str, names)), n=1, cutoff=0.0)[0]
