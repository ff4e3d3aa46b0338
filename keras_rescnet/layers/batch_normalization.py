"""Batch normalization with PyTorch's running variance."""

import keras
from keras import ops

from keras_rescnet.mistake import Mistake


@keras.saving.register_keras_serializable(package="keras_rescnet")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization that keeps the unbiased variance for inference, as PyTorch does.

    With `n` the number of values per channel in the (global) batch,

        mean, var       = moments(x)                                           (C,)
        y               = gamma (x - mean) / sqrt(var + epsilon) + beta        (N, H, W, C)
        moving_mean     = momentum moving_mean     + (1 - momentum) mean
        moving_variance = momentum moving_variance + (1 - momentum) var n / (n - 1)

    Keras leaves out `n / (n - 1)`, which is all the difference in training: 3 % on a final
    map of 1 x 1 and 32 images. Computed in float32 under the mixed policies.

    With a mask, `N`, `H` and `W` run over the places that it does not mask.

    Args:
        momentum: Of the moving statistics. Defaults to 0.9, PyTorch's 0.1.
        epsilon: Added to the variance. Defaults to 1e-5, PyTorch's.
        **kwargs: Arguments of `keras.layers.BatchNormalization`, except `renorm`.

    Call arguments:
        inputs: Tensor of any rank with the channels on `axis`.
        training: Whether to normalize by the batch and move the statistics.
        mask: Tensor of the shape of `inputs` without `axis`, false at places that do not count.

    Input shape: any, with the channels on `axis`. Output shape: the same.

    Raises:
        Mistake: If `renorm` is true, or when called, if `mask` does not have one dimension less
            than `inputs`.

    Example:

    >>> layer = kr.layers.BatchNormalization()
    >>> y = layer(np.array([[0.0], [2.0]], "float32"), training=True)
    >>> float(y[1, 0])
    0.99999...
    >>> float(layer.moving_variance[0])  # 0.9 + 0.1 * 2, where Keras has 0.9 + 0.1 * 1
    1.1...
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        if self.renorm:
            raise Mistake(
                "BatchNormalization here has no renormalization: use Keras's own. "
                "Received: renorm=True."
            )

    def call(self, inputs, training=None, mask=None):
        """Returns the normalized inputs; in training, moves the statistics."""
        if mask is not None and len(mask.shape) != len(inputs.shape) - 1:
            raise Mistake(
                "`mask` must have one dimension less than the inputs. "
                f"Received: mask of shape {tuple(mask.shape)}, inputs {tuple(inputs.shape)}."
            )
        if not (training and self.trainable):
            return self._normalize_by_moving_statistics(inputs)
        outputs, mean, variance = self._normalize(inputs, mask)
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            new = ops.cast(new, moving.dtype)
            moving.assign(moving * self.momentum + new * (1.0 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)

    def _normalize_by_moving_statistics(self, inputs):
        if keras.backend.backend() == "tensorflow":
            from keras_rescnet import tensorflow_ops

            if tensorflow_ops.takes_fused_batch_normalization(inputs, self.axis):
                # One operation, where Keras has two, that TensorFlow makes part of a convolution
                gamma, beta = self._scale_and_offset()
                moving = self.moving_mean, self.moving_variance
                return tensorflow_ops.batch_normalization(
                    inputs, gamma, beta, self.epsilon, moving
                )[0]
        return super().call(inputs, training=False)

    def _scale_and_offset(self):
        gamma = self.gamma if self.scale else ops.ones_like(self.moving_variance)
        return gamma, self.beta if self.center else ops.zeros_like(self.moving_mean)

    def _normalize(self, inputs, mask):
        """Returns the normalized inputs, their mean and their unbiased variance."""
        if keras.backend.backend() == "tensorflow" and mask is None:
            from keras_rescnet import tensorflow_ops

            whole = self.synchronized and tensorflow_ops.replicas() > 1
            if not whole and tensorflow_ops.takes_fused_batch_normalization(inputs, self.axis):
                gamma, beta = self._scale_and_offset()
                return tensorflow_ops.batch_normalization(inputs, gamma, beta, self.epsilon)
        x = ops.cast(inputs, self.variable_dtype)
        axes = [axis for axis in range(len(x.shape)) if axis != self.axis % len(x.shape)]
        if mask is None:
            mean, variance = ops.moments(x, axes, synchronized=self.synchronized)
            count = ops.cast(ops.size(x) // x.shape[self.axis] * self._replicas(), x.dtype)
        else:
            mean, variance, count = self._masked_moments(x, mask, axes)
        unbiased = variance * (count / ops.maximum(count - 1.0, 1.0))
        outputs = ops.batch_normalization(
            x, mean, variance, self.axis, self.beta, self.gamma, self.epsilon
        )
        return outputs, mean, unbiased

    def _masked_moments(self, x, mask, axes):
        """Returns mean and variance of the places that count, and how many they are."""
        counts = ops.expand_dims(ops.cast(mask, "bool"), self.axis)
        zero = ops.zeros((), x.dtype)
        count = ops.maximum(self._sum(ops.cast(counts, x.dtype), axes), 1.0)
        mean = self._sum(ops.where(counts, x, zero), axes) / count
        deviation = ops.where(counts, x - mean, zero)
        variance = self._sum(ops.square(deviation), axes) / count
        return ops.reshape(mean, (-1,)), ops.reshape(variance, (-1,)), ops.reshape(count, (-1,))

    def _sum(self, x, axes):
        total = ops.sum(x, axes, keepdims=True)
        if not self.synchronized:
            return total
        from keras_rescnet import tensorflow_ops  # Keras has `synchronized` on TensorFlow only

        return tensorflow_ops.sum_over_replicas(total)

    def _replicas(self):
        if not self.synchronized:
            return 1
        from keras_rescnet import tensorflow_ops

        return tensorflow_ops.replicas()

    def get_config(self):
        """Returns the arguments that make this layer again."""
        config = super().get_config()
        for name in ("renorm", "renorm_clipping", "renorm_momentum"):
            config.pop(name, None)
        return config
