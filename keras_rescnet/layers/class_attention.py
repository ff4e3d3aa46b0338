"""Class attention."""

import keras

from keras_rescnet.layers.arguments import check_rank
from keras_rescnet.layers.self_attention import SelfAttention, check_heads, split_heads


@keras.saving.register_keras_serializable(package="keras_rescnet")
class ClassAttention(SelfAttention):
    """Attention of the first token, the class token, to itself and all others.

        q       = Wq x[:, :1] + bq                           (N, heads, 1, C // heads)
        k, v    = Wk x + bk, Wv x + bv                       (N, heads, T, C // heads) each
        a       = softmax(q k^T / sqrt(C // heads))          (N, heads, 1, T)
        y       = Wp concat_heads(a v) + bp                  (N, 1, C)

    Reference:
        Touvron et al., "Going deeper with image transformers", ICCV 2021, Eqs. 5-6.

    Args:
        heads: Number of heads; divides `C`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, T, C)`. Output shape: `(N, 1, C)`.

    Raises:
        Mistake: If inputs are not `(N, T, C)` with a known C, or `heads` is not a positive integer
            that divides it.

    Example:

    >>> tokens = keras.Input((197, 192))
    >>> kr.layers.ClassAttention(heads=4)(tokens).shape
    (None, 1, 192)
    """

    def build(self, input_shape):
        """Makes the dense layers for the channels of `input_shape`."""
        check_rank(self, input_shape, 3, "tokens of shape (N, T, C)")
        channels = input_shape[-1]
        check_heads(self.heads, channels)
        self.query, self.key, self.value, self.projection = (
            self._dense(channels, channels, name)
            for name in ("query", "key", "value", "projection")
        )

    def call(self, inputs):
        """Returns what the class token reads."""
        parts = self.query(inputs[:, :1]), self.key(inputs), self.value(inputs)
        return self.projection(self.attend(*(split_heads(part, self.heads) for part in parts)))

    def compute_output_shape(self, input_shape):
        """Returns `(N, 1, C)`."""
        return (input_shape[0], 1, input_shape[2])
