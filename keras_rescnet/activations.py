"""The Gaussian cumulative linear unit (GCLU) in its three forms, each with a written gradient."""

import math
from functools import partial

import keras
from keras import ops

from keras_rescnet.gaussian import fused, normal_density, normal_tail
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

    which moves gclu by at most 0.0204 and 0.0005. The gradient is written out so that
    backpropagation keeps `x` alone. Half precision is computed in float32; float64 stays float64.

    Reference:
        Xu et al., "Deep feature response discriminative calibration", Neurocomputing 615
        (2025) 128848, Eqs. 6-8.

    Args:
        x: Tensor of any shape, of a floating dtype.
        approximate: `None` for the exact form, `"sigmoid"` or `"tanh"`. Where Keras takes an
            activation, write `gclu`, `gclu_sigmoid` or `gclu_tanh`, which it can store.

    Returns:
        A tensor of the shape and dtype of `x`.

    Example:

    >>> np.asarray(gclu(np.array([-1.0, 0.0, 1.0], "float32")))
    array([-0.15865526,  0.        ,  1.1586553 ], dtype=float32)
    """
    check_approximate(approximate)
    if isinstance(x, keras.KerasTensor):
        return GCLUOperation(approximate)(x)
    return _FUNCTIONS[approximate](ops.convert_to_tensor(x))


@keras.saving.register_keras_serializable(package="keras_rescnet")
def gclu_sigmoid(x):
    """`gclu(x, approximate="sigmoid")`: GCLU with `Phi(x) ~ sigmoid(1.702 x)`, Eq. 7."""
    return gclu(x, approximate="sigmoid")


@keras.saving.register_keras_serializable(package="keras_rescnet")
def gclu_tanh(x):
    """`gclu(x, approximate="tanh")`: GCLU with the tanh form of `Phi`, Eq. 8."""
    return gclu(x, approximate="tanh")


def check_approximate(approximate):
    """Raises a `ValueError` unless `approximate` names a form of GCLU."""
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


def _with_written_gradient(approximate):
    @partial(fused, forward=True)
    def value(x):
        return ops.cast(_value(_widen(x), approximate), x.dtype)

    @fused
    def pull_back(x, upstream):
        wide = _widen(x)
        return ops.cast(ops.cast(upstream, wide.dtype) * _slope(wide, approximate), x.dtype)

    @ops.custom_gradient
    def function(x):
        def gradient(*args, upstream=None):
            return pull_back(x, args[0] if upstream is None else upstream)

        return value(x), gradient

    return function


_FUNCTIONS = {form: _with_written_gradient(form) for form in (None, "sigmoid", "tanh")}


def _widen(x):
    """Half precision to float32."""
    half = keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16")
    return ops.cast(x, "float32") if half else x


# Beyond it every form of Phi(-|x|) is 0 in float64; clipping there keeps infinities out of 0 * inf.
_FAR = 500.0


def _value(x, approximate):
    near = ops.clip(x, -_FAR, _FAR)
    return ops.relu(x) + near * _tail(ops.abs(near), approximate)


def _slope(x, approximate):
    distance = ops.minimum(ops.abs(x), _FAR)
    tail = _tail(distance, approximate)
    density = _density(distance, tail, approximate)
    return ops.cast(x > 0, x.dtype) + tail - distance * density


def _tail(distance, approximate):
    """`Phi(-distance)`, or what stands for it."""
    if approximate is None:
        return normal_tail(distance)
    if approximate == "sigmoid":
        return ops.sigmoid(-1.702 * distance)
    cubic = distance + 0.044715 * distance**3
    return ops.sigmoid(-math.sqrt(8.0 / math.pi) * cubic)  # sigmoid(-2u) = (1 - tanh(u)) / 2


def _density(distance, tail, approximate):
    """`-d Phi(-distance) / d distance`."""
    if approximate is None:
        return normal_density(distance)
    if approximate == "sigmoid":
        return 1.702 * tail * (1.0 - tail)
    cubic_slope = 1.0 + 3.0 * 0.044715 * ops.square(distance)
    return math.sqrt(8.0 / math.pi) * cubic_slope * tail * (1.0 - tail)
