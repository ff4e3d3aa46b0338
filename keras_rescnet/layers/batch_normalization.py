"""Batch normalization with PyTorch's running variance."""

import keras
from keras import ops

from keras_rescnet.mistake import Mistake


@keras.saving.register_keras_serializable(package="keras_rescnet")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization that keeps the unbiased variance for inference, as PyTorch does.

    With `n` the number of values of a channel in the (global) batch,

        mean, var       = moments(x)                                           (C,)
        y               = gamma (x - mean) / sqrt(var + epsilon) + beta        (N, H, W, C)
        moving_mean     = momentum moving_mean     + (1 - momentum) mean
        moving_variance = momentum moving_variance + (1 - momentum) var n / (n - 1)

    Keras leaves out `n / (n - 1)`, which is all the difference in training: 3 % on a final
    map of 1 x 1 and 32 images. Computed in float32 under the mixed policies.

    Args:
        momentum: Of the moving statistics. Defaults to 0.9, PyTorch's 0.1.
        epsilon: Added to the variance. Defaults to 1e-5, PyTorch's.
        **kwargs: Arguments of `keras.layers.BatchNormalization`, except `renorm`.

    Input shape: any, with the channels on `axis`. Output shape: the same.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        if self.renorm:
            raise Mistake(
                "BatchNormalization here has no renormalization: use Keras's own. "
                "Received: renorm=True."
            )

    def call(self, inputs, training=None):
        """Returns the normalized inputs; in training, moves the statistics."""
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        outputs, mean, variance = self._normalize(inputs)
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            new = ops.cast(new, moving.dtype)
            moving.assign(moving * self.momentum + new * (1.0 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)

    def _normalize(self, inputs):
        """Returns the normalized inputs, their mean and their unbiased variance."""
        if keras.backend.backend() == "tensorflow" and self.scale and self.center:
            from keras_rescnet import tensorflow_ops

            whole = self.synchronized and tensorflow_ops.replicas() > 1
            if not whole and tensorflow_ops.takes_fused_batch_normalization(inputs, self.axis):
                return tensorflow_ops.batch_normalization(
                    inputs, self.gamma, self.beta, self.epsilon
                )
        x = ops.cast(inputs, self.variable_dtype)
        mean, variance = ops.moments(x, self._reduction_axes, synchronized=self.synchronized)
        count = ops.cast(ops.size(x) // x.shape[self.axis] * self._replicas(), x.dtype)
        unbiased = variance * (count / ops.maximum(count - 1.0, 1.0))
        outputs = ops.batch_normalization(
            x, mean, variance, self.axis, self.beta, self.gamma, self.epsilon
        )
        return outputs, mean, unbiased

    def _replicas(self):
        if not self.synchronized:
            return 1
        from keras_rescnet import tensorflow_ops  # Keras has `synchronized` on TensorFlow only

        return tensorflow_ops.replicas()

    def get_config(self):
        """Returns the arguments that make this layer again."""
        config = super().get_config()
        for name in ("renorm", "renorm_clipping", "renorm_momentum"):
            config.pop(name, None)
        return config
