"""Multi-head self-attention, as vision transformers have it."""

import keras
from keras import ops

from keras_rescnet.arguments import is_integer
from keras_rescnet.initializers import small_normal
from keras_rescnet.layers.arguments import check_rank
from keras_rescnet.layers.dense import Dense
from keras_rescnet.layers.images import statistics_dtype
from keras_rescnet.mistake import Mistake


@keras.saving.register_keras_serializable(package="keras_rescnet")
class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention with one product for queries, keys and values.

        q, k, v = split(Wqkv x + bqkv)                       (..., heads, T, C // heads) each
        a       = softmax(q k^T / sqrt(C // heads))          (..., heads, T, T)
        y       = Wp concat_heads(a v) + bp                  (..., T, C)

    The mathematics is that of `keras.layers.MultiHeadAttention(heads, C // heads)(x, x)`, which
    multiplies three times, and whose weights are laid out unlike the reference's. Kernels start
    as N(0, 0.02^2), biases as 0. The softmax is computed in float32 under every dtype policy.

    Reference:
        Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021.

    Args:
        heads: Number of heads; divides `C`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(..., T, C)`. Output shape: the same.

    Raises:
        Mistake: If C is not known, or `heads` is not a positive integer that divides it.

    Example:

    >>> tokens = keras.Input((197, 192))
    >>> kr.layers.SelfAttention(heads=3)(tokens).shape
    (None, 197, 192)
    """

    def __init__(self, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.heads = int(heads) if is_integer(heads) else heads  # `build` checks it

    def build(self, input_shape):
        """Makes the two dense layers for the channels of `input_shape`."""
        check_rank(self, input_shape, None, "tokens of shape (..., T, C)")
        channels = input_shape[-1]
        check_heads(self.heads, channels)
        self.qkv = self._dense(3 * channels, channels, "qkv")
        self.projection = self._dense(channels, channels, "projection")

    def _dense(self, units, fan_in, name, dtype=None):
        dense = Dense(
            units, kernel_initializer=small_normal(), dtype=dtype or self.dtype_policy, name=name
        )
        dense.build((None, fan_in))
        return dense

    def call(self, inputs):
        """Returns what every token reads from the tokens of its sequence."""
        qkv = split_heads(self.qkv(inputs), 3 * self.heads)
        query, key, value = ops.split(qkv, 3, axis=-2)
        return self.projection(self.attend(query, key, value))

    def attend(self, query, key, value):
        """Returns what queries `(..., T, heads, D)` read from S keys and values, `(..., T, C)`."""
        query = query * query.shape[-1] ** -0.5
        scores = ops.einsum("...qhd,...khd->...hqk", query, key)
        weights = self.attention_weights(ops.cast(scores, statistics_dtype(self)))
        mixed = ops.einsum("...hqk,...khd->...qhd", ops.cast(weights, value.dtype), value)
        return ops.reshape(mixed, (*ops.shape(mixed)[:-2], mixed.shape[-2] * mixed.shape[-1]))

    def attention_weights(self, scores):
        """Returns the weights `(..., heads, T, S)` that sum to 1 over the keys."""
        if scores.shape[-1] == 1:  # always 1, and `softmax` would warn
            return ops.exp(ops.log_softmax(scores, axis=-1))
        return softmax(scores, axis=-1)

    def compute_output_shape(self, input_shape):
        """Returns `input_shape`, for which Keras would else trace `call`."""
        return input_shape

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "heads": self.heads}


def softmax(scores, axis):
    """Returns `ops.softmax` over one of the last two axes."""
    shape = ops.shape(scores)
    if len(shape) <= 4:
        return ops.softmax(scores, axis=axis)
    # On a CPU TensorFlow's softmax takes five axes, that of a `vectorized_map` among them
    flat = ops.reshape(scores, (-1, *shape[-2:]))
    return ops.reshape(ops.softmax(flat, axis=axis), shape)


def split_heads(x, heads):
    """Returns `(..., T, C)` as `(..., T, heads, C // heads)`."""
    return ops.reshape(x, (*ops.shape(x)[:-1], heads, x.shape[-1] // heads))


def check_heads(heads, width):
    """Raises a `Mistake` unless `heads` is a positive integer that divides `width`."""
    if not is_integer(heads) or heads < 1 or width % heads:
        raise Mistake(
            "`heads` must be a positive integer that divides the width. "
            f"Received: heads={heads!r}, width={width}."
        )
