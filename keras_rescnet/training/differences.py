"""The first difference of two descriptions, in words."""

import itertools

from keras_rescnet.mistake import shorten


def difference(before, now, path: str = "") -> str | None:
    """Returns the first difference of two values of JSON in words, or `None`.

    Args:
        before: What was there.
        now: What is there now.
        path: Names that lead to the two values, joined by dots.
    """
    if before == now:
        return None
    if isinstance(before, dict) and isinstance(now, dict):
        name = next(name for name in [*now, *before] if now.get(name) != before.get(name))
        return difference(before.get(name), now.get(name), f"{path}.{name}" if path else name)
    if path.endswith("code") and isinstance(before, list) and isinstance(now, list):
        lines = itertools.zip_longest(before, now, fillvalue="")
        before, now = next((a.strip(), b.strip()) for a, b in lines if a != b)
    return f"`{path}` was {shorten(before, length=60)}. Received: {path}={shorten(now, length=60)}"
