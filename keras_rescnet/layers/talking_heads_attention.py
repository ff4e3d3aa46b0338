"""Talking-heads attention."""

import keras
from keras import ops

from keras_rescnet.layers.images import statistics_dtype
from keras_rescnet.layers.self_attention import SelfAttention, softmax


@keras.saving.register_keras_serializable(package="keras_rescnet")
class TalkingHeadsAttention(SelfAttention):
    """Self-attention whose heads mix their scores before and after the softmax.

        q, k, v = split(Wqkv x + bqkv)                       (N, heads, T, C // heads) each
        a       = mix2(softmax(mix1(q k^T / sqrt(C // heads))))   (N, heads, T, T)
        y       = Wp concat_heads(a v) + bp                  (N, T, C)

    where `mix1` and `mix2` are affine maps of the `heads` numbers of every pair of tokens, in
    float32 as the softmax.

    Reference:
        Shazeer et al., "Talking-heads attention", arXiv 2003.02436, as in Touvron et al.,
        "Going deeper with image transformers", ICCV 2021.

    Args:
        heads: Number of heads; divides `C`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(..., T, C)`. Output shape: the same.

    Raises:
        Mistake: If C is not known, or `heads` is not a positive integer that divides it.

    Example:

    >>> tokens = keras.Input((196, 192))
    >>> kr.layers.TalkingHeadsAttention(heads=4)(tokens).shape
    (None, 196, 192)
    """

    def build(self, input_shape):
        """Makes the dense layers for the channels of `input_shape`."""
        super().build(input_shape)
        dtype = statistics_dtype(self)
        self.mix_scores = self._dense(self.heads, self.heads, "mix_scores", dtype)
        self.mix_weights = self._dense(self.heads, self.heads, "mix_weights", dtype)

    def attention_weights(self, scores):
        """Returns the mixed weights, whose sums over the keys are free."""
        scores = self.mix_scores(ops.moveaxis(scores, -3, -1))  # heads last
        weights = softmax(scores, axis=-2)
        return ops.moveaxis(self.mix_weights(weights), -1, -3)
