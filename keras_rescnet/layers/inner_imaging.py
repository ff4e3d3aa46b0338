"""What the forms of CMPE-SE that convolve over channels have in common."""

import math

import keras
from keras import ops

from keras_rescnet.arguments import check_integer
from keras_rescnet.initializers import fan_in_uniform
from keras_rescnet.layers.calibration_layer import CalibrationLayer
from keras_rescnet.layers.images import check_branches, statistics_dtype


class InnerImaging(CalibrationLayer):
    """Base of layers that look at the averages of both branches as at a picture.

    A subclass gives the size of the kernel and makes the picture, `_picture_size` and `_picture`.
    """

    def __init__(self, kernel_size, reduction, filters, **kwargs):
        super().__init__(**kwargs)
        check_integer("reduction", reduction, 1)
        if filters is not None:
            check_integer("filters", filters, 1)
        self.reduction = int(reduction)
        self.filters = filters and int(filters)
        self._kernel_size = kernel_size

    def build(self, residual_shape, identity_shape):
        """Makes the convolution, its normalization and the dense layers."""
        check_branches(self, residual_shape, identity_shape, self.reduction)
        channels = residual_shape[-1]
        size = self._picture_size(channels)
        filters = self.filters or max(channels // 16, 1)
        self.convolution = keras.layers.Conv2D(
            filters,
            self._kernel_size,
            use_bias=False,
            dtype=statistics_dtype(self),
            name="convolution",
            **fan_in_uniform(math.prod(self._kernel_size)),
        )
        self.convolution.build((None, *size, 1))
        self.normalization = self._normalization(filters)
        seen = [side - kernel + 1 for side, kernel in zip(size, self._kernel_size, strict=True)]
        units = channels // self.reduction
        self.hidden = self._dense(units, math.prod(seen), "hidden", "relu")
        self.gate = self._dense(channels, units, "gate", "sigmoid")

    def call(self, residual, identity, training=None):
        """Returns `residual` with every channel scaled by its gate."""
        channels = residual.shape[-1]
        branches = [ops.reshape(self._average(x), (-1, channels)) for x in (residual, identity)]
        picture = self._picture(ops.stack(branches, axis=-1))
        maps = self.convolution(ops.expand_dims(picture, -1))
        maps = ops.mean(self.normalization(maps, training=training), axis=-1)
        hidden = self.hidden(ops.reshape(maps, (-1, self.hidden.kernel.shape[0])))
        return self._scaled(residual, ops.reshape(self.gate(hidden), (-1, 1, 1, channels)))

    def multiplications(self, input_shape):
        """Returns the multiply-accumulates for one image."""
        dense = math.prod(self.hidden.kernel.shape) + math.prod(self.gate.kernel.shape)
        return dense + self.hidden.kernel.shape[0] * math.prod(self.convolution.kernel.shape)

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "reduction": self.reduction, "filters": self.filters}
