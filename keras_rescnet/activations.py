"""The Gaussian cumulative linear unit (GCLU) in its three forms, each with a written gradient."""

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
from keras_rescnet.mistake import Mistake


@keras.saving.register_keras_serializable(package="keras_rescnet")
def gclu(x, approximate=None):
    """Gaussian cumulative linear unit.

    With `Phi` and `phi` the distribution function and the density of N(0, 1):

        gclu(x)  = x Phi(x)           if x <= 0, as GELU
                   x (2 - Phi(x))     if x > 0
                 = x ([x > 0] + Phi(-|x|))
        gclu'(x) = [x > 0] + Phi(-|x|) - |x| phi(x)

    The slope jumps from 1/2 to 3/2 at 0, where it is 1/2 as in the paper's Eq. 6 (autodiff of
    the authors' code gives 3/2 there), and tends to 0 and 1 far from it. `-inf` gives 0 and
    `inf` gives `inf`, with slopes 0 and 1. The two approximations replace `Phi`:

        "sigmoid" (Eq. 7)    Phi(x) ~ sigmoid(1.702 x)
        "tanh"    (Eq. 8)    Phi(x) ~ (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2

    which moves gclu by at most 0.0204 and 0.0005. The gradient is written out, so that
    backpropagation keeps `x` alone; second derivatives are right too. Forward-mode differentiation
    works on TensorFlow (`tf.autodiff.ForwardAccumulator`); JAX refuses it (`jax.jvp`) for every
    function with a written gradient. Half precision is computed in float32; float64 stays float64.

    Reference:
        Xu et al., "Deep feature response discriminative calibration", Neurocomputing 615
        (2025) 128848, Eqs. 6-8.

    Args:
        x: Tensor of any shape, of a floating dtype.
        approximate: `None` for the exact form, `"sigmoid"` or `"tanh"`. Defaults to `None`. Where
            Keras takes an activation, write `gclu`, `gclu_sigmoid` or `gclu_tanh`, which it can
            store.

    Returns:
        A tensor of the shape and dtype of `x`.

    Raises:
        Mistake: If `approximate` is none of these, or `x` is not of a floating dtype.

    Example:

    >>> keras.ops.convert_to_numpy(kr.gclu(np.array([-1.0, 0.0, 1.0], "float32")))
    array([-0.15865526,  0.        ,  1.1586553 ], dtype=float32)
    """
    check_approximate(approximate)
    x = argument(x, "GCLU")
    symbolic = isinstance(x, keras.KerasTensor)
    return GCLUOperation(approximate)(x) if symbolic else _FUNCTIONS[approximate](x)


@keras.saving.register_keras_serializable(package="keras_rescnet")
def gclu_sigmoid(x):
    """GCLU with `Phi(x) ~ sigmoid(1.702 x)`, Eq. 7: `gclu(x, approximate="sigmoid")`.

    Args:
        x: Tensor of any shape, of a floating dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Raises:
        Mistake: If `x` is not of a floating dtype.

    Example:

    >>> dense = keras.layers.Dense(8, activation=kr.gclu_sigmoid)
    >>> float(kr.gclu_sigmoid(np.float32(2.0)))  # gclu(2.0) is 2.0455
    2.064...
    """
    return gclu(x, approximate="sigmoid")


@keras.saving.register_keras_serializable(package="keras_rescnet")
def gclu_tanh(x):
    """GCLU with the tanh form of `Phi`, Eq. 8: `gclu(x, approximate="tanh")`.

    Args:
        x: Tensor of any shape, of a floating dtype.

    Returns:
        A tensor of the shape and dtype of `x`.

    Raises:
        Mistake: If `x` is not of a floating dtype.

    Example:

    >>> dense = keras.layers.Dense(8, activation=kr.gclu_tanh)
    >>> float(kr.gclu_tanh(np.float32(2.0)))  # gclu(2.0) is 2.0455
    2.045...
    """
    return gclu(x, approximate="tanh")


def check_approximate(approximate):
    """Raises a `Mistake` unless `approximate` names a form of GCLU."""
    if approximate not in (None, "sigmoid", "tanh"):
        raise Mistake(
            '`approximate` must be None, "sigmoid" or "tanh". '
            f"Received: approximate={approximate!r}."
        )


@keras.saving.register_keras_serializable(package="keras_rescnet")
class GCLUOperation(keras.Operation):
    """What `gclu` leaves in a functional model: custom gradients do not take KerasTensors."""

    def __init__(self, approximate=None, *, name=None):
        super().__init__(name=name)
        self.approximate = approximate

    def call(self, x):
        """Returns `gclu(x, self.approximate)`."""
        return gclu(x, self.approximate)

    def compute_output_spec(self, x):
        """Returns the shape and dtype of `x`."""
        return keras.KerasTensor(x.shape, dtype=x.dtype)


# Beyond it every form of Phi(-|x|) is 0 in float64; clipping there keeps infinities out of 0 * inf.
_FAR = 500.0


def _value(x, tail):
    wide = widened(x)
    near = ops.clip(wide, -_FAR, _FAR)
    return cast(ops.relu(wide) + near * tail(ops.abs(near)), x.dtype)


def _served_value(x, tail):
    """`_value` in fewer operations, one of which TensorFlow alone has: infinity times 0 is 0."""
    from keras_rescnet import tensorflow_ops

    wide = widened(x)
    share = tail(ops.abs(wide))
    return cast(ops.relu(wide) + tensorflow_ops.multiply_no_nan(wide, share), x.dtype)


def _pull_back(x, upstream, tail, density):
    wide = widened(x)
    distance = ops.minimum(ops.abs(wide), _FAR)
    weight = tail(distance)
    slope = ops.cast(wide > 0, wide.dtype) + weight - distance * density(distance, weight)
    return cast(cast(upstream, wide.dtype) * slope, x.dtype)


def _sigmoid_tail(distance):
    return ops.sigmoid(-1.702 * distance)


def _sigmoid_density(distance, tail):
    return 1.702 * tail * (1.0 - tail)


def _tanh_tail(distance):
    cubic = distance + 0.044715 * distance**3
    return ops.sigmoid(-math.sqrt(8.0 / math.pi) * cubic)  # sigmoid(-2u) = (1 - tanh(u)) / 2


def _tanh_density(distance, tail):
    cubic_slope = 1.0 + 3.0 * 0.044715 * ops.square(distance)
    return math.sqrt(8.0 / math.pi) * cubic_slope * tail * (1.0 - tail)


def _exact_density(distance, tail):
    return normal_density(distance)


def _with_written_gradient(tail, density, graph_tail=None):
    """Returns GCLU of a form of `Phi`.

    Args:
        tail: Function of a distance, `Phi(-distance)`.
        density: Function of a distance and its tail, `-d Phi(-distance) / d distance`.
        graph_tail: The tail in the arithmetic of graphs. Defaults to `tail`.
    """

    in_graph = graph_tail or tail
    value = fused(
        partial(_served_value if keras.backend.backend() == "tensorflow" else _value, tail=tail),
        in_graph=partial(_value, tail=in_graph),
        forward=True,
    )
    pull_back = fused(
        partial(_pull_back, tail=tail, density=density),
        in_graph=partial(_pull_back, tail=in_graph, density=density),
    )

    @ops.custom_gradient
    def function(x):
        def gradient(*args, upstream=None):
            return pull_back(x, args[0] if upstream is None else upstream)

        return value(x), gradient

    return function


_FUNCTIONS = {
    None: _with_written_gradient(normal_tail, _exact_density, graph_tail=exp_tail),
    "sigmoid": _with_written_gradient(_sigmoid_tail, _sigmoid_density),
    "tanh": _with_written_gradient(_tanh_tail, _tanh_density),
}
