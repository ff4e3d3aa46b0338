"""What several builders share: checks, the input, the unit of convolution, and the logits."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from keras_rescnet.arguments import check_integer, check_share, is_integer
from keras_rescnet.initializers import fan_in_uniform
from keras_rescnet.layers.arguments import activation_of, initializer_of
from keras_rescnet.layers.batch_normalization import BatchNormalization
from keras_rescnet.layers.images import check_channels_last
from keras_rescnet.mistake import Mistake, shorten

Activation = str | Callable[..., Any]
Calibration = Callable[..., keras.layers.Layer]


def image_input(input_shape, at_least=1):
    """Checks `(height, width, channels)` and returns the `keras.Input`.

    Args:
        input_shape: Height, width and channels of the images; height and width may be `None`.
        at_least: Smallest height and width, in pixels.

    Returns:
        A symbolic tensor `(N, height, width, channels)`.
    """
    check_channels_last("This model")
    sizes = tuple(input_shape) if isinstance(input_shape, tuple | list) else ()
    least = (at_least, at_least, 1)
    fits = len(sizes) == 3 and sizes[2] is not None
    if not fits or not all(
        size is None or (is_integer(size) and size >= limit)
        for size, limit in zip(sizes, least, strict=True)
    ):
        raise Mistake(
            "`input_shape` must be (height, width, channels) of channels-last images, height "
            f"and width at least {at_least}. Received: input_shape={shorten(input_shape)}."
        )
    return keras.Input(sizes, name="images")


def conv_bn(
    x,
    filters,
    kernel_size,
    strides=1,
    activation=None,
    *,
    use_bias=False,
    kernel_initializer=None,
    normalization=BatchNormalization,
    name,
):
    """Convolution and batch normalization, then the activation if there is one.

    Args:
        x: Symbolic images `(N, H, W, C)`.
        filters: Channels of the output.
        kernel_size: Odd side of the kernel; above 1 if strided.
        strides: Output is `ceil(H / strides)` high, padded as PyTorch pads.
        activation: A Keras activation, or `None`.
        use_bias: Whether the convolution has a bias.
        kernel_initializer: `None` is PyTorch's default, which a bias has in any case.
        normalization: Called with a `name`, returns the normalization layer.
        name: Prefix of the names of the layers: `name_conv`, `name_bn`, `name_activation`.

    Returns:
        Symbolic images.
    """
    x = convolution(
        x,
        filters,
        kernel_size,
        strides,
        use_bias=use_bias,
        kernel_initializer=kernel_initializer,
        name=name,
    )
    x = made_layer("normalization", normalization, f"{name}_bn")(x)
    return x if activation is None else activated(x, activation, f"{name}_activation")


def convolution(
    x, filters, kernel_size, strides=1, *, use_bias=False, kernel_initializer=None, name
):
    """Convolution alone; the arguments are those of `conv_bn`, the layer is `name_conv`."""
    if strides > 1:  # "same" would pad (0, 1) where PyTorch pads (1, 1)
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    initializers = fan_in_uniform(kernel_size**2 * x.shape[-1])
    if kernel_initializer is not None:
        initializers["kernel_initializer"] = _clone("kernel_initializer", kernel_initializer)
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same" if strides == 1 else "valid",
        use_bias=use_bias,
        name=f"{name}_conv",
        **initializers,
    )(x)


def activated(x, activation, name):
    """Returns `x` after an activation.

    Args:
        x: A symbolic tensor.
        activation: A name that Keras knows, a function, or a layer. One that is not built, which
            may have weights, is copied for every place; one that is built is shared.
        name: Name of the layer.

    Raises:
        Mistake: If it is none of these.
    """
    activation_of("activation", activation)
    if isinstance(activation, keras.layers.Layer) and not activation.built:
        activation = type(activation).from_config({**activation.get_config(), "name": name})
        return activation(x)
    return layers.Activation(activation, name=name)(x)


def calibrated(x, calibration, name, identity=None):
    """Returns `x`, calibrated.

    A calibration reads the identity branch too if the `call` of its layer has an argument of that
    name, as in `call(self, residual, identity)`. Both are images of one shape; what it returns is
    the calibrated residual branch, which the identity branch is then added to.

    Args:
        x: Symbolic images `(N, H, W, C)`, of the residual branch where there are two.
        calibration: `None`, or what makes the layer, called with a `name`.
        name: Prefix of the layer's name, `name_calibration`.
        identity: Function of no arguments that returns the identity branch, `(N, H, W, C)` too. It
            is called only if the calibration reads it, so that the layers of a shortcut are made
            (and draw their weights) after the calibration wherever they can. `None` where there is
            one branch.

    Raises:
        Mistake: If `calibration` is something else, such as a layer, which can stand in one place
            only, or reads an identity branch that is not there.
    """
    if calibration is None:
        return x
    layer = made_layer("calibration", calibration, f"{name}_calibration")
    if "identity" not in inspect.signature(layer.call).parameters:
        return layer(x)
    if identity is None:
        raise Mistake(
            "`calibration` must read one branch where a network has no residual blocks. "
            f"Received: calibration={shorten(calibration)}, which reads the identity branch too."
        )
    return layer(x, identity())


def made_layer(argument, maker, name):
    """Returns `maker(name=name)`, which must be a layer; `argument` is the name for errors."""
    if isinstance(maker, keras.layers.Layer) or not _takes_name(maker):
        kind = "a layer" if isinstance(maker, keras.layers.Layer) else "which takes no `name`"
        raise Mistake(
            f"`{argument}` must be what makes a layer, such as a class or "
            f"partial(RCLayer, reduction=4). Received: {argument}={shorten(maker)}, {kind}."
        )
    layer = maker(name=name)
    if not isinstance(layer, keras.layers.Layer):
        raise Mistake(
            f"`{argument}` must return a layer when it is called with a `name`. "
            f"Received: {argument}={shorten(maker)}, which returns {shorten(layer)}."
        )
    return layer


def _takes_name(maker):
    try:
        inspect.signature(maker).bind(name="")
    except TypeError:
        return False
    return True


def logits(x, classes, logits_initializer=None):
    """Returns the float32 logits that every model ends with.

    Args:
        x: Symbolic features `(N, C)`.
        classes: Number of logits.
        logits_initializer: Of the kernel, with zero biases; `None` is PyTorch's default for both.
    """
    check_integer("classes", classes, 1)
    initializers = fan_in_uniform(x.shape[-1])
    if logits_initializer is not None:
        initializers = {"kernel_initializer": _clone("logits_initializer", logits_initializer)}
    return layers.Dense(int(classes), dtype="float32", name="logits", **initializers)(x)


def linear_rates(last, depth):
    """Returns `depth` rates from 0 to `last`, those of stochastic depth."""
    check_share("drop_path", last)
    return [last * i / max(depth - 1, 1) for i in range(depth)]


def _clone(name, initializer):
    """A new draw: an unseeded initializer gives the same numbers on every call."""
    return initializer_of(name, initializer).clone()
