"""The tail and the density of N(0, 1), and loops that fuse elementwise operations."""

import contextlib
import math
from contextvars import ContextVar

import keras
from keras import ops

from keras_rescnet.mistake import Mistake


def fused(function, *, in_graph=None, forward=False):
    """Makes one loop over memory of several elementwise operations, where the backend does not.

    TensorFlow walks over memory once per operation, so there a function is compiled with XLA where
    it becomes part of a training step. Keras on JAX compiles whole steps itself.

    | where it is called                                   | what runs                          |
    | ---------------------------------------------------- | ---------------------------------- |
    | JAX, or TensorFlow called eagerly, or float64        | `function`                         |
    | a TensorFlow graph                                   | `in_graph`, compiled               |
    | the same, `forward`, but no gradient is recorded     | `in_graph`, operation by operation |
    | the same, within `erfc_in_graphs()`                  | `function`                         |
    | the same, within `loops_in_graphs()`                 | `in_graph`, compiled               |

    The third row is what `model.export` writes: it has no XLA, which TensorFlow Serving may not
    have linked in.

    Args:
        function: Takes tensors and returns one or several of their shape.
        in_graph: The same in the arithmetic of graphs, see `exp_tail`. Defaults to `function`.
        forward: Whether this is the value of a function with a written gradient, and not the
            gradient itself. TensorFlow does not differentiate it.

    Returns:
        A function of the same arguments.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    from keras_rescnet import tensorflow_loops

    def narrow(*arguments):
        if any(argument.dtype == "float64" for argument in arguments):
            return function(*arguments)
        return (in_graph or function)(*arguments)

    def plain(*arguments):
        return (function if _inference_graphs.get() == "erfc" else narrow)(*arguments)

    def always():
        return _inference_graphs.get() == "loops"

    if not forward:
        return tensorflow_loops.compiled(narrow, eager=function)
    return tensorflow_loops.compiled(narrow, eager=function, plain=plain, always=always)


_inference_graphs = ContextVar("inference_graphs", default="exp")


def erfc_in_graphs():
    """A context in which inference graphs are traced with `erfc`, as eager calls are computed.

    For what TensorFlow alone will run: operation by operation `erfc` takes half the time of
    `exp_tail`, but ONNX and LiteRT do not know it, and `model.export` cannot ask for either form.
    """
    return _inference_graphs_of("erfc")


def loops_in_graphs():
    """A context in which inference graphs are traced with compiled loops, as training's are.

    For graphs that stay in this process: no other needs to have XLA linked in.
    """
    return _inference_graphs_of("loops")


@contextlib.contextmanager
def _inference_graphs_of(kind):
    token = _inference_graphs.set(kind)
    try:
        yield
    finally:
        _inference_graphs.reset(token)


def normal_tail(distance):
    """`Phi(-distance)` of N(0, 1) for `distance >= 0`, accurate to its last digits far out too."""
    return 0.5 * ops.erfc(distance * math.sqrt(0.5))


def normal_density(x):
    """`phi(x)`, the density of N(0, 1)."""
    return ops.exp(-0.5 * ops.square(x)) / math.sqrt(2.0 * math.pi)


def exp_tail(distance):
    """`normal_tail` with no function but `exp`: for XLA's loops, ONNX and LiteRT.

    A polynomial in `u = 0.3 d / (1 + 0.3 d)` for Mills' ratio, least in its largest relative error
    on 0 <= d <= 14.5, and 1/2 exactly at 0. That error is 2e-7; in float32 it is 9e-7 up to d = 5
    and 4e-6 beyond, where the rounding of `d ** 2` counts, until the tail underflows at 12.9. In a
    loop with a slope's density the two share one `exp`.
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


def tensor(x):
    """Returns `x` as a tensor, a variable too: on TensorFlow written gradients take none."""
    return ops.copy(x) if hasattr(x, "assign") else ops.convert_to_tensor(x)


def argument(x, name):
    """Returns what an activation is given as a tensor, or a symbolic one as it is.

    Raises:
        Mistake: In the name of the activation, if it is not of a floating dtype.
    """
    x = x if isinstance(x, keras.KerasTensor) else tensor(x)
    dtype = keras.backend.standardize_dtype(x.dtype)
    if not keras.backend.is_float_dtype(dtype):
        raise Mistake(
            f"{name} takes tensors of a floating dtype. "
            f"Received: dtype={dtype}. Cast them: keras.ops.cast(x, 'float32')."
        )
    return x


def widened(x):
    """Returns a tensor of half precision in float32, and any other as it is."""
    half = keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16")
    return cast(x, "float32") if half else x


def cast(x, dtype):
    """`ops.cast`, for functions that `fused` compiles."""
    if keras.backend.backend() != "tensorflow":
        return ops.cast(x, dtype)
    from keras_rescnet import tensorflow_loops

    return tensorflow_loops.cast(x, dtype)
