"""Layer scale."""

import keras

from keras_rescnet.arguments import check_number
from keras_rescnet.layers.arguments import check_rank


@keras.saving.register_keras_serializable(package="keras_rescnet")
class LayerScale(keras.layers.Layer):
    """Scales every channel by a learned number that starts small.

        y = x scale                                          (..., C) * (C,)

    Reference:
        Touvron et al., "Going deeper with image transformers", ICCV 2021, Eq. 4.

    Args:
        initial_value: What all scales start from, at least 0. Defaults to 1e-5.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(..., C)`. Output shape: the same.

    Raises:
        Mistake: If `initial_value` is not a number of at least 0, or inputs have no known number of
            channels.

    Example:

    >>> layer = kr.layers.LayerScale(initial_value=0.5)
    >>> keras.ops.convert_to_numpy(layer(np.array([[2.0, 4.0]], "float32")))
    array([[1., 2.]], dtype=float32)
    """

    def __init__(self, initial_value: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        check_number("initial_value", initial_value, 0)
        self.initial_value = float(initial_value)
        self.supports_masking = True

    def build(self, input_shape):
        """Makes one scale per channel."""
        check_rank(self, input_shape, None, "inputs of shape (..., C)")
        self.input_spec = keras.layers.InputSpec(axes={-1: input_shape[-1]})
        self.scale = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial_value),
            name="scale",
        )

    def call(self, inputs):
        """Returns `inputs` times the scales."""
        return inputs * self.scale

    def compute_output_shape(self, input_shape):
        """Returns `input_shape`; from a trace of `call` Keras would take float32 for any policy."""
        return input_shape

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "initial_value": self.initial_value}
