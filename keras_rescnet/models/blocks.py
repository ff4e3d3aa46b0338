"""What several builders share: the input, the unit of convolution, and the logits."""

import keras
from keras import layers

from keras_rescnet.initializers import fan_in_uniform
from keras_rescnet.layers.batch_normalization import BatchNormalization
from keras_rescnet.mistake import Mistake


def image_input(input_shape, at_least=1):
    """Checks `(height, width, channels)` and returns the `keras.Input`.

    Args:
        input_shape: Height, width and channels of the images; height and width may be `None`.
        at_least: Smallest height and width, in pixels.

    Returns:
        A symbolic tensor `(N, height, width, channels)`.
    """
    if keras.config.image_data_format() == "channels_first":
        raise Mistake(
            "Models here expect channels last: call "
            '`keras.config.set_image_data_format("channels_last")`. '
            'Received: image_data_format="channels_first".'
        )
    sizes = tuple(input_shape)
    if len(sizes) != 3 or not sizes[2] or any(s is not None and s < at_least for s in sizes[:2]):
        raise Mistake(
            "`input_shape` must be (height, width, channels) of channels-last images, height "
            f"and width at least {at_least}. Received: input_shape={input_shape}."
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
        name: Prefix of the names of the layers: `name_conv`, `name_bn`, `name_activation`.

    Returns:
        Symbolic images.
    """
    if strides > 1:  # "same" would pad (0, 1) where PyTorch pads (1, 1)
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    initializers = fan_in_uniform(kernel_size**2 * x.shape[-1])
    if kernel_initializer is not None:
        initializers["kernel_initializer"] = _clone(kernel_initializer)
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same" if strides == 1 else "valid",
        use_bias=use_bias,
        name=f"{name}_conv",
        **initializers,
    )(x)
    x = BatchNormalization(name=f"{name}_bn")(x)
    if activation is not None:
        x = layers.Activation(activation, name=f"{name}_activation")(x)
    return x


def calibrated(x, calibration, name):
    """Returns `x`, calibrated.

    Args:
        x: Symbolic images `(N, H, W, C)`.
        calibration: `None`, or what makes the layer, called with a `name`.
        name: Prefix of the layer's name, `name_calibration`.

    Raises:
        ValueError: if `calibration` is a layer itself, which could stand in one place only.
    """
    if calibration is None:
        return x
    if isinstance(calibration, keras.layers.Layer):
        raise Mistake(
            "`calibration` must be what makes a layer, such as a class or "
            f"partial(RCLayer, reduction=4). Received: {calibration!r}, a layer."
        )
    return calibration(name=f"{name}_calibration")(x)


def logits(x, classes, kernel_initializer=None):
    """Returns the float32 logits that every model ends with.

    Args:
        x: Symbolic features `(N, C)`.
        classes: Number of logits.
        kernel_initializer: With zero biases; `None` is PyTorch's default for both.
    """
    if not isinstance(classes, int) or classes < 1:
        raise Mistake(f"`classes` must be a positive integer. Received: classes={classes!r}.")
    initializers = fan_in_uniform(x.shape[-1])
    if kernel_initializer is not None:
        initializers = {"kernel_initializer": _clone(kernel_initializer)}
    return layers.Dense(classes, dtype="float32", name="logits", **initializers)(x)


def linear_rates(last, depth):
    """Returns `depth` rates from 0 to `last`."""
    return [last * i / max(depth - 1, 1) for i in range(depth)]


def _clone(initializer):
    """A new draw: an unseeded initializer gives the same numbers whenever it is asked."""
    return keras.initializers.get(initializer).clone()
