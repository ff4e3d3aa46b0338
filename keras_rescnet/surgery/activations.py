"""Which activation an operation has, and the same operation with another."""

from collections.abc import Callable
from typing import Any

import keras

# What does nothing but activate. `Activation` has the activation in its config, as `Conv2D` has.
LAYERS = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
    keras.layers.Softmax,
)


def activation_name(operation: keras.Operation) -> str | None:
    """Returns what an operation activates with, or `None`; plain ReLU, and it alone, is "relu"."""
    if isinstance(operation, keras.layers.ReLU):
        plain = {"max_value": None, "negative_slope": 0, "threshold": 0}
        own = {key: getattr(operation, key) for key in plain}
        changed = [f"{key}={own[key]}" for key in plain if own[key] != plain[key]]
        return f"ReLU({', '.join(changed)})" if changed else "relu"
    if isinstance(operation, LAYERS):
        return type(operation).__name__
    if not isinstance(operation, keras.Layer):  # `keras.ops.relu(x)` leaves a `Relu` in the graph
        name = type(operation).__name__.lower()
        return name if hasattr(keras.activations, name) else None
    function = getattr(operation, "activation", None)
    if function in (None, keras.activations.linear) or "activation" not in operation.get_config():
        return None
    if isinstance(function, keras.Layer):
        return activation_name(function) or type(function).__name__
    if function in (keras.activations.relu, keras.ops.relu):
        return "relu"
    name = getattr(function, "__name__", type(function).__name__)
    return f"{function.__module__}.{name}" if name == "relu" else name


def only_activates(operation: keras.Operation) -> bool:
    """Returns whether an operation with an activation does nothing else."""
    return not isinstance(operation, keras.Layer) or isinstance(
        operation, (*LAYERS, keras.layers.Activation)
    )


def with_activation(operation: keras.Operation, activation: Callable[..., Any]) -> keras.Operation:
    """Returns a new operation of the same name with another activation."""
    if only_activates(operation):
        policy = {"dtype": operation.dtype_policy} if isinstance(operation, keras.Layer) else {}
        return keras.layers.Activation(activation, name=operation.name, **policy)
    return type(operation).from_config({**operation.get_config(), "activation": activation})
