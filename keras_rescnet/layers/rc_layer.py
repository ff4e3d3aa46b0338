"""The RC Layer: response calibration."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_rescnet.arguments import check_integer, check_positive
from keras_rescnet.gaussian import cast, exp_tail, fused, normal_density, normal_tail
from keras_rescnet.initializers import fan_in_uniform
from keras_rescnet.layers.arguments import hidden_activation_of, initializer_of
from keras_rescnet.layers.dense import Dense
from keras_rescnet.layers.images import as_floats, check_images, statistics_dtype
from keras_rescnet.mistake import Mistake


@keras.saving.register_keras_serializable(package="keras_rescnet")
class RCLayer(keras.layers.Layer):
    """Response calibration: strengthens the responses that are typical of their channel.

    A small network reads the mean `mu` and the log variance `l` of every channel off the
    image's own global average; a response then gains by how central it is in N(mu, exp(l)):

        h          = f(W0 avgpool(x) + b0)                   (N, C // reduction)
        mu, l      = W1 h + b1, W2 h + b2                    (N, C) each
        z          = (x - mu) / (exp(l / 2) + epsilon)       (N, H, W, C)
        y          = x + a x Phi(-|z|)                       (N, H, W, C)

    where `a = 1`, `Phi(-|z|) = min(Phi(z), 1 - Phi(z))` lies in (0, 1/2] and `f` is
    `hidden_activation`. With `reduction=None`, the paper's two-layer form, `h = avgpool(x)`.
    With `gated=True`, which is not in the paper, `a` is a weight of each channel that starts at 0:
    a layer put into a trained network changes nothing at first, to the bit. Nothing is averaged
    over the batch, so training and inference are the same. Statistics and gain are computed in
    float32 under every dtype policy (float64 under float64). The gradient is written out:
    backpropagation keeps `x`, `mu`, the standard deviation and `a`. At `z = 0`, where `|z|` has no
    slope, it takes 0. JAX refuses forward-mode differentiation (`jax.jvp`), as of `kr.gclu`.

    Reference:
        Xu et al., "Deep feature response discriminative calibration", Neurocomputing 615
        (2025) 128848; `src/layers/activations.py` of github.com/tcmyxc/ResCNet, whose layer
        returns `x Phi(-|z|)` alone and leaves `x +` to the block.

    Args:
        reduction: Channels per hidden unit, or `None` for no hidden layer. Defaults to 16.
        hidden_activation: Activation of the hidden layer. Defaults to `None`, which is linear.
        epsilon: Added to the standard deviation. Defaults to 1e-5.
        kernel_initializer: Initializer of the kernels. Defaults to `None`, PyTorch's default
            as in the reference: uniform on +-1 / sqrt(fan_in).
        bias_initializer: Initializer of the biases. Defaults to `None`, the same.
        gated: Whether the gain has a trainable weight per channel, 0 at first. Defaults to `False`,
            as in the paper.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)`, channels last, `C >= reduction`; `N`, `H` and `W` may be
    unknown. Output shape: the same.

    Raises:
        Mistake: If `reduction` is not a positive integer, `epsilon` is not positive, Keras knows no
            such activation or initializer, `hidden_activation` is given without a `reduction`,
            images are not `(N, H, W, C)` with a known `C >= reduction`, or Keras is set to channels
            first.

    Example:

    >>> images = keras.Input((None, None, 3))
    >>> x = keras.layers.BatchNormalization()(keras.layers.Conv2D(64, 3)(images))
    >>> layer = kr.layers.RCLayer(reduction=16)
    >>> layer(x).shape
    (None, None, None, 64)
    >>> layer.count_params()  # 64 x 4 + 4, and twice 4 x 64 + 64
    900
    """

    def __init__(
        self,
        reduction: int | None = 16,
        hidden_activation: str | Callable[..., Any] | None = None,
        epsilon: float = 1e-5,
        kernel_initializer: keras.initializers.Initializer | str | None = None,
        bias_initializer: keras.initializers.Initializer | str | None = None,
        gated: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if reduction is not None:
            check_integer("reduction", reduction, 1)
        check_positive("epsilon", epsilon)
        self.reduction = reduction and int(reduction)
        self.hidden_activation = hidden_activation_of(hidden_activation, statistics_dtype(self))
        if reduction is None and self.hidden_activation is not keras.activations.linear:
            raise Mistake(
                "`hidden_activation` needs a hidden layer: give a `reduction`. "
                f"Received: reduction=None, hidden_activation={hidden_activation!r}."
            )
        self.epsilon = float(epsilon)
        self.kernel_initializer = initializer_of(
            "kernel_initializer", kernel_initializer, optional=True
        )
        self.bias_initializer = initializer_of("bias_initializer", bias_initializer, optional=True)
        self.gated = gated

    def build(self, input_shape):
        """Makes the dense layers for the channels of `input_shape`."""
        check_images(self, input_shape, self.reduction or 1)
        channels = input_shape[-1]
        units = channels
        if self.reduction is not None:
            units = channels // self.reduction
            self.hidden = self._dense(units, channels, "hidden", self.hidden_activation)
        self.mean = self._dense(channels, units, "mean")
        self.log_variance = self._dense(channels, units, "log_variance")
        if self.gated:
            self.gate = self.add_weight(
                shape=(channels,),
                initializer="zeros",
                dtype=statistics_dtype(self),
                autocast=False,
                name="gate",
            )

    def _dense(self, units, fan_in, name, activation=None):
        own = {
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
        }
        # Cloned: an unseeded initializer would give the mean and the variance equal weights.
        own = {key: value.clone() for key, value in own.items() if value is not None}
        dense = Dense(
            units,
            activation=activation,
            dtype=statistics_dtype(self),
            name=name,
            **{**fan_in_uniform(fan_in), **own},
        )
        dense.build((None, fan_in))
        if isinstance(activation, keras.layers.Layer):
            activation.build((None, 1, 1, units))
        return dense

    def call(self, inputs):
        """Returns `inputs` with every response calibrated."""
        inputs = as_floats(self, inputs)
        gate = [ops.reshape(self.gate, (1, 1, 1, -1))] if self.gated else []
        return _calibrate(inputs, *self._statistics(inputs), *gate)

    def gain(self, inputs):
        """Returns `Phi(-|z|)` of every response, `(N, H, W, C)`: 1/2 at its mean, 0 far from it."""
        mean, stddev = self._statistics(inputs)
        return normal_tail(ops.abs((ops.cast(inputs, mean.dtype) - mean) / stddev))

    def _statistics(self, inputs):
        """Returns the mean and the standard deviation of every channel, `(N, 1, 1, C)`."""
        hidden = ops.mean(ops.cast(inputs, statistics_dtype(self)), axis=(1, 2), keepdims=True)
        if self.reduction is not None:
            hidden = self.hidden(hidden)
        # Above 40 every gain is 1/2 to the last digit; where `exp` overflows gradients were NaN
        stddev = ops.exp(ops.minimum(0.5 * self.log_variance(hidden), 40.0)) + self.epsilon
        return self.mean(hidden), stddev

    def compute_output_shape(self, input_shape):
        """Returns `input_shape`, for which Keras would else trace `call`."""
        return input_shape

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {
            **super().get_config(),
            "reduction": self.reduction,
            "hidden_activation": keras.activations.serialize(self.hidden_activation),
            "epsilon": self.epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "gated": self.gated,
        }


def _value(x, mean, inverse, gate=None, *, tail):
    wide = cast(x, mean.dtype)
    z = (wide - mean) * inverse
    share = tail(ops.abs(z))
    return cast(wide + wide * (share if gate is None else gate * share), x.dtype)


def _pull_back(x, mean, inverse, upstream, gate=None, *, tail):
    """The gradients, those of the statistics still to be summed: XLA is slow at that on CPUs."""
    wide, upstream = cast(x, mean.dtype), cast(upstream, mean.dtype)
    z = (wide - mean) * inverse
    distance = ops.abs(z)
    by_z = upstream * wide * normal_density(distance) * ops.sign(z) * inverse
    share = tail(distance)
    if gate is None:
        by_x = upstream * (1.0 + share) - by_z
        return cast(by_x, x.dtype), by_z, by_z * z
    by_z = gate * by_z
    by_x = upstream * (1.0 + gate * share) - by_z
    return cast(by_x, x.dtype), by_z, by_z * z, upstream * wide * share


def _fused():
    value = fused(
        partial(_value, tail=normal_tail), in_graph=partial(_value, tail=exp_tail), forward=True
    )
    pull_back = fused(
        partial(_pull_back, tail=normal_tail), in_graph=partial(_pull_back, tail=exp_tail)
    )
    return value, pull_back


# TensorFlow fails on a compiled function that is called with other numbers of arguments.
_PLAIN, _GATED = _fused(), _fused()


@ops.custom_gradient
def _calibrate(x, mean, stddev, *gate):
    """`x + gate x Phi(-|z|)`, `z = (x - mean) / stddev`; keeps its arguments."""
    value, pull_back = _GATED if gate else _PLAIN
    inverse = 1.0 / stddev  # once per channel: in the loops it would be a division per response

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        by_x, *others = pull_back(x, mean, inverse, upstream, *gate)
        axes = ((1, 2), (1, 2), (0, 1, 2))  # of the mean, the standard deviation and the gate
        return by_x, *(
            ops.sum(by, axis=axis, keepdims=True) for by, axis in zip(others, axes, strict=False)
        )

    return value(x, mean, inverse, *gate), gradient
