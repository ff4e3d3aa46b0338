"""GCLU as a layer."""

import keras

from keras_rescnet.activations import check_approximate, gclu


@keras.saving.register_keras_serializable(package="keras_rescnet")
class GCLU(keras.layers.Layer):
    """Gaussian cumulative linear unit, as a layer.

        y = x ([x > 0] + Phi(-|x|))          the shape of x

    See `keras_rescnet.gclu` for the slope, the approximations and the precision.

    Args:
        approximate: `None` for the exact form, `"sigmoid"` (Eq. 7) or `"tanh"` (Eq. 8). Defaults to
            `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: any. Output shape: the same.

    Raises:
        Mistake: If `approximate` is none of these, or when called, if inputs are not of a floating
            dtype.

    Example:

    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(64), kr.layers.GCLU()])
    >>> y = kr.layers.GCLU()(np.array([-1.0, 0.0, 1.0], "float32"))
    >>> keras.ops.convert_to_numpy(y)
    array([-0.15865526,  0.        ,  1.1586553 ], dtype=float32)
    """

    def __init__(self, approximate: str | None = None, **kwargs):
        super().__init__(**kwargs)
        check_approximate(approximate)
        self.approximate = approximate
        self.supports_masking = True
        self.built = True

    def call(self, inputs):
        """Returns `gclu(inputs, self.approximate)`."""
        return gclu(inputs, self.approximate)

    def compute_output_shape(self, input_shape):
        """Returns `input_shape`."""
        return input_shape

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "approximate": self.approximate}
