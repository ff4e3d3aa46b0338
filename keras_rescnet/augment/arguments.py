"""Checks of what transforms are made with, each with one line that says what is expected."""

import math
import numbers

import numpy as np

from keras_rescnet.mistake import Mistake, shorten


def check_number(name, value, low, high=math.inf):
    """Raises `Mistake` unless `value` is a finite number from `low` to `high`."""
    if is_number(value) and low <= value <= high:
        return
    limits = f"in [{low}, {high}]" if high < math.inf else f"a number, at least {low}"
    raise Mistake(f"`{name}` must be {limits}. Received: {name}={shorten(value)}.")


def check_integer(name, value, low, high=None):
    """Raises `Mistake` unless `value` is an integer from `low` to `high`."""
    if is_integer(value):
        if value >= low and (high is None or value <= high):
            return
    if high is not None:
        expected = f"an integer from {low} to {high}"
    else:
        expected = "a positive integer" if low == 1 else f"an integer, at least {low}"
    raise Mistake(f"`{name}` must be {expected}. Received: {name}={shorten(value)}.")


def check_pair(name, value, high=math.inf):
    """Raises `Mistake` unless `value` is two rising numbers, above 0 and at most `high`."""
    if isinstance(value, tuple | list) and len(value) == 2 and all(map(is_number, value)):
        if 0 < value[0] <= value[1] <= high:
            return
    expected = "two rising positive numbers" if high == math.inf else "two rising shares in (0, 1]"
    raise Mistake(f"`{name}` must be {expected}. Received: {name}={shorten(value)}.")


def is_integer(value):
    """Returns whether a value is an integer, of Python or of numpy."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value):
    """Returns whether a value is a finite real number."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value)
