"""Recalibration from regions of several sizes, in the style of MS-SAR."""

import keras
from keras import ops

from keras_rescnet.arguments import check_integer, check_integers
from keras_rescnet.layers.calibration_layer import CalibrationLayer
from keras_rescnet.layers.images import check_images, statistics_dtype


@keras.saving.register_keras_serializable(package="keras_rescnet")
class MultiScaleRecalibration(CalibrationLayer):
    """MS-SAR-style recalibration: a gate per response, from the regions it lies in.

        p_s = average of every cell of an s x s grid         (N, s, s, C)
        h   = relu(normalization(sum_s cell_s(W_s p_s)))     (N, H, W, C // reduction)
        y   = x sigmoid(V h)                                 (N, H, W, C)

    where `cell_s` gives every place the value of the cell it lies in and `normalization` is a batch
    normalization. A place is rarely in the middle of its cells: it refers to its surroundings
    unevenly. With one scale of 1 this is squeeze and excitation with a normalization. The gates are
    computed in float32 under every dtype policy (float64 under float64).

    This is not MS-SAR: of that the abstract is known here, that neurons are rescaled by importance
    scores of regions at several scales, and neither its equations nor its code.

    Reference:
        Wang et al., "Multi-scale spatially-asymmetric recalibration for image classification",
        ECCV 2018, for the idea.

    Args:
        reduction: Channels per hidden unit. Defaults to 16.
        scales: Cells along a side of each grid. Defaults to `(1, 2, 4)`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)`, channels last, `C >= reduction`; `N`, `H` and `W` may be
    unknown. Output shape: the same.

    Raises:
        Mistake: If `reduction` is not a positive integer, `scales` is not a tuple of positive
            integers, images are not `(N, H, W, C)` with a known `C >= reduction`, or Keras is set
            to channels first.

    Example:

    >>> layer = kr.layers.MultiScaleRecalibration(scales=(1, 2))
    >>> layer(keras.Input((None, None, 64))).shape
    (None, None, None, 64)
    >>> len(layer.grids)
    2
    """

    def __init__(self, reduction: int = 16, scales: tuple[int, ...] = (1, 2, 4), **kwargs):
        super().__init__(**kwargs)
        check_integer("reduction", reduction, 1)
        check_integers("scales", scales)
        self.reduction = int(reduction)
        self.scales = tuple(map(int, scales))

    def build(self, input_shape):
        """Makes a dense layer per scale, the normalization and the gate."""
        check_images(self, input_shape, self.reduction)
        channels = input_shape[-1]
        units = channels // self.reduction
        self.grids = [self._dense(units, channels, f"grid_{scale}") for scale in self.scales]
        self.normalization = self._normalization(units)
        self.gate = self._dense(channels, units, "gate", "sigmoid")

    def call(self, inputs, training=None):
        """Returns `inputs` with every response scaled by its gate."""
        wide = ops.cast(inputs, statistics_dtype(self))
        height, width = ops.shape(inputs)[1:3]
        total = 0.0
        for scale, dense in zip(self.scales, self.grids, strict=True):
            rows, columns = (_cells(length, scale, wide.dtype) for length in (height, width))
            averages = _average_of_cells(_average_of_cells(wide, rows, 1), columns, 2)
            # ONNX's converter has lost the shape by here
            averages = ops.reshape(averages, (-1, scale, scale, inputs.shape[-1]))
            responses = dense(averages)
            responses = ops.take(responses, rows[0], axis=1)
            total = total + ops.take(responses, columns[0], axis=2)
        hidden = ops.relu(self.normalization(total, training=training))
        return self._scaled(inputs, self.gate(hidden))

    def multiplications(self, input_shape):
        """Returns the multiply-accumulates for one image."""
        height, width, channels = input_shape[1:]
        places = sum(scale**2 for scale in self.scales) + height * width
        return places * channels * self.grids[0].units

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "reduction": self.reduction, "scales": self.scales}


def _cells(length, scale, dtype):
    """Returns the cell of every place along a side, and the weights that average cells."""
    cells = ops.arange(length) * scale // length
    members = ops.one_hot(cells, scale, dtype=dtype)  # (length, scale)
    return cells, members / ops.maximum(ops.sum(members, axis=0), 1.0)


def _average_of_cells(x, cells, axis):
    return ops.moveaxis(ops.tensordot(x, cells[1], axes=[[axis], [0]]), -1, axis)
