"""What calibration layers have in common."""

import keras
from keras import ops

from keras_rescnet.initializers import fan_in_uniform
from keras_rescnet.layers.batch_normalization import BatchNormalization
from keras_rescnet.layers.dense import Dense
from keras_rescnet.layers.images import as_floats, statistics_dtype


class CalibrationLayer(keras.layers.Layer):
    """Base of layers that scale the responses of images by gates, and keep their shape.

    Statistics, weights and gates are float32 under every dtype policy (float64 under float64); the
    scaled responses have the dtype of the images.
    """

    def compute_output_shape(self, input_shape):
        """Returns `input_shape`, for which Keras would else trace `call`."""
        return input_shape

    def _average(self, images):
        """Returns the averages of the channels, `(N, 1, 1, C)`."""
        return ops.mean(ops.cast(images, statistics_dtype(self)), axis=(1, 2), keepdims=True)

    def _moments(self, images):
        """Returns mean and unbiased variance of the channels, `(N, 1, 1, C)`."""
        mean = self._average(images)
        height, width = ops.shape(images)[1:3]
        count = ops.cast(height * width, mean.dtype)
        return mean, _squares(images, mean) / ops.maximum(count - 1.0, 1.0)

    def _scaled(self, images, gate):
        """Returns the images times a gate, in the dtype of the images."""
        images = as_floats(self, images)
        return images * ops.cast(gate, images.dtype)

    def _weight(self, shape, initializer, name):
        dtype = statistics_dtype(self)
        return self.add_weight(
            shape, initializer=initializer, dtype=dtype, autocast=False, name=name
        )

    def _dense(self, units, fan_in, name, activation=None, use_bias=False):
        """Returns a dense layer that is built, with PyTorch's initial weights."""
        dense = Dense(
            units,
            activation=activation,
            use_bias=use_bias,
            dtype=statistics_dtype(self),
            name=name,
            **fan_in_uniform(fan_in),
        )
        dense.build((None, fan_in))
        return dense

    def _normalization(self, channels, momentum=0.9, name="normalization"):
        """Returns a batch normalization of images that is built."""
        layer = BatchNormalization(momentum, dtype=statistics_dtype(self), name=name)
        layer.build((None, None, None, channels))
        return layer


@ops.custom_gradient
def _squares(images, mean):
    """The sums of `(images - mean) ** 2` over the places; keeps its two arguments alone."""
    deviation = ops.cast(images, mean.dtype) - mean

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        slope = 2.0 * upstream * (ops.cast(images, mean.dtype) - mean)
        return ops.cast(slope, images.dtype), -ops.sum(slope, axis=(1, 2), keepdims=True)

    return ops.sum(ops.square(deviation), axis=(1, 2), keepdims=True), gradient
