"""Which activation an operation has, and layers with another."""

import keras
from keras import layers

from keras_rescnet.activations import GCLUOperation
from keras_rescnet.models.blocks import Activation
from keras_rescnet.self_gated import SelfGated
from keras_rescnet.surgery.graph import is_graph

# What does nothing but activate; `Activation` has the activation in its config, as `Conv2D` has.
LAYERS = (layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU, layers.Softmax)
PLAIN = {"max_value": None, "negative_slope": 0, "threshold": 0}  # a ReLU that is no gate
# `keras.ops.leaky_relu(x)` leaves a `LeakyRelu` in the graph
OPERATIONS = {name.replace("_", ""): name for name in dir(keras.activations)}


def activation_name(operation: keras.Operation) -> str | None:
    """Returns what an operation activates with, or `None`; plain ReLU, and it alone, is "relu"."""
    is_layer, kind = isinstance(operation, layers.Layer), type(operation).__name__
    # `keras.activations.relu(x, max_value=6)` leaves a `ReLU` that is no layer
    if isinstance(operation, layers.ReLU) or (kind == "ReLU" and not is_layer):
        keys = [key for key in PLAIN if getattr(operation, key) != PLAIN[key]]
        changed = ", ".join(f"{key}={getattr(operation, key)}" for key in keys)
        return f"ReLU({changed})" if changed else "relu"
    if isinstance(operation, LAYERS):
        return kind
    if isinstance(operation, GCLUOperation):
        return "gclu"
    if isinstance(operation, SelfGated):
        return operation.function.__name__
    if not is_layer:
        return OPERATIONS.get(kind.lower())
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
    policy = policy_of(like)
    if isinstance(activation, layers.Layer):
        config = {**activation.get_config(), "name": name, "dtype": policy}
        return type(activation).from_config(config)
    return layers.Activation(activation, name=name, dtype=policy)


def policy_of(operation: keras.Operation) -> keras.DTypePolicy:
    """Returns the dtype policy of a layer; of another operation that of its first output.

    A model's own says nothing about the layers in it.
    """
    if isinstance(operation, layers.Layer) and not is_graph(operation):
        return operation.dtype_policy
    dtype = keras.tree.flatten(operation.output)[0].dtype
    return keras.DTypePolicy(f"mixed_{dtype}" if dtype in ("float16", "bfloat16") else dtype)
