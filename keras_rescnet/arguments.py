"""Checks of the numbers that functions and classes are given: one line each."""

import math
import numbers

from keras_rescnet.mistake import Mistake, shorten


def check_integer(name, value, low, high=None):
    """Raises a `Mistake` unless `value` is an integer from `low` to `high`."""
    if is_integer(value) and value >= low and (high is None or value <= high):
        return
    if high is not None:
        expected = f"an integer from {low} to {high}"
    else:
        expected = "a positive integer" if low == 1 else f"an integer, at least {low}"
    raise Mistake(f"`{name}` must be {expected}. Received: {name}={shorten(value)}.")


def check_integers(name, values):
    """Raises a `Mistake` unless `values` is a tuple or list of positive integers."""
    if isinstance(values, tuple | list) and values and all(map(is_integer, values)):
        if min(values) > 0:
            return
    raise Mistake(
        f"`{name}` must be a tuple of positive integers. Received: {name}={shorten(values)}."
    )


def check_number(name, value, low=-math.inf, high=math.inf):
    """Raises a `Mistake` unless `value` is a finite number from `low` to `high`."""
    if is_number(value) and low <= value <= high:
        return
    if high < math.inf:
        limits = f"in [{low}, {high}]"
    else:
        limits = f"a number, at least {low}" if low > -math.inf else "a number"
    raise Mistake(f"`{name}` must be {limits}. Received: {name}={shorten(value)}.")


def check_positive(name, value):
    """Raises a `Mistake` unless `value` is a finite number above 0."""
    if not is_number(value) or not value > 0:
        raise Mistake(f"`{name}` must be a positive number. Received: {name}={shorten(value)}.")


def check_share(name, value):
    """Raises a `Mistake` unless `value` is a number from 0 to below 1."""
    if not is_number(value) or not 0 <= value < 1:
        raise Mistake(
            f"`{name}` must be at least 0 and below 1. Received: {name}={shorten(value)}."
        )


def check_pair(name, value, high=math.inf):
    """Raises a `Mistake` unless `value` is two rising numbers, above 0 and at most `high`."""
    if isinstance(value, tuple | list) and len(value) == 2 and all(map(is_number, value)):
        if 0 < value[0] <= value[1] <= high:
            return
    expected = "two rising positive numbers" if high == math.inf else "two rising shares in (0, 1]"
    raise Mistake(f"`{name}` must be {expected}. Received: {name}={shorten(value)}.")


def is_integer(value):
    """Returns whether a value is an integer, of Python or of numpy."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value):
    """Returns whether a value is a finite real number, of Python or of numpy."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False
