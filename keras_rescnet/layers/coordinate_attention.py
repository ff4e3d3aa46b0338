"""Coordinate attention."""

import keras
from keras import ops

from keras_rescnet.arguments import check_integer
from keras_rescnet.layers.calibration_layer import CalibrationLayer
from keras_rescnet.layers.images import as_floats, check_images


@keras.saving.register_keras_serializable(package="keras_rescnet")
class CoordinateAttention(CalibrationLayer):
    """Coordinate attention: a gate per channel and row, and one per channel and column.

        p, q = mean_w x, mean_h x                            (N, H, C), (N, W, C)
        h    = f(normalization(W0 [p; q] + b0))              (N, H + W, max(C // reduction, 8))
        a, b = sigmoid(W1 h[:H] + b1), sigmoid(W2 h[H:] + b2)
        y    = x a b                                         (N, H, W, C)

    where `normalization` is a batch normalization and `f` is hard SiLU. The gates are computed in
    float32 under every dtype policy (float64 under float64). The gradient of `x a b` is written
    out: backpropagation keeps the three factors.

    Reference:
        Hou et al., "Coordinate attention for efficient mobile network design", CVPR 2021;
        `coordatt.py` of github.com/Andrew-Qibin/CoordAttention.

    Args:
        reduction: Channels per hidden unit, of which there are 8 at least. Defaults to 32.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)`, channels last; `N`, `H` and `W` may be unknown. Output shape: the
    same.

    Raises:
        Mistake: If `reduction` is not a positive integer, images are not `(N, H, W, C)` with a
            known C, or Keras is set to channels first.

    Example:

    >>> layer = kr.layers.CoordinateAttention()
    >>> layer(keras.Input((None, None, 64))).shape
    (None, None, None, 64)
    >>> layer.hidden.count_params()  # 64 x 8 + 8
    520
    """

    def __init__(self, reduction: int = 32, **kwargs):
        super().__init__(**kwargs)
        check_integer("reduction", reduction, 1)
        self.reduction = int(reduction)

    def build(self, input_shape):
        """Makes the dense layers and the normalization."""
        check_images(self, input_shape, 1)
        channels = input_shape[-1]
        units = max(channels // self.reduction, 8)
        self.hidden = self._dense(units, channels, "hidden", use_bias=True)
        self.normalization = self._normalization(units)
        self.rows = self._dense(channels, units, "rows", "sigmoid", use_bias=True)
        self.columns = self._dense(channels, units, "columns", "sigmoid", use_bias=True)

    def call(self, inputs, training=None):
        """Returns `inputs` scaled by both gates."""
        inputs = as_floats(self, inputs)
        height = ops.shape(inputs)[1]
        wide = ops.cast(inputs, self.hidden.compute_dtype)
        rows = ops.mean(wide, axis=2, keepdims=True)
        columns = ops.transpose(ops.mean(wide, axis=1, keepdims=True), (0, 2, 1, 3))
        hidden = self.hidden(ops.concatenate([rows, columns], axis=1))
        hidden = keras.activations.hard_silu(self.normalization(hidden, training=training))
        by_row = self.rows(hidden[:, :height])
        by_column = ops.transpose(self.columns(hidden[:, height:]), (0, 2, 1, 3))
        return _product(inputs, by_row, by_column)

    def multiplications(self, input_shape):
        """Returns the multiply-accumulates for one image."""
        height, width, channels = input_shape[1:]
        return 2 * (height + width) * channels * self.hidden.units

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "reduction": self.reduction}


@ops.custom_gradient
def _product(x, rows, columns):
    """`x rows columns`, in the dtype of `x`; keeps its three arguments, not `x rows`."""

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        by_x = ops.cast(rows, x.dtype) * ops.cast(columns, x.dtype) * upstream
        by_both = ops.cast(x, rows.dtype) * ops.cast(upstream, rows.dtype)
        by_rows = ops.sum(by_both * columns, axis=2, keepdims=True)
        return by_x, by_rows, ops.sum(by_both * rows, axis=1, keepdims=True)

    return x * ops.cast(rows, x.dtype) * ops.cast(columns, x.dtype), gradient
