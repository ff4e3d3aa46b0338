"""What layers ask of images, and the dtypes of these and of their statistics."""

import keras
from keras import ops

from keras_rescnet.gaussian import tensor
from keras_rescnet.mistake import Mistake


def statistics_dtype(layer):
    """float32, however narrow the policy of `layer`; float64 under float64."""
    return "float64" if layer.compute_dtype == "float64" else "float32"


def as_floats(layer, inputs):
    """Returns inputs as a tensor; whole numbers, which Keras leaves, in the dtype of `layer`."""
    inputs = tensor(inputs)
    floating = keras.backend.is_float_dtype(keras.backend.standardize_dtype(inputs.dtype))
    return inputs if floating else ops.cast(inputs, layer.compute_dtype)


def check_channels_last(name):
    """Raises a `Mistake` in the name of a layer or model if Keras puts channels first."""
    if keras.config.image_data_format() == "channels_first":
        raise Mistake(
            f"{name} expects channels last: call "
            '`keras.config.set_image_data_format("channels_last")`. '
            'Received: image_data_format="channels_first".'
        )


def check_images(layer, input_shape, channels):
    """Raises a `Mistake` unless `input_shape` is `(N, H, W, C)` with `C >= channels`."""
    name = type(layer).__name__
    check_channels_last(name)
    if len(input_shape) != 4 or input_shape[-1] is None or input_shape[-1] < channels:
        raise Mistake(
            f"{name} expects images of shape (N, H, W, C) with a known C >= {channels}. "
            f"Received: input_shape={tuple(input_shape)}."
        )


def check_branches(layer, residual_shape, identity_shape, channels):
    """Raises a `Mistake` unless both are images of as many channels, at least `channels`."""
    check_images(layer, residual_shape, channels)
    if tuple(identity_shape)[1:] != tuple(residual_shape)[1:]:
        raise Mistake(
            f"{type(layer).__name__} expects images of one shape as residual and identity. "
            f"Received: residual_shape={tuple(residual_shape)}, "
            f"identity_shape={tuple(identity_shape)}."
        )
