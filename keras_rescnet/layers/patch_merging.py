"""Patch merging."""

import keras
from keras import ops

from keras_rescnet.arguments import check_positive
from keras_rescnet.initializers import small_normal
from keras_rescnet.layers.arguments import check_rank
from keras_rescnet.layers.dense import Dense
from keras_rescnet.layers.images import as_floats, check_channels_last
from keras_rescnet.mistake import Mistake


@keras.saving.register_keras_serializable(package="keras_rescnet")
class PatchMerging(keras.layers.Layer):
    """Halves a map and doubles its channels: four neighbours become one place.

        u = concat(x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2])   (N, H/2, W/2, 4C)
        y = W layer_norm(u)                                                      (N, H/2, W/2, 2C)

    The kernel starts as N(0, 0.02^2).

    Reference:
        Liu et al., "Swin Transformer", ICCV 2021, Section 3.1.

    Args:
        epsilon: Of the layer normalization. Defaults to 1e-5.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)` with even `H` and `W`. Output shape: `(N, H / 2, W / 2, 2 C)`.

    Raises:
        Mistake: If `epsilon` is not a positive number, inputs are not `(N, H, W, C)` with a known
            C, H or W is odd, or Keras is set to channels first.

    Example:

    >>> images = keras.Input((56, 56, 96))
    >>> kr.layers.PatchMerging()(images).shape
    (None, 28, 28, 192)
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        check_positive("epsilon", epsilon)
        self.epsilon = float(epsilon)

    def build(self, input_shape):
        """Makes the normalization and the dense layer for the channels of `input_shape`."""
        check_channels_last("PatchMerging")
        if len(input_shape) != 4 or any(size is not None and size % 2 for size in input_shape[1:3]):
            raise Mistake(
                "PatchMerging expects maps of shape (N, H, W, C) with even H and W. "
                f"Received: input_shape={tuple(input_shape)}."
            )
        check_rank(self, input_shape, 4, "maps of shape (N, H, W, C)")
        channels = input_shape[-1]
        self.norm = keras.layers.LayerNormalization(
            epsilon=self.epsilon, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build((None, 4 * channels))
        self.reduction = Dense(
            2 * channels,
            use_bias=False,
            kernel_initializer=small_normal(),
            dtype=self.dtype_policy,
            name="reduction",
        )
        self.reduction.build((None, 4 * channels))

    def call(self, inputs):
        """Returns the merged map."""
        inputs = as_floats(self, inputs)
        corners = [inputs[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return self.reduction(self.norm(ops.concatenate(corners, axis=-1)))

    def compute_output_shape(self, input_shape):
        """Returns `(N, H / 2, W / 2, 2 C)`."""
        batch, height, width, channels = input_shape
        return (batch, height and height // 2, width and width // 2, 2 * channels)

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "epsilon": self.epsilon}
