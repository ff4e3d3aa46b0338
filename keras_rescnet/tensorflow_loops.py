"""Loops over memory that XLA compiles from elementwise operations, in TensorFlow's graphs.

TensorFlow walks over memory once per operation. Other backends never import this.
"""

import functools
import operator
from contextvars import ContextVar

import tensorflow as tf

# Private: no public function tells whether a gradient is recorded, or a forward derivative.
# test_gaussian.py fails if either name means something else in another TensorFlow: its graphs
# would have XLA where they are exported, or none where they train, or wrong forward derivatives.
from tensorflow.python.eager import forwardprop_util, record


def compiled(function, *, eager, plain=None, always=None):
    """Compiles a function of tensors with XLA where it becomes part of a graph.

    Without `plain`, `function` is a gradient. What it would be the only one to keep from the
    forward pass, its loop computes again: see `_terms`. Where it is differentiated itself, its
    derivatives are a loop too: TensorFlow's would write every step within this one to memory.

    Args:
        function: What is compiled.
        eager: What runs instead outside of graphs, where every new shape would have to wait for
            its compilation.
        plain: What becomes part of a graph that records no gradient. With it, `function` must be
            covered by a custom gradient: its loop is cut off from TensorFlow's.
        always: Returns whether `function` becomes part of such a graph, too. Needed with `plain`.
    """

    @functools.cache
    def loop(*arguments):
        """Compiles `function`; each argument is a sum of what functions return."""

        def whole(*tensors):
            token = _in_loop.set(True)
            try:
                return function(*map(_sum, arguments, tensors))
            finally:
                _in_loop.reset(token)

        return tf.function(whole, jit_compile=True, autograph=False, reduce_retracing=True)

    @functools.cache
    def derivatives(count):
        """Returns the vector-Jacobian products of `function` of `count` arguments."""

        def products(*tensors):
            arguments, vectors = tensors[:count], tensors[count:]
            with tf.GradientTape() as tape:
                tape.watch(arguments)
                values = function(*arguments)
            return tape.gradient(values, arguments, vectors, "zero")

        return compiled(products, eager=products)

    @tf.custom_gradient
    def differentiable(*arguments):
        def gradient(*vectors):
            return derivatives(len(arguments))(*arguments, *vectors)

        return alone(*arguments), gradient

    def alone(*arguments):
        groups = [[(argument,)] for argument in arguments]
        traced = loop(*((_given,),) * len(arguments)).get_concrete_function(*groups)
        # Or TensorFlow would also differentiate the loop, and keep all that it computes. Not with
        # `tf.stop_gradient`: where `tf.vectorized_map` drops the written gradient, it would leave 0
        with record.stop_recording():
            return traced(*groups)

    def run(*arguments):
        if tf.executing_eagerly() or _is_mapped():
            return eager(*arguments)
        recorded = record.could_possibly_record()
        forwards = forwardprop_util.pack_tangents(arguments).tangents
        if plain is None and recorded and not forwards:
            return differentiable(*arguments)
        if plain is None:
            terms = [_terms(argument) for argument in arguments]
            # A branch of `tf.cond` can only capture what is a tensor of its own
            tensors = [[tuple(map(tf.identity, group)) for _, group in sums] for sums in terms]
            return loop(*(tuple(computation for computation, _ in sums) for sums in terms))(
                *tensors
            )
        if forwards or not (recorded or always()):
            return plain(*arguments)  # which TensorFlow differentiates forwards
        return alone(*arguments)

    return run


def _is_mapped():
    """Returns whether this is the body of `tf.vectorized_map`, or of Jacobians, which use it.

    It keeps operations and drops written gradients, without which bits, as in `cast`, have none.
    """
    scopes = tf.get_current_name_scope().split("/")
    return any(scope.startswith("loop_body") for scope in scopes)


def _terms(tensor):
    """Returns a tensor as a sum of `(function, arguments)`, of arguments that are kept anyway.

    Normalized images are a line of each channel in what was normalized, which the gradient of
    normalization needs. So a gradient of an activation or a calibration need not keep them, nor
    their sum with a shortcut, which the convolution after it keeps.
    """
    if not tf.is_symbolic_tensor(tensor):  # in `batch_jacobian`, of a forward pass without a graph
        return [(_given, (tensor,))]
    tensor = _source(tensor)
    if tensor.op.type == "AddV2":
        addends = [_source(addend) for addend in tensor.op.inputs]
        same = all(addend.shape.is_compatible_with(tensor.shape) for addend in addends)
        terms = [_term(addend) for addend in addends]
        if same and any(function is not _given for function, _ in terms):
            return terms
    return [_term(tensor)]


def _term(tensor):
    operation = tensor.op
    normalized = operation.type == "FusedBatchNormV3" and tensor.value_index == 0
    # In half precision rounding as normalization does would take more time than is worth it
    if not normalized or tensor.dtype != tf.float32 or _has_gpu():
        return _given, (tensor,)
    if not operation.get_attr("is_training") or operation.get_attr("data_format") != b"NHWC":
        return _given, (tensor,)
    x, gamma, beta, *_ = operation.inputs
    mean, variance = _moments(x, *operation.outputs[3:5])
    # To the last bit as oneDNN normalizes: not within the loop, where XLA would approximate, and
    # not `1 / sqrt`, which TensorFlow's optimizer makes an approximation of
    inverse = tf.math.divide_no_nan(1.0, tf.sqrt(variance + operation.get_attr("epsilon")))
    return _normalized, (x, mean, inverse, gamma, beta)


def _given(tensor):
    return tensor


def _normalized(x, mean, inverse, gamma, beta):
    return (x - mean) * inverse * gamma + beta


def _sum(functions, groups):
    values = [function(*group) for function, group in zip(functions, groups, strict=True)]
    return functools.reduce(operator.add, values)


def _source(tensor):
    """Returns the tensor that was given other names."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _has_gpu():
    """Returns whether the second moment may be something else: cuDNN's is 1 / sqrt(variance)."""
    return bool(tf.config.list_physical_devices("GPU"))


@tf.custom_gradient
def _moments(x, mean, variance):
    """Returns mean and variance of the channels of `x`, which were computed before.

    Their own operation has no gradient for them, which second derivatives need.
    """

    def gradient(by_mean, by_variance):
        count = tf.cast(tf.size(x) // tf.size(mean), x.dtype)
        by_x = (by_mean + 2.0 * by_variance * (x - mean)) / count
        return by_x, tf.zeros_like(mean), tf.zeros_like(variance)

    return (tf.identity(mean), tf.identity(variance)), gradient


_in_loop = ContextVar("in_loop", default=False)


def cast(x, dtype):
    """Returns `x` in another dtype, as `tf.cast` does; in compiled loops faster.

    XLA does not use the CPU's vectors from float32 to bfloat16.
    """
    if _in_loop.get() and {x.dtype, tf.as_dtype(dtype)} == {tf.float32, tf.bfloat16}:
        return _widened(x) if x.dtype == tf.bfloat16 else _rounded(x)
    return tf.cast(x, dtype)


@tf.custom_gradient
def _widened(x):
    """Returns bfloat16 as float32, whose upper half it is."""
    bits = tf.bitwise.left_shift(
        tf.cast(tf.bitcast(x, tf.uint16), tf.uint32), tf.constant(16, tf.uint32)
    )
    return tf.bitcast(bits, tf.float32), lambda upstream: cast(upstream, tf.bfloat16)


@tf.custom_gradient
def _rounded(x):
    """Returns float32 as the nearest bfloat16, of two as near the even one."""
    bits = tf.bitcast(x, tf.uint32)
    odd = tf.bitwise.bitwise_and(
        tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32)), tf.constant(1, tf.uint32)
    )
    upper = tf.bitwise.right_shift(
        bits + odd + tf.constant(0x7FFF, tf.uint32), tf.constant(16, tf.uint32)
    )
    upper = tf.where(tf.math.is_nan(x), tf.constant(0x7FC0, tf.uint32), upper)
    half = tf.bitcast(tf.cast(upper, tf.uint16), tf.bfloat16)
    return half, lambda upstream: cast(upstream, tf.float32)
