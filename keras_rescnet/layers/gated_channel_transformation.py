"""Gated channel transformation."""

import keras
from keras import ops

from keras_rescnet.arguments import check_positive
from keras_rescnet.layers.calibration_layer import CalibrationLayer
from keras_rescnet.layers.images import check_images, statistics_dtype


@keras.saving.register_keras_serializable(package="keras_rescnet")
class GatedChannelTransformation(CalibrationLayer):
    """Gated channel transformation (GCT): channels compete or cooperate by their energies.

        s = alpha sqrt(sum_hw x^2 + epsilon)                 (N, C)
        t = s / sqrt(mean_c s^2 + epsilon)                   (N, C)
        y = x (1 + tanh(gamma t + beta))                     (N, H, W, C)

    `alpha` starts at 1, `gamma` and `beta` at 0, so that the layer starts as the identity. The gate
    is computed in float32 under every dtype policy (float64 under float64).

    Reference:
        Yang et al., "Gated channel transformation for visual recognition", CVPR 2020;
        `PyTorch/GCT.py` of github.com/z-x-yang/GCT, in its mode "l2".

    Args:
        epsilon: Added to squares. Defaults to 1e-5.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)`, channels last; `N`, `H` and `W` may be unknown. Output shape: the
    same.

    Raises:
        Mistake: If `epsilon` is not a positive number, images are not `(N, H, W, C)` with a known
            C, or Keras is set to channels first.

    Example:

    >>> layer = kr.layers.GatedChannelTransformation()
    >>> x = np.array([[[[1.0, -2.0]]]], "float32")
    >>> keras.ops.convert_to_numpy(layer(x)).ravel()
    array([ 1., -2.], dtype=float32)
    >>> layer.count_params()
    6
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        check_positive("epsilon", epsilon)
        self.epsilon = float(epsilon)

    def build(self, input_shape):
        """Makes the three weights of every channel."""
        check_images(self, input_shape, 1)
        self.input_spec = keras.layers.InputSpec(axes={-1: input_shape[-1]})
        shape = (input_shape[-1],)
        self.alpha = self._weight(shape, "ones", "alpha")
        self.gamma = self._weight(shape, "zeros", "gamma")
        self.beta = self._weight(shape, "zeros", "beta")

    def call(self, inputs):
        """Returns `inputs` with every channel scaled by its gate."""
        energy = ops.square(ops.cast(inputs, statistics_dtype(self)))
        energy = ops.sum(energy, axis=(1, 2), keepdims=True)
        embedding = self.alpha * ops.sqrt(energy + self.epsilon)
        mean = ops.mean(ops.square(embedding), axis=-1, keepdims=True)
        share = embedding / ops.sqrt(mean + self.epsilon)
        return self._scaled(inputs, 1.0 + ops.tanh(self.gamma * share + self.beta))

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "epsilon": self.epsilon}
