"""Efficient channel attention."""

import math

import keras
from keras import ops

from keras_rescnet.arguments import check_integer
from keras_rescnet.initializers import fan_in_uniform
from keras_rescnet.layers.calibration_layer import CalibrationLayer
from keras_rescnet.layers.images import check_images
from keras_rescnet.mistake import Mistake


@keras.saving.register_keras_serializable(package="keras_rescnet")
class EfficientChannelAttention(CalibrationLayer):
    """Efficient channel attention (ECA): a gate per channel, from the averages next to it.

        g = sigmoid(w * avgpool(x))                          (N, C)
        y = x g                                              (N, H, W, C)

    where `w *` is a convolution along the channels, zero beyond the first and the last. The gate is
    computed in float32 under every dtype policy (float64 under float64).

    Reference:
        Wang et al., "ECA-Net: Efficient channel attention for deep convolutional neural
        networks", CVPR 2020; `models/eca_module.py` of github.com/BangguWu/ECANet.

    Args:
        kernel_size: Length of `w`, odd. Defaults to `None`, the paper's: the integer part of
            `(log2(C) + 1) / 2`, or the next one if that is even.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)`, channels last; `N`, `H` and `W` may be unknown. Output shape: the
    same.

    Raises:
        Mistake: If `kernel_size` is not `None` or a positive odd integer, images are not
            `(N, H, W, C)` with a known C, or Keras is set to channels first.

    Example:

    >>> layer = kr.layers.EfficientChannelAttention()
    >>> layer(keras.Input((None, None, 256))).shape
    (None, None, None, 256)
    >>> layer.count_params()
    5
    """

    def __init__(self, kernel_size: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if kernel_size is not None:
            check_integer("kernel_size", kernel_size, 1)
            if kernel_size % 2 == 0:
                raise Mistake(
                    "`kernel_size` must be odd, for the kernel to have a middle. "
                    f"Received: kernel_size={kernel_size}."
                )
        self.kernel_size = kernel_size and int(kernel_size)

    def build(self, input_shape):
        """Makes the kernel."""
        check_images(self, input_shape, 1)
        size = self.kernel_size
        if size is None:
            size = int((math.log2(input_shape[-1]) + 1.0) / 2.0)
            size += 1 - size % 2
        initializer = fan_in_uniform(size)["kernel_initializer"]
        self.kernel = self._weight((size,), initializer, "kernel")

    def call(self, inputs):
        """Returns `inputs` with every channel scaled by its gate."""
        averages = self._average(inputs)
        kernel = ops.reshape(self.kernel, (-1, 1, 1))
        responses = ops.conv(
            ops.reshape(averages, (-1, inputs.shape[-1], 1)), kernel, padding="same"
        )
        gate = ops.sigmoid(ops.reshape(responses, (-1, 1, 1, inputs.shape[-1])))
        return self._scaled(inputs, gate)

    def multiplications(self, input_shape):
        """Returns the multiply-accumulates for one image."""
        return self.kernel.shape[0] * input_shape[-1]

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "kernel_size": self.kernel_size}
