"""The class token."""

import keras
from keras import ops

from keras_rescnet.arguments import check_number
from keras_rescnet.layers.arguments import check_rank


@keras.saving.register_keras_serializable(package="keras_rescnet")
class ClassToken(keras.layers.Layer):
    """A learned token, one for every sequence of the batch.

        y[n] = token                                         (N, 1, C)

    Reference:
        Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021.

    Args:
        stddev: Standard deviation of the token's first value, at least 0. Defaults to 0.02.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, T, C)`, read for `N` and `C` alone. Output shape: `(N, 1, C)`.

    Raises:
        Mistake: If `stddev` is not a number of at least 0, or inputs are not `(N, T, C)` with a
            known C.

    Example:

    >>> patches = keras.Input((196, 192))
    >>> token = kr.layers.ClassToken()(patches)
    >>> keras.layers.Concatenate(axis=1)([token, patches]).shape
    (None, 197, 192)
    """

    def __init__(self, stddev: float = 0.02, **kwargs):
        super().__init__(**kwargs)
        check_number("stddev", stddev, 0)
        self.stddev = float(stddev)

    def build(self, input_shape):
        """Makes the token."""
        check_rank(self, input_shape, 3, "tokens of shape (N, T, C)")
        self.token = self.add_weight(
            shape=(1, 1, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=self.stddev),
            name="token",
        )

    def call(self, inputs):
        """Returns the token, repeated over the batch."""
        batch = ops.shape(inputs)[0]
        return ops.broadcast_to(
            ops.cast(self.token, self.compute_dtype), (batch, 1, inputs.shape[-1])
        )

    def compute_output_shape(self, input_shape):
        """Returns `(N, 1, C)`."""
        return (input_shape[0], 1, input_shape[-1])

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "stddev": self.stddev}
