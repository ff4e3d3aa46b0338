"""Which activation an operation has, and the same operation with another."""

import keras

from keras_rescnet.models.blocks import Activation

# What does nothing but activate. `Activation` has the activation in its config, as `Conv2D` has.
LAYERS = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
    keras.layers.Softmax,
)
# What activates at the end. Other layers with an argument `activation` may use it inside.
ACTIVATE_AT_THE_END = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
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


def activation_layer(
    activation: Activation, like: keras.Operation, name: str
) -> keras.layers.Layer:
    """Returns a layer that activates; of an activation that is a layer, a copy.

    Args:
        activation: A name that Keras knows, a function, or a layer.
        like: The operation whose activation it is or replaces, which gives the dtype policy.
        name: Name of the layer.
    """
    policy = {"dtype": like.dtype_policy} if isinstance(like, keras.Layer) else {}
    if isinstance(activation, keras.Layer):
        config = {**activation.get_config(), "name": name, **policy}
        return type(activation).from_config(config)
    return keras.layers.Activation(activation, name=name, **policy)


def with_activation(operation: keras.Operation, activation: Activation) -> keras.Operation:
    """Returns an operation with another activation, made from its config."""
    return type(operation).from_config({**operation.get_config(), "activation": activation})
