"""Activations beside GCLU that weigh their input by a function of it: GELU, GoLU, TeLU and Serf."""

import math
from functools import partial

import keras
from keras import ops

from keras_rescnet.gaussian import (
    argument,
    cast,
    exp_tail,
    fused,
    normal_density,
    normal_tail,
    widened,
)


@keras.saving.register_keras_serializable(package="keras_rescnet")
def gelu(x):
    """Gaussian error linear unit, in the exact form.

    With `Phi` and `phi` the distribution function and the density of N(0, 1):

        gelu(x)  = x Phi(x)
        gelu'(x) = Phi(x) + x phi(x)

    What Keras's `"gelu"` computes, up to rounding. The gradient is written out, so that
    backpropagation keeps `x` alone, and on TensorFlow both are one loop over memory each, which
    takes less time. Half precision is computed in float32; float64 stays float64.

    Reference:
        Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", arXiv 1606.08415.

    Args:
        x: Tensor of any shape, of a floating dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Raises:
        Mistake: If `x` is not of a floating dtype.

    Example:

    >>> float(kr.gelu(np.float32(1.0)))  # Phi(1)
    0.841...
    """
    return _applied(gelu, _gelu, x)


@keras.saving.register_keras_serializable(package="keras_rescnet")
def golu(x):
    """Gompertz linear unit.

        golu(x)  = x exp(-exp(-x))
        golu'(x) = exp(-exp(-x)) (1 + x exp(-x))

    The gradient is written out, so that backpropagation keeps `x` alone. Half precision is computed
    in float32; float64 stays float64.

    Reference:
        Das et al., "Gompertz linear units: Leveraging asymmetry for enhanced learning dynamics",
        2025; github.com/automl/GoLU.

    Args:
        x: Tensor of any shape, of a floating dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Raises:
        Mistake: If `x` is not of a floating dtype.

    Example:

    >>> float(kr.golu(np.float32(1.0)))  # exp(-1 / e)
    0.692...
    """
    return _applied(golu, _golu, x)


@keras.saving.register_keras_serializable(package="keras_rescnet")
def telu(x):
    """Hyperbolic tangent exponential linear unit.

        telu(x)  = x tanh(exp(x))
        telu'(x) = tanh(exp(x)) + x exp(x) / cosh(exp(x))^2

    The gradient is written out, so that backpropagation keeps `x` alone. Half precision is computed
    in float32; float64 stays float64.

    Reference:
        Fernandez and Mali, "TeLU activation function for fast and stable deep learning",
        arXiv 2412.20269.

    Args:
        x: Tensor of any shape, of a floating dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Raises:
        Mistake: If `x` is not of a floating dtype.

    Example:

    >>> float(kr.telu(np.float32(1.0)))  # tanh(e)
    0.991...
    """
    return _applied(telu, _telu, x)


@keras.saving.register_keras_serializable(package="keras_rescnet")
def serf(x):
    """Log-softplus error activation.

        s        = log(1 + exp(x))
        serf(x)  = x erf(s)
        serf'(x) = erf(s) + 2 / sqrt(pi) x exp(-s^2) sigmoid(x)

    The gradient is written out, so that backpropagation keeps `x` alone. Half precision is computed
    in float32; float64 stays float64.

    Reference:
        Nag et al., "Serf: Towards better training of deep neural networks using log-softplus error
        activation function", arXiv 2108.09598.

    Args:
        x: Tensor of any shape, of a floating dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Raises:
        Mistake: If `x` is not of a floating dtype.

    Example:

    >>> float(kr.serf(np.float32(1.0)))  # erf(1.313)
    0.936...
    """
    return _applied(serf, _serf, x)


@keras.saving.register_keras_serializable(package="keras_rescnet")
class SelfGated(keras.Operation):
    """What these functions leave in a functional model: custom gradients take no KerasTensors."""

    def __init__(self, function, *, name=None):
        super().__init__(name=name)
        self.function = keras.activations.get(function)

    def call(self, x):
        """Returns `function(x)`."""
        return self.function(x)

    def compute_output_spec(self, x):
        """Returns the shape and dtype of `x`."""
        return keras.KerasTensor(x.shape, dtype=x.dtype)

    def get_config(self):
        """Returns the arguments that make this operation again."""
        return {"function": keras.activations.serialize(self.function), "name": self.name}


def _applied(public, function, x):
    x = argument(x, public.__name__)
    return SelfGated(public)(x) if isinstance(x, keras.KerasTensor) else function(x)


# Beyond it every gate is 0 or 1 in float64; clipping there keeps infinities out of 0 * inf.
_FAR = 800.0


def _with_written_gradient(gate, slope, graph_gate=None, graph_slope=None):
    """Returns `x gate(x)` of a gate from 0 to 1, and of the function's slope.

    Args:
        gate: Function of `x`.
        slope: The slope of `x gate(x)`.
        graph_gate: The gate in the arithmetic of graphs. Defaults to `gate`.
        graph_slope: The slope likewise.
    """

    def value_of(x, gate):
        wide = widened(x)
        return cast(ops.maximum(wide, -_FAR) * gate(ops.clip(wide, -_FAR, _FAR)), x.dtype)

    def gradient_of(x, upstream, slope):
        wide = widened(x)
        slopes = slope(ops.clip(wide, -_FAR, _FAR))
        return cast(cast(upstream, wide.dtype) * slopes, x.dtype)

    value = fused(
        partial(value_of, gate=gate),
        in_graph=partial(value_of, gate=graph_gate or gate),
        forward=True,
    )
    pull_back = fused(
        partial(gradient_of, slope=slope),
        in_graph=partial(gradient_of, slope=graph_slope or slope),
    )

    @ops.custom_gradient
    def function(x):
        def gradient(*args, upstream=None):
            return pull_back(x, args[0] if upstream is None else upstream)

        return value(x), gradient

    return function


def _normal_gate(x, tail):
    below = tail(ops.abs(x))
    return ops.where(x > 0, 1.0 - below, below)


def _normal_slope(x, tail):
    return _normal_gate(x, tail) + x * normal_density(x)


def _gompertz(x):
    return ops.exp(-ops.exp(-x))


def _gompertz_slope(x):
    power = ops.exp(-ops.maximum(x, -7.0))  # where the gate is 0 in float64
    return ops.exp(-power) * (1.0 + x * power)


def _tanh_gate(x):
    return _tanh(ops.exp(ops.minimum(x, 4.0)))  # where it is 1 in float64


def _tanh_slope(x):
    power = ops.exp(ops.minimum(x, 4.0))
    square = ops.exp(-2.0 * power)  # cosh would overflow
    return _tanh(power) + x * power * 4.0 * square / ops.square(1.0 + square)


def _tanh(x):
    less = ops.expm1(-2.0 * x)  # Keras on JAX narrows the tanh of float64
    return -less / (2.0 + less)


def _erf_gate(x):
    return ops.erf(ops.softplus(x))


def _erf_slope(x):
    softplus = ops.softplus(x)
    density = 2.0 / math.sqrt(math.pi) * ops.exp(-ops.square(softplus))
    return ops.erf(softplus) + x * density * ops.sigmoid(x)


_gelu = _with_written_gradient(
    partial(_normal_gate, tail=normal_tail),
    partial(_normal_slope, tail=normal_tail),
    graph_gate=partial(_normal_gate, tail=exp_tail),
    graph_slope=partial(_normal_slope, tail=exp_tail),
)
_golu = _with_written_gradient(_gompertz, _gompertz_slope)
_telu = _with_written_gradient(_tanh_gate, _tanh_slope)
_serf = _with_written_gradient(_erf_gate, _erf_slope)
