"""Learned position embeddings."""

import keras

from keras_rescnet.initializers import small_normal
from keras_rescnet.layers.images import as_floats
from keras_rescnet.mistake import Mistake


@keras.saving.register_keras_serializable(package="keras_rescnet")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned vector to every token, by its place in the sequence.

        y = x + embedding                                    (N, T, C) + (1, T, C)

    The embedding starts as N(0, 0.02^2).

    Reference:
        Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021.

    Args:
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, T, C)` with known `T` and `C`. Output shape: the same.

    Raises:
        Mistake: If inputs are not `(N, T, C)` with known T and C.

    Example:

    >>> tokens = keras.Input((197, 192))
    >>> layer = kr.layers.PositionEmbedding()
    >>> layer(tokens).shape
    (None, 197, 192)
    >>> tuple(layer.embedding.shape)
    (1, 197, 192)
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape):
        """Makes one vector per token."""
        if len(input_shape) != 3 or None in input_shape[1:]:
            raise Mistake(
                "PositionEmbedding expects tokens of shape (N, T, C) with known T and C. "
                f"Received: input_shape={tuple(input_shape)}."
            )
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))
        self.embedding = self.add_weight(
            shape=(1, *input_shape[1:]), initializer=small_normal(), name="embedding"
        )

    def call(self, inputs):
        """Returns `inputs` plus the embedding."""
        return as_floats(self, inputs) + self.embedding

    def compute_output_shape(self, input_shape):
        """Returns `input_shape`; from a trace of `call` Keras would take float32 for any policy."""
        return input_shape
