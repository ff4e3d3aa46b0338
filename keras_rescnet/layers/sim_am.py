"""SimAM: attention without parameters."""

import keras
from keras import ops

from keras_rescnet.arguments import check_positive
from keras_rescnet.gaussian import cast, fused
from keras_rescnet.layers.calibration_layer import CalibrationLayer
from keras_rescnet.layers.images import as_floats, check_images


@keras.saving.register_keras_serializable(package="keras_rescnet")
class SimAM(CalibrationLayer):
    """SimAM: strengthens the responses that stand out from their channel, without parameters.

        m, v = mean and unbiased variance of a channel       (N, C)
        g    = sigmoid((x - m)^2 / (4 (v + regularization)) + 1/2)
        y    = x g                                           (N, H, W, C)

    The opposite of the RC Layer, which strengthens what is close to the mean. On a map of one place
    `v` is 0. Statistics and gate are computed in float32 under every dtype policy (float64 under
    float64). The gradient is written out: backpropagation keeps `x`, `m` and `v`.

    Reference:
        Yang et al., "SimAM: A simple, parameter-free attention module for convolutional neural
        networks", ICML 2021; `networks/attentions/simam_module.py` of github.com/ZjjConan/SimAM.

    Args:
        regularization: The paper's lambda. Defaults to 1e-4.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)`, channels last; `N`, `H` and `W` may be unknown. Output shape: the
    same.

    Raises:
        Mistake: If `regularization` is not a positive number, images are not `(N, H, W, C)` with a
            known C, or Keras is set to channels first.

    Example:

    >>> x = np.array([-1.0, 0.0, 1.0], "float32").reshape(1, 1, 3, 1)
    >>> y = keras.ops.convert_to_numpy(kr.layers.SimAM()(x))
    >>> y.ravel()  # sigmoid(1 / 4 + 1 / 2) is 0.679
    array([-0.679...,  0.   ...,  0.679...], dtype=float32)
    """

    def __init__(self, regularization: float = 1e-4, **kwargs):
        super().__init__(**kwargs)
        check_positive("regularization", regularization)
        self.regularization = float(regularization)

    def build(self, input_shape):
        """Checks `input_shape`."""
        check_images(self, input_shape, 1)

    def call(self, inputs):
        """Returns `inputs` with every response scaled by its gate."""
        inputs = as_floats(self, inputs)
        mean, variance = self._moments(inputs)
        return _calibrate(inputs, mean, 0.25 / (variance + self.regularization))

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "regularization": self.regularization}


def _value(x, mean, precision):
    wide = cast(x, mean.dtype)
    gate = ops.sigmoid(ops.square(wide - mean) * precision + 0.5)
    return cast(wide * gate, x.dtype)


def _pull_back(x, mean, precision, upstream):
    """The gradients, those of the statistics still to be summed: XLA is slow at that on CPUs."""
    wide, upstream = cast(x, mean.dtype), cast(upstream, mean.dtype)
    deviation = wide - mean
    square = ops.square(deviation)
    gate = ops.sigmoid(square * precision + 0.5)
    by_energy = upstream * wide * gate * (1.0 - gate)
    by_deviation = 2.0 * by_energy * precision * deviation
    by_x = upstream * gate + by_deviation
    return cast(by_x, x.dtype), -by_deviation, by_energy * square


_fused_value = fused(_value, forward=True)
_fused_pull_back = fused(_pull_back)


@ops.custom_gradient
def _calibrate(x, mean, precision):
    """`x sigmoid(precision (x - mean) ** 2 + 1/2)`; keeps its three arguments."""

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        by_x, by_mean, by_precision = _fused_pull_back(x, mean, precision, upstream)
        by_mean = ops.sum(by_mean, axis=(1, 2), keepdims=True)
        return by_x, by_mean, ops.sum(by_precision, axis=(1, 2), keepdims=True)

    return _fused_value(x, mean, precision), gradient
