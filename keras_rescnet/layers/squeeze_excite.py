"""Squeeze and excitation."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_rescnet.arguments import check_integer
from keras_rescnet.initializers import fan_in_uniform
from keras_rescnet.layers.arguments import hidden_activation_of
from keras_rescnet.layers.dense import Dense
from keras_rescnet.layers.images import as_floats, check_images, statistics_dtype


@keras.saving.register_keras_serializable(package="keras_rescnet")
class SqueezeExcite(keras.layers.Layer):
    """Squeeze and excitation: scales every channel by a gate that is read off the global average.

        h = f(W0 avgpool(x))                                 (N, C // reduction)
        y = x sigmoid(W1 h)                                  (N, H, W, C)

    where `f` is `hidden_activation`. The gate is computed in float32 under every dtype policy
    (float64 under float64).

    Reference:
        Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018.

    Args:
        reduction: Channels per hidden unit. Defaults to 16.
        use_bias: Whether the two dense layers have biases. Defaults to `False`.
        hidden_activation: Activation of the hidden layer. Defaults to `"relu"`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)`, channels last, `C >= reduction`; `N`, `H` and `W` may be
    unknown. Output shape: the same.

    Raises:
        Mistake: If `reduction` is not a positive integer, Keras knows no such activation, images
            are not `(N, H, W, C)` with a known `C >= reduction`, or Keras is set to channels first.

    Example:

    >>> images = keras.Input((None, None, 64))
    >>> layer = kr.layers.SqueezeExcite(reduction=16)
    >>> layer(images).shape
    (None, None, None, 64)
    >>> layer.count_params()  # 64 x 4 and 4 x 64
    512
    """

    def __init__(
        self,
        reduction: int = 16,
        use_bias: bool = False,
        hidden_activation: str | Callable[..., Any] = "relu",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_integer("reduction", reduction, 1)
        self.reduction = int(reduction)
        self.use_bias = use_bias
        self.hidden_activation = hidden_activation_of(hidden_activation, statistics_dtype(self))

    def build(self, input_shape):
        """Makes the dense layers for the channels of `input_shape`."""
        check_images(self, input_shape, self.reduction)
        channels = input_shape[-1]
        units = channels // self.reduction
        self.hidden = self._dense(units, channels, "hidden", self.hidden_activation)
        self.gate = self._dense(channels, units, "gate", "sigmoid")

    def _dense(self, units, fan_in, name, activation):
        dense = Dense(
            units,
            activation=activation,
            use_bias=self.use_bias,
            dtype=statistics_dtype(self),
            name=name,
            **fan_in_uniform(fan_in),
        )
        dense.build((None, fan_in))
        if isinstance(activation, keras.layers.Layer):
            activation.build((None, 1, 1, units))
        return dense

    def call(self, inputs):
        """Returns `inputs` with every channel scaled by its gate."""
        inputs = as_floats(self, inputs)
        average = ops.mean(ops.cast(inputs, statistics_dtype(self)), axis=(1, 2), keepdims=True)
        return inputs * ops.cast(self.gate(self.hidden(average)), inputs.dtype)

    def compute_output_shape(self, input_shape):
        """Returns `input_shape`, for which Keras would else trace `call`."""
        return input_shape

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {
            **super().get_config(),
            "reduction": self.reduction,
            "use_bias": self.use_bias,
            "hidden_activation": keras.activations.serialize(self.hidden_activation),
        }
