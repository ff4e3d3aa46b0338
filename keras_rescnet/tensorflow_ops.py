"""What is faster in TensorFlow's own operations than in Keras's. Other backends never import this.

Single operations for batch normalization and for a step of momentum, where Keras has several.
"""

import functools
from contextvars import ContextVar

import tensorflow as tf

from keras_rescnet.tensorflow_loops import compiled


def multiply_no_nan(x, factor):
    """Returns `x factor`, which is 0 where `factor` is 0."""
    return tf.math.multiply_no_nan(x, factor)


def takes_fused_batch_normalization(x, axis):
    """Returns whether `batch_normalization` takes `x`: images in single or half precision."""
    channels_last = x.shape.rank == 4 and axis in (-1, 3)
    return channels_last and x.dtype in (tf.float16, tf.bfloat16, tf.float32)


def batch_normalization(x, gamma, beta, epsilon, moments=None):
    """Normalizes images, in one operation.

    Args:
        x: Images `(N, H, W, C)`.
        gamma: Scale of each channel, `(C,)`.
        beta: Offset of each channel, `(C,)`.
        epsilon: Added to the variance.
        moments: Mean and variance of each channel, `(C,)`; those of `x` if `None`.

    Returns:
        The normalized images, and the mean and the unbiased variance of each channel of `x`,
        float32, or else `moments`.
    """
    if moments is None and x.dtype == tf.float32 and differentiates_twice.get():
        return _normalization(epsilon)(x, tf.cast(gamma, tf.float32), tf.cast(beta, tf.float32))
    mean, variance = moments or (tf.zeros([0]), tf.zeros([0]))
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=tf.cast(gamma, tf.float32),
        offset=tf.cast(beta, tf.float32),
        mean=tf.cast(mean, tf.float32),
        variance=tf.cast(variance, tf.float32),
        epsilon=epsilon,
        is_training=moments is None,
    )
    return outputs, mean, variance


differentiates_twice = ContextVar("differentiates_twice", default=False)


@functools.cache
def _normalization(epsilon):
    """Returns `batch_normalization` of images with a second derivative in few passes; no third.

    With `m` the mean over N, H and W, `n` the normalized images, `s = gamma / sqrt(var + epsilon)`,
    `u` what the first derivatives are taken along, and `v`, `v_gamma` and `v_beta` what the second
    ones are taken along:

        by_x     = s (u - m(u) - n m(u n)),    by_gamma = sum u n,    by_beta = sum u
        rest     = m(v u) - m(v) m(u) - m(v n) m(u n)
        along_u  = s (v - m(v) - n m(v n)) + v_gamma n + v_beta
        along_x  = (e - m(e) - n m(e n) - s n rest) s / gamma
        e        = -s (m(u n) v + m(v n) u) + v_gamma u
        along_gamma = sum(1) rest s / gamma

    TensorFlow differentiates the first derivatives step by step, in some thirty passes.
    """

    @tf.custom_gradient
    def normalize(x, gamma, beta):
        outputs, mean, variance, *saved = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon, is_training=True
        )
        count = tf.cast(tf.size(x) // tf.size(mean), tf.float32)
        biased = variance * tf.maximum(count - 1.0, 1.0) / count
        saved = {f"reserve_space_{i + 1}": tensor for i, tensor in enumerate(saved)}

        def pull_back(u):
            """Returns by_x, by_gamma and by_beta."""
            return tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=u, x=x, scale=gamma, epsilon=epsilon, is_training=True, **saved
            )[:3]

        @tf.custom_gradient
        def first(u, x, gamma):
            by_x, by_gamma, by_beta = pull_back(u)

            def second(v, v_gamma, v_beta):
                along_u, *sums = pull_back(v)
                m_u, m_un, m_v, m_vn = (
                    each / count for each in (by_beta, by_gamma, sums[1], sums[0])
                )
                rest = tf.reduce_mean(v * u, axis=(0, 1, 2)) - m_v * m_u - m_vn * m_un
                inverse = tf.math.rsqrt(biased + epsilon)
                s = gamma * inverse
                of_v, of_u = -s * m_un, v_gamma - s * m_vn  # e = of_v v + of_u u
                of_n = 2.0 * s * m_un * m_vn - v_gamma * m_un - s * rest
                offset = -(of_v * m_v + of_u * m_u)
                factors = [factor * inverse for factor in (of_v, of_u, of_n, offset)]
                along_u, along_x = _second_derivatives(
                    v, u, x, along_u, mean, inverse, v_gamma, v_beta, *factors
                )
                return along_u, along_x, count * rest * inverse

            return (by_x, by_gamma, by_beta), second

        return (outputs, mean, variance), lambda u, *_: first(u, x, gamma)

    return normalize


def _second(v, u, x, along_u, mean, inverse, v_gamma, v_beta, of_v, of_u, of_n, offset):
    n = (x - mean) * inverse
    return along_u + v_gamma * n + v_beta, of_v * v + of_u * u + of_n * n + offset


_second_derivatives = compiled(_second, eager=_second)


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


def apply_adam(variable, moments, step, learning_rate, gradient, betas, epsilon):
    """Moves both `moments` and then `variable` by a step of Adam, in one pass over memory."""
    # Shares of what the moments estimate: of `betas` as rounded, as the operation rounds them. Its
    # own shares are differences from 1, which are less exact.
    betas = [tf.cast(beta, variable.dtype) for beta in betas]
    first, second = (-tf.math.expm1(step * tf.math.log(beta)) for beta in betas)
    done = tf.zeros((), variable.dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=moments[0].handle,
        v=moments[1].handle,
        beta1_power=done,
        beta2_power=done,
        lr=learning_rate * tf.sqrt(second) / first,
        beta1=betas[0],
        beta2=betas[1],
        epsilon=epsilon * tf.sqrt(second),
        grad=gradient,
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
