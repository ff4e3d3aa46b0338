"""A dense layer on an adaptively pooled map."""

import keras
import numpy as np
from keras import ops

from keras_rescnet.arguments import check_integer, check_share
from keras_rescnet.layers.arguments import initializer_of
from keras_rescnet.layers.images import check_channels_last
from keras_rescnet.mistake import Mistake


@keras.saving.register_keras_serializable(package="keras_rescnet")
class PooledDense(keras.layers.Layer):
    """Adaptive average pooling, dropout, flattening and a dense layer, in one.

    With `A` the (P, H) matrix of PyTorch's `AdaptiveAvgPool2d` along the height, `B` along the
    width, and `K` the kernel,

        f[n, p, q, c] = sum_hw A[p, h] B[q, w] x[n, h, w, c]                   (N, P, P, C)
        y[n, u]       = sum_pqc K[p, q, c, u] dropout(f)[n, p, q, c] + bias[u]  (N, units)

    On a map smaller than P x P the pooling only repeats values, and without dropout the sum is
    reordered: the kernel is summed over the repeats, then meets the map once. Output, gradients
    and parameters are those of the expression above, at 1 / 49 of its multiplications on the
    1 x 1 map that VGG makes of a CIFAR image.

    Args:
        units: Width of the output.
        pool_size: P, the side of the pooled map.
        dropout: Fraction of the pooled features that training drops. Defaults to 0.
        kernel_initializer: Of the kernel `(P, P, C, units)`. Defaults to `"glorot_uniform"`.
        bias_initializer: Of the bias `(units,)`. Defaults to `"zeros"`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)` with known H, W and C. Output shape: `(N, units)`.

    Raises:
        Mistake: If `units` or `pool_size` is not a positive integer, `dropout` is not at least 0
            and below 1, an initializer is not known to Keras, inputs are not `(N, H, W, C)` with
            known H, W and C, or Keras is set to channels first.

    Example:

    >>> images = keras.Input((1, 1, 512))
    >>> layer = kr.layers.PooledDense(units=4, pool_size=7)
    >>> layer(images).shape
    (None, 4)
    >>> tuple(layer.kernel.shape)
    (7, 7, 512, 4)
    """

    def __init__(
        self,
        units: int,
        pool_size: int,
        dropout: float = 0.0,
        kernel_initializer: keras.initializers.Initializer | str = "glorot_uniform",
        bias_initializer: keras.initializers.Initializer | str = "zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_integer("units", units, 1)
        check_integer("pool_size", pool_size, 1)
        check_share("dropout", dropout)
        self.units = int(units)
        self.pool_size = int(pool_size)
        self.dropout = keras.layers.Dropout(float(dropout), dtype=self.dtype_policy)
        self.kernel_initializer = initializer_of("kernel_initializer", kernel_initializer)
        self.bias_initializer = initializer_of("bias_initializer", bias_initializer)

    def build(self, input_shape):
        """Makes kernel and bias for the channels of `input_shape`."""
        check_channels_last("PooledDense")
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise Mistake(
                "PooledDense expects maps of shape (N, H, W, C) with known H, W and C. "
                f"Received: input_shape={tuple(input_shape)}."
            )
        _, height, width, channels = input_shape
        self.input_spec = keras.layers.InputSpec(shape=(None, height, width, channels))
        self.pooling = np.kron(
            _pooling_matrix(self.pool_size, height), _pooling_matrix(self.pool_size, width)
        )
        self.kernel = self.add_weight(
            (self.pool_size, self.pool_size, channels, self.units),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = self.add_weight((self.units,), initializer=self.bias_initializer, name="bias")

    def call(self, inputs, training=False):
        """Returns the dense layer's output."""
        pooled, positions = self.pooling.shape
        channels = inputs.shape[-1]
        pooling = ops.cast(self.pooling, self.compute_dtype)
        x = ops.reshape(inputs, (-1, positions, channels))
        kernel = self.kernel
        if positions < pooled and not (training and self.dropout.rate):
            kernel = ops.reshape(kernel, (pooled, channels * self.units))
            kernel = ops.matmul(ops.transpose(pooling), kernel)
        else:
            x = self.dropout(ops.matmul(pooling, x), training=training)
        features = channels * x.shape[1]
        x = ops.reshape(x, (-1, features))
        return ops.matmul(x, ops.reshape(kernel, (features, self.units))) + self.bias

    def compute_output_shape(self, input_shape):
        """Returns `(N, units)`."""
        return (input_shape[0], self.units)

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {
            **super().get_config(),
            "units": self.units,
            "pool_size": self.pool_size,
            "dropout": self.dropout.rate,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


def _pooling_matrix(size, length):
    """Rows average `floor(i length / size) ... ceil((i + 1) length / size)`."""
    matrix = np.zeros((size, length))
    for i in range(size):
        start, stop = i * length // size, -(-(i + 1) * length // size)
        matrix[i, start:stop] = 1.0 / (stop - start)
    return matrix
