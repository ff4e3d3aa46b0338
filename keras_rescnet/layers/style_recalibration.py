"""Style-based recalibration."""

import keras
from keras import ops

from keras_rescnet.arguments import check_positive
from keras_rescnet.layers.calibration_layer import CalibrationLayer
from keras_rescnet.layers.images import as_floats, check_images


@keras.saving.register_keras_serializable(package="keras_rescnet")
class StyleRecalibration(CalibrationLayer):
    """Style-based recalibration (SRM): a gate per channel, from its own mean and deviation.

        m, s = mean and sqrt(unbiased variance + epsilon)    (N, C) each
        z    = w[0] m + w[1] s                               (N, C)
        y    = x sigmoid(normalization(z))                   (N, H, W, C)

    where `normalization` is a batch normalization. `w` starts at 0, every gate at 1/2.
    Statistics and gate are computed in float32 under every dtype policy (float64 under float64).

    Reference:
        Lee et al., "SRM: A style-based recalibration module for convolutional neural networks",
        ICCV 2019; `models/recalibration_modules.py` of
        github.com/hyunjaelee410/style-based-recalibration-module.

    Args:
        epsilon: Added to the variance. Defaults to 1e-5.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)`, channels last; `N`, `H` and `W` may be unknown. Output shape: the
    same.

    Raises:
        Mistake: If `epsilon` is not a positive number, images are not `(N, H, W, C)` with a known
            C, or Keras is set to channels first.

    Example:

    >>> layer = kr.layers.StyleRecalibration()
    >>> layer(keras.Input((None, None, 64))).shape
    (None, None, None, 64)
    >>> sum(weight.shape.num_elements() for weight in layer.trainable_weights)
    256
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        check_positive("epsilon", epsilon)
        self.epsilon = float(epsilon)

    def build(self, input_shape):
        """Makes the weights of the statistics and the normalization."""
        check_images(self, input_shape, 1)
        self.input_spec = keras.layers.InputSpec(axes={-1: input_shape[-1]})
        channels = input_shape[-1]
        self.kernel = self._weight((2, channels), "zeros", "kernel")
        self.normalization = self._normalization(channels)

    def call(self, inputs, training=None):
        """Returns `inputs` with every channel scaled by its gate."""
        inputs = as_floats(self, inputs)
        mean, variance = self._moments(inputs)
        style = self.kernel[0] * mean + self.kernel[1] * ops.sqrt(variance + self.epsilon)
        return self._scaled(inputs, ops.sigmoid(self.normalization(style, training=training)))

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "epsilon": self.epsilon}
