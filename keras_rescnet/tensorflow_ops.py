"""What runs faster on TensorFlow when it is said in TensorFlow; other backends never import this.

TensorFlow walks over memory once an operation. Here stand the ways to walk less: loops that XLA
compiles from several elementwise operations, and TensorFlow's own single operations for batch
normalization and for a step of momentum.
"""

import tensorflow as tf
from tensorflow.python.eager import record  # private: no public function tells of active tapes


def compiled(function, *, eager, forward=False):
    """Compiles a function of tensors with XLA wherever it becomes part of a graph.

    Eagerly every new shape would wait for its compilation, so there `eager` runs instead. With
    `forward`, also where no tape records: what is evaluated or exported must run where XLA is not
    linked in (TensorFlow Serving). A forward function must be covered by a custom gradient.
    """
    loop = tf.function(function, jit_compile=True, autograph=False, reduce_retracing=True)

    def run(*arguments):
        if tf.executing_eagerly() or (forward and not record.could_possibly_record()):
            return eager(*arguments)
        if forward:  # or TensorFlow would also differentiate the loop, and keep all it computes
            arguments = [tf.stop_gradient(argument) for argument in arguments]
        return loop(*arguments)

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


def apply_momentum(variable, velocity, learning_rate, gradient, momentum):
    """Moves `velocity` to `momentum * velocity + gradient` and `variable` against it, in place."""
    tf.raw_ops.ResourceApplyMomentum(
        var=variable.handle,
        accum=velocity.handle,
        lr=learning_rate,
        grad=gradient,
        momentum=momentum,
    )


def replicas():
    """Returns how many replicas run the code that calls this."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1
