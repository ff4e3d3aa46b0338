"""Checks of what layers and builders of models are given."""

import math
import numbers

import keras

from keras_rescnet.initializers import without_drawing
from keras_rescnet.mistake import Mistake, shorten


def check_count(name, value):
    """Raises a `Mistake` unless `value` is a positive integer."""
    if not _is_count(value):
        raise Mistake(f"`{name}` must be a positive integer. Received: {name}={shorten(value)}.")


def check_counts(name, values):
    """Raises a `Mistake` unless `values` is a tuple or list of positive integers."""
    if not isinstance(values, tuple | list) or not values or not all(map(_is_count, values)):
        raise Mistake(
            f"`{name}` must be a tuple of positive integers. Received: {name}={shorten(values)}."
        )


def check_rate(name, value):
    """Raises a `Mistake` unless `value` is a share that dropout can take, below 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1.0:
        raise Mistake(
            f"`{name}` must be at least 0 and below 1. Received: {name}={shorten(value)}."
        )


def check_positive(name, value):
    """Raises a `Mistake` unless `value` is a positive number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0.0:
        raise Mistake(f"`{name}` must be a positive number. Received: {name}={shorten(value)}.")


def check_not_negative(name, value):
    """Raises a `Mistake` unless `value` is a number, at least 0 and finite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < math.inf:
        raise Mistake(f"`{name}` must be a number, at least 0. Received: {name}={shorten(value)}.")


def activation_of(name, value):
    """Returns the function or layer that `keras.activations.get` finds for an argument."""
    try:
        if isinstance(value, keras.layers.Layer):
            with without_drawing():
                type(value).from_config(value.get_config())  # every place gets a copy
        if not isinstance(value, type):
            return keras.activations.get(value)
    except (NotImplementedError, TypeError, ValueError) as error:
        if isinstance(value, keras.layers.Layer):
            raise Mistake(
                f"`{name}` that is a layer must be made again by its get_config. "
                f"Received: {name}={shorten(value)} ({shorten(error, str)})."
            ) from None
    raise Mistake(
        f'`{name}` must be a name that Keras knows, such as "relu", a function such as kr.gclu, '
        f"or a layer, not its class. Received: {name}={shorten(value)}."
    )


def hidden_activation_of(value, dtype):
    """Returns the `hidden_activation` of a layer: of one that is a layer, a copy of its own."""
    activation = activation_of("hidden_activation", value)
    if isinstance(activation, keras.layers.Layer):
        return type(activation).from_config({**activation.get_config(), "dtype": dtype})
    return activation


def initializer_of(name, value):
    """Returns the initializer that `keras.initializers.get` finds for an argument."""
    try:
        return keras.initializers.get(value)
    except (TypeError, ValueError):
        raise Mistake(
            f"`{name}` must be an initializer or a name of one that Keras knows. "
            f"Received: {name}={shorten(value)}."
        ) from None


def check_rank(layer, input_shape, rank, expected):
    """Raises a `Mistake` unless inputs have as many dimensions, the last of a known size.

    Args:
        layer: The layer, for its name.
        input_shape: Shape of the inputs.
        rank: How many dimensions there must be, or `None` for any number.
        expected: What the inputs are, in words.
    """
    if rank not in (None, len(input_shape)) or input_shape[-1] is None:
        raise Mistake(
            f"{type(layer).__name__} expects {expected} with a known C. "
            f"Received: input_shape={tuple(input_shape)}."
        )


def is_integer(value):
    """Returns whether a value is an integer, of Python or of numpy."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_count(value):
    return is_integer(value) and value > 0
