"""Which activation an operation has, and layers with another."""

import keras
from keras import layers

from keras_rescnet.models.blocks import Activation

# What does nothing but activate; `Activation` has the activation in its config, as `Conv2D` has.
LAYERS = (layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU, layers.Softmax)
PLAIN = {"max_value": None, "negative_slope": 0, "threshold": 0}  # a ReLU that is no gate


def activation_name(operation: keras.Operation) -> str | None:
    """Returns what an operation activates with, or `None`; plain ReLU, and it alone, is "relu"."""
    if isinstance(operation, layers.ReLU):
        keys = [key for key in PLAIN if getattr(operation, key) != PLAIN[key]]
        changed = ", ".join(f"{key}={getattr(operation, key)}" for key in keys)
        return f"ReLU({changed})" if changed else "relu"
    if isinstance(operation, LAYERS):
        return type(operation).__name__
    if not isinstance(operation, layers.Layer):  # `keras.ops.relu(x)` leaves a `Relu` in the graph
        name = type(operation).__name__.lower()
        return name if hasattr(keras.activations, name) else None
    function = getattr(operation, "activation", None)
    if function in (None, keras.activations.linear) or "activation" not in operation.get_config():
        return None
    if isinstance(function, layers.Layer):
        return activation_name(function) or type(function).__name__
    if function in (keras.activations.relu, keras.ops.relu):
        return "relu"
    name = getattr(function, "__name__", type(function).__name__)
    return f"{function.__module__}.{name}" if name == "relu" else name


def only_activates(operation: keras.Operation) -> bool:
    """Returns whether an operation with an activation does nothing else."""
    kinds = (*LAYERS, layers.Activation)
    return not isinstance(operation, layers.Layer) or isinstance(operation, kinds)


def activates_last(operation: keras.Operation) -> bool:
    """Returns whether a layer activates what it has computed, as Keras's `Conv2D` and `Dense` do.

    Other layers with an argument `activation` may use it inside.
    """
    own = type(operation).__module__.startswith("keras.") and not isinstance(operation, layers.RNN)
    return own and not only_activates(operation)


def activation_layer(activation: Activation, like: keras.Operation, name: str) -> layers.Layer:
    """Returns a layer that activates; of an activation that is a layer, a copy.

    Args:
        activation: A name that Keras knows, a function, or a layer.
        like: The operation whose activation it is or replaces, which gives the dtype policy.
        name: Name of the layer.
    """
    policy = {"dtype": like.dtype_policy} if isinstance(like, layers.Layer) else {}
    if isinstance(activation, layers.Layer):
        return type(activation).from_config({**activation.get_config(), "name": name, **policy})
    return layers.Activation(activation, name=name, **policy)
