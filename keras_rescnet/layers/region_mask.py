"""A mask over the regions of a map."""

import keras
from keras import ops

from keras_rescnet.arguments import check_number
from keras_rescnet.layers.images import as_floats, check_images, statistics_dtype
from keras_rescnet.mistake import Mistake


@keras.saving.register_keras_serializable(package="keras_rescnet")
class RegionMask(keras.layers.Layer):
    """Region mask: one learned factor in [0, 1] for every place of the last map.

        M    = sigmoid(m)                                    (H, W, 1)
        y    = x M                                           (N, H, W, C)
        loss = regularization mean(M)                        added to that of the training

    It stands between the last map and its global average. `M` is the same for all images and
    channels, and starts from sigmoid(2) = 0.88. The loss draws it to 0 where no class needs the
    region.

    The mask is that of the reference, of which a summary was available, not the whole text. The
    regularizer is this package's own and inspired by it: the summary says that the mask is kept
    sparse and that regions which are important to several classes count less, not by what formula.

    Reference:
        Zhang et al., "Less yet robust", on the selection of crucial regions, arXiv 2409.14741.

    Args:
        regularization: Factor of the mean of the mask in the loss, at least 0. Defaults to 1e-3.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)`, channels last, with known H, W and C. Output shape: the same.

    Raises:
        Mistake: If `regularization` is not a number of at least 0, images are not `(N, H, W, C)`
            with known H, W and C, or Keras is set to channels first.

    Example:

    >>> layer = kr.layers.RegionMask(regularization=0.1)
    >>> y = layer(np.ones((1, 2, 2, 3), "float32"), training=True)
    >>> round(float(y[0, 0, 0, 0]), 4), round(float(layer.losses[0]), 4)
    (0.8808, 0.0881)
    """

    def __init__(self, regularization: float = 1e-3, **kwargs):
        super().__init__(**kwargs)
        check_number("regularization", regularization, 0)
        self.regularization = float(regularization)

    def build(self, input_shape):
        """Makes the mask of a map."""
        check_images(self, input_shape, 1)
        if None in input_shape[1:3]:
            raise Mistake(
                "RegionMask expects maps of shape (N, H, W, C) with known H and W. "
                f"Received: input_shape={tuple(input_shape)}."
            )
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))
        self.logits = self.add_weight(
            (*input_shape[1:3], 1),
            initializer=keras.initializers.Constant(2.0),
            dtype=statistics_dtype(self),
            autocast=False,
            name="logits",
        )

    def call(self, inputs, training=False):
        """Returns the map times its mask; adds the loss in training."""
        inputs = as_floats(self, inputs)
        mask = ops.sigmoid(self.logits)
        if training:
            self.add_loss(self.regularization * ops.mean(mask))
        return inputs * ops.cast(mask, inputs.dtype)

    def compute_output_shape(self, input_shape):
        """Returns `input_shape`."""
        return input_shape

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "regularization": self.regularization}
