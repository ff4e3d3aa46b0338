"""The convolutional block attention module."""

import math

import keras
from keras import ops

from keras_rescnet.arguments import check_integer
from keras_rescnet.initializers import fan_in_uniform
from keras_rescnet.layers.calibration_layer import CalibrationLayer
from keras_rescnet.layers.images import check_images, statistics_dtype


@keras.saving.register_keras_serializable(package="keras_rescnet")
class ConvolutionalBlockAttention(CalibrationLayer):
    """Convolutional block attention module (CBAM): a gate per channel, then one per place.

        f(z)   = W1 relu(W0 z + b0) + b1                     (N, C // reduction), (N, C)
        u      = x sigmoid(f(avgpool(x)) + f(maxpool(x)))    (N, H, W, C)
        g      = normalization(K * [max_c u, mean_c u])      (N, H, W, 1)
        y      = u sigmoid(g)                                (N, H, W, C)

    where `K *` is a 7x7 convolution and `normalization` a batch normalization. Both gates are
    computed in float32 under every dtype policy (float64 under float64).

    Reference:
        Woo et al., "CBAM: Convolutional block attention module", ECCV 2018; `MODELS/cbam.py` of
        github.com/Jongchan/attention-module.

    Args:
        reduction: Channels per hidden unit. Defaults to 16.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)`, channels last, `C >= reduction`; `N`, `H` and `W` may be
    unknown. Output shape: the same.

    Raises:
        Mistake: If `reduction` is not a positive integer, images are not `(N, H, W, C)` with a
            known `C >= reduction`, or Keras is set to channels first.

    Example:

    >>> layer = kr.layers.ConvolutionalBlockAttention()
    >>> layer(keras.Input((None, None, 64))).shape
    (None, None, None, 64)
    >>> layer.convolution.count_params()
    98
    """

    def __init__(self, reduction: int = 16, **kwargs):
        super().__init__(**kwargs)
        check_integer("reduction", reduction, 1)
        self.reduction = int(reduction)

    def build(self, input_shape):
        """Makes the dense layers, the convolution and its normalization."""
        check_images(self, input_shape, self.reduction)
        channels = input_shape[-1]
        units = channels // self.reduction
        self.hidden = self._dense(units, channels, "hidden", "relu", use_bias=True)
        self.gate = self._dense(channels, units, "gate", use_bias=True)
        self.convolution = keras.layers.Conv2D(
            1,
            7,
            padding="same",
            use_bias=False,
            dtype=statistics_dtype(self),
            name="convolution",
            **fan_in_uniform(2 * 7 * 7),
        )
        self.convolution.build((None, None, None, 2))
        self.normalization = self._normalization(1, momentum=0.99)

    def call(self, inputs, training=None):
        """Returns `inputs` scaled by both gates."""
        largest = ops.max(inputs, axis=(1, 2), keepdims=True)
        largest = ops.cast(largest, statistics_dtype(self))
        responses = [self.gate(self.hidden(z)) for z in (self._average(inputs), largest)]
        x = self._scaled(inputs, ops.sigmoid(responses[0] + responses[1]))
        largest = ops.cast(ops.max(x, axis=-1, keepdims=True), statistics_dtype(self))
        average = ops.mean(ops.cast(x, statistics_dtype(self)), axis=-1, keepdims=True)
        places = self.convolution(ops.concatenate([largest, average], axis=-1))
        return self._scaled(x, ops.sigmoid(self.normalization(places, training=training)))

    def multiplications(self, input_shape):
        """Returns the multiply-accumulates for one image."""
        height, width, channels = input_shape[1:]
        dense = 2 * 2 * channels * (channels // self.reduction)
        return dense + height * width * math.prod(self.convolution.kernel.shape)

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "reduction": self.reduction}
