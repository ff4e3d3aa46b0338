"""Checks of what layers and builders of models are given."""

import keras

from keras_rescnet.initializers import without_drawing
from keras_rescnet.mistake import Mistake, shorten


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


def initializer_of(name, value, optional=False):
    """Returns the initializer that `keras.initializers.get` finds for an argument, or `None`."""
    try:
        if value is not None or optional:
            return keras.initializers.get(value)
    except (TypeError, ValueError):
        pass
    raise Mistake(
        f"`{name}` must be an initializer or a name of one that Keras knows. "
        f"Received: {name}={shorten(value)}."
    )


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
