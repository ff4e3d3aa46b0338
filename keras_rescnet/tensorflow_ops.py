"""What is faster in TensorFlow's own operations than in Keras's. Other backends never import this.

TensorFlow walks over memory once per operation. The functions here walk less: loops that XLA
compiles from several elementwise operations, and TensorFlow's single operations for batch
normalization and for a step of momentum.
"""

import tensorflow as tf

# Private: no public function tells whether a gradient is recorded, or a forward derivative.
# test_gaussian.py fails if either name means something else in another TensorFlow: its graphs
# would have XLA where they are exported, or none where they train, or wrong forward derivatives.
from tensorflow.python.eager import forwardprop_util, record


def compiled(function, *, eager, plain=None):
    """Compiles a function of tensors with XLA where it becomes part of a graph.

    Args:
        function: What is compiled.
        eager: What runs instead outside of graphs, where every new shape would have to wait for
            its compilation.
        plain: What becomes part of a graph that records no gradient. With it, `function` must be
            covered by a custom gradient: its loop is cut off from TensorFlow's.
    """
    loop = tf.function(function, jit_compile=True, autograph=False, reduce_retracing=True)

    def run(*arguments):
        if tf.executing_eagerly():
            return eager(*arguments)
        if plain is None:
            # A branch of `tf.cond` can only capture what is a tensor of its own
            return loop(*(tf.identity(argument) for argument in arguments))
        if not record.could_possibly_record():
            return plain(*arguments)
        if forwardprop_util.pack_tangents(arguments).tangents:
            return plain(*arguments)  # forward-mode differentiation, which goes through `plain`
        # Cut off, or TensorFlow would also differentiate the loop, and keep all that it computes
        return loop(*(tf.stop_gradient(argument) for argument in arguments))

    return run


def takes_fused_batch_normalization(x, axis):
    """Returns whether `batch_normalization` takes `x`: images in single or half precision."""
    channels_last = x.shape.rank == 4 and axis in (-1, 3)
    return channels_last and x.dtype in (tf.float16, tf.bfloat16, tf.float32)


def batch_normalization(x, gamma, beta, epsilon):
    """Normalizes images by their own moments, in one operation.

    Args:
        x: Images `(N, H, W, C)`.
        gamma: Scale of each channel, `(C,)`.
        beta: Offset of each channel, `(C,)`.
        epsilon: Added to the variance.

    Returns:
        The normalized images, the mean and the unbiased variance of each channel, float32.
    """
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=tf.cast(gamma, tf.float32),
        offset=tf.cast(beta, tf.float32),
        mean=tf.zeros([0]),
        variance=tf.zeros([0]),
        epsilon=epsilon,
        is_training=True,
    )
    return outputs, mean, variance


def apply_momentum(variable, velocity, learning_rate, gradient, momentum, nesterov=False):
    """Moves `velocity` to `momentum * velocity + gradient` and `variable` against it, in place.

    With `nesterov`, `variable` moves against `gradient + momentum * velocity`.
    """
    tf.raw_ops.ResourceApplyMomentum(
        var=variable.handle,
        accum=velocity.handle,
        lr=learning_rate,
        grad=gradient,
        momentum=momentum,
        use_nesterov=nesterov,
    )


def dense(gradient):
    """Returns a gradient as a tensor: those of embeddings and lookups are `tf.IndexedSlices`."""
    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient


def replicas():
    """Returns how many replicas run the code that calls this."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def sum_over_replicas(tensor):
    """Returns the sum of the tensors that the replicas call this with, to all of them."""
    if replicas() == 1:
        return tensor
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensor)
