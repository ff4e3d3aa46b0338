"""The tail and the density of N(0, 1), and loops that fuse elementwise operations."""

import contextlib
import math

import keras
from keras import ops


def fused(function, *, forward=False):
    """Compiles elementwise operations into one loop where the backend itself would not.

    A `forward` function must be covered by a written gradient. See `tensorflow_ops.compiled`. In
    one loop, `portable` arithmetic is also the faster: a slope's tail and density share one `exp`.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    from keras_rescnet import tensorflow_ops

    def loop(*arguments):
        if any(argument.dtype == "float64" for argument in arguments):
            return function(*arguments)
        with portable():
            return function(*arguments)

    return tensorflow_ops.compiled(loop, eager=function, forward=forward)


def normal_tail(distance):
    """`Phi(-distance)` of N(0, 1) for `distance >= 0`, accurate to its last digits far out too."""
    if _portable:
        return _portable_tail(distance)
    return 0.5 * ops.erfc(distance * math.sqrt(0.5))


def normal_density(x):
    """`phi(x)`, the density of N(0, 1)."""
    return ops.exp(-0.5 * ops.square(x)) / math.sqrt(2.0 * math.pi)


_portable = []


@contextlib.contextmanager
def portable():
    """A context in which what is traced has no `erfc`, which ONNX and LiteRT do not know."""
    _portable.append(True)
    try:
        yield
    finally:
        _portable.pop()


def _portable_tail(distance):
    """`normal_tail` by exp alone, to 2e-7 of itself (7e-7 in float32).

    A polynomial in `u = 0.3 d / (1 + 0.3 d)` for Mills' ratio, least in its largest relative error
    on 0 <= d <= 14.5, and 1/2 exactly at 0.
    """
    share = 1.0 / (1.0 + 0.3 * distance)
    u = 0.3 * distance * share
    series = 0.0
    for coefficient in _MILLS:
        series = coefficient + u * series
    return share * series * ops.exp(-0.5 * ops.square(distance))


_MILLS = (
    -0.035515897,
    0.092115624,
    -0.011923303,
    -0.13149924,
    -0.0819017,
    0.61816128,
    -0.82980512,
    0.5,
)
