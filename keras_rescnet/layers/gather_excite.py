"""Gather and excite."""

import math

import keras
from keras import ops

from keras_rescnet.arguments import check_integer
from keras_rescnet.initializers import fan_in_uniform
from keras_rescnet.layers.calibration_layer import CalibrationLayer
from keras_rescnet.layers.images import check_images, statistics_dtype
from keras_rescnet.mistake import Mistake


@keras.saving.register_keras_serializable(package="keras_rescnet")
class GatherExcite(CalibrationLayer):
    """Gather-excite: gates of a channel, each from a neighbourhood of the channel alone.

        z = gather(x)                          (N, ceil(H / extent), ceil(W / extent), C)
        y = x sigmoid(repeat(z))                             (N, H, W, C)

    where `repeat` is the nearest neighbour. Without weights (the paper's GE-theta-minus) `gather`
    averages the `2 extent - 1` rows and columns about every `extent`-th place, those there are;
    with weights (GE-theta) it is a chain of depthwise 3x3 convolutions of stride 2 with batch
    normalization, and ReLU between them. `extent=None` has one gate per channel: `gather` is the
    average, or a depthwise convolution of the size of the map and a batch normalization. The gates
    are computed in float32 under every dtype policy (float64 under float64).

    Reference:
        Hu et al., "Gather-excite: Exploiting feature context in convolutional neural networks",
        NeurIPS 2018.

    Args:
        extent: Places that share a gate along each side, with weights a power of 2 and above 1.
            Defaults to `None`, all of the map.
        weighted: Whether `gather` has weights. Defaults to `False`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)`, channels last; `N`, `H` and `W` may be unknown, but not `H` and `W`
    with weights and no `extent`. Output shape: the same.

    Raises:
        Mistake: If `extent` is not a positive integer, or with weights not a power of 2 above 1,
            images are not `(N, H, W, C)` with a known C (and known H and W for weights without an
            `extent`), or Keras is set to channels first.

    Example:

    >>> x = np.ones((1, 4, 4, 2), "float32")
    >>> float(kr.layers.GatherExcite()(x)[0, 0, 0, 0])  # sigmoid(1)
    0.731...
    >>> layer = kr.layers.GatherExcite(extent=4, weighted=True)
    >>> layer(keras.Input((None, None, 64))).shape
    (None, None, None, 64)
    """

    def __init__(self, extent: int | None = None, weighted: bool = False, **kwargs):
        super().__init__(**kwargs)
        if extent is not None:
            check_integer("extent", extent, 1)
            if weighted and (extent == 1 or extent & (extent - 1)):
                raise Mistake(
                    "`extent` must be a power of 2 and above 1 with weights, which halve the map. "
                    f"Received: extent={extent}, weighted=True."
                )
        self.extent = extent and int(extent)
        self.weighted = weighted

    def build(self, input_shape):
        """Makes the convolutions and their normalizations, if there are any."""
        check_images(self, input_shape, 1)
        self.convolutions: list[keras.layers.Layer] = []
        self.normalizations: list[keras.layers.Layer] = []
        if not self.weighted:
            return
        size, count = (3, 3), 1
        if self.extent is not None:
            count = int(math.log2(self.extent))
        elif None in input_shape[1:3]:
            raise Mistake(
                "GatherExcite with weights and no extent expects maps of a known size. "
                f"Received: input_shape={tuple(input_shape)}."
            )
        else:
            size = tuple(input_shape[1:3])
        for number in range(1, count + 1):
            convolution = keras.layers.DepthwiseConv2D(
                size,
                strides=1 if self.extent is None else 2,
                use_bias=False,
                dtype=statistics_dtype(self),
                name=f"convolution_{number}",
                depthwise_initializer=fan_in_uniform(math.prod(size))["kernel_initializer"],
            )
            convolution.build((None, *size, input_shape[-1]))
            self.convolutions.append(convolution)
            name = f"normalization_{number}"
            self.normalizations.append(self._normalization(input_shape[-1], name=name))

    def call(self, inputs, training=None):
        """Returns `inputs` with every response scaled by its gate."""
        x = ops.cast(inputs, statistics_dtype(self))
        if not self.weighted:
            x = self._average(inputs) if self.extent is None else _neighbourhoods(x, self.extent)
        for number, convolution in enumerate(self.convolutions):
            if number:
                x = ops.relu(x)
            if self.extent is not None:  # "same" would pad (0, 1)
                x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            x = self.normalizations[number](convolution(x), training=training)
        gate = ops.sigmoid(x)
        if self.extent is not None:
            gate = _repeated(_repeated(gate, ops.shape(inputs)[1], 1), ops.shape(inputs)[2], 2)
        return self._scaled(inputs, gate)

    def multiplications(self, input_shape):
        """Returns the multiply-accumulates for one image."""
        height, width, channels = input_shape[1:]
        if self.extent is None:
            return height * width * channels * len(self.convolutions)
        total = 0
        for _ in self.convolutions:
            height, width = -(-height // 2), -(-width // 2)
            total += 9 * height * width * channels
        return total

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "extent": self.extent, "weighted": self.weighted}


def _neighbourhoods(x, extent):
    """Returns the averages of the places within `extent - 1` of every `extent`-th."""
    width = extent - 1
    padding = ((0, 0), (width, width), (width, width), (0, 0))
    sums, counts = (
        ops.average_pool(ops.pad(tensor, padding), 2 * extent - 1, extent)
        for tensor in (x, ops.ones_like(x[:1, :, :, :1]))
    )
    return sums / counts


def _repeated(x, length, axis):
    """Returns the nearest of the places of an axis for each of `length` places."""
    return ops.take(x, ops.arange(length) * ops.shape(x)[axis] // length, axis=axis)
