"""The Gaussian context transformer."""

import keras
from keras import ops

from keras_rescnet.arguments import check_positive
from keras_rescnet.layers.calibration_layer import CalibrationLayer
from keras_rescnet.layers.images import check_images


@keras.saving.register_keras_serializable(package="keras_rescnet")
class GaussianContextTransformer(CalibrationLayer):
    """Gaussian context transformer (GCT): weakens the channels whose average is unusual.

        z = avgpool(x)                                       (N, C)
        n = (z - mean_c z) / sqrt(var_c z + epsilon)         (N, C)
        y = x exp(-n^2 / (2 c^2))                            (N, H, W, C)

    The nearest relative of the RC Layer, which looks at responses where this one looks at channels.
    The gate is computed in float32 under every dtype policy (float64 under float64).

    Reference:
        Ruan et al., "Gaussian context transformer", CVPR 2021. The authors published no code; the
        learned `c` is that of reimplementations, which differ from each other. One that is copied
        often has `exp(-c n^2 / 2)` in place of the Gaussian function.

    Args:
        standard_deviation: The `c` of the equation. Defaults to 2, the paper's; `None` learns one
            number, `c = 1 + 3 sigmoid(theta)` with `theta` zero at first.
        epsilon: Added to the variance. Defaults to 1e-5.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)`, channels last; `N`, `H` and `W` may be unknown. Output shape: the
    same.

    Raises:
        Mistake: If `standard_deviation` is not `None` or a positive number, `epsilon` is not a
            positive number, images are not `(N, H, W, C)` with a known C, or Keras is set to
            channels first.

    Example:

    >>> layer = kr.layers.GaussianContextTransformer()
    >>> x = np.array([[[[1.0, 3.0]]]], "float32")  # both a standard deviation from their mean
    >>> keras.ops.convert_to_numpy(layer(x)).ravel() / x.ravel()  # exp(-1 / 8)
    array([0.8824..., 0.8824...], dtype=float32)
    """

    def __init__(self, standard_deviation: float | None = 2.0, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        if standard_deviation is not None:
            check_positive("standard_deviation", standard_deviation)
        check_positive("epsilon", epsilon)
        self.standard_deviation = standard_deviation and float(standard_deviation)
        self.epsilon = float(epsilon)

    def build(self, input_shape):
        """Makes `theta`, if the standard deviation is learned."""
        check_images(self, input_shape, 1)
        if self.standard_deviation is None:
            self.theta = self._weight((), "zeros", "theta")

    def call(self, inputs):
        """Returns `inputs` with every channel scaled by its gate."""
        context = self._average(inputs)
        deviation = context - ops.mean(context, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(deviation), axis=-1, keepdims=True)
        width = self.standard_deviation
        if width is None:
            width = 1.0 + 3.0 * ops.sigmoid(self.theta)
        exponent = ops.square(deviation / width) / (variance + self.epsilon)
        return self._scaled(inputs, ops.exp(-0.5 * exponent))

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {
            **super().get_config(),
            "standard_deviation": self.standard_deviation,
            "epsilon": self.epsilon,
        }
