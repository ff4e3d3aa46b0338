"""Residual networks that normalize and activate before each convolution, for CIFAR.

All are `PreActivationResNet`; what tells them apart is in the lines above their names.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
from keras import layers

from keras_rescnet.arguments import check_integer, check_integers
from keras_rescnet.layers import BatchNormalization
from keras_rescnet.mistake import Mistake
from keras_rescnet.models.blocks import (
    Activation,
    Calibration,
    activated,
    calibrated,
    convolution,
    image_input,
    linear_rates,
    logits,
    made_layer,
)
from keras_rescnet.models.residual_blocks import per_stage, shortcut
from keras_rescnet.models.resnet import HE_FAN_OUT
from keras_rescnet.models.variant import variant


def PreActivationResNet(
    depths: Sequence[int],
    *,
    bottleneck: bool = False,
    widths: Sequence[int] = (16, 32, 64),
    calibration: Calibration | Sequence[Calibration | None] | None = None,
    activation: Activation = "relu",
    normalization: Callable[..., keras.layers.Layer] = BatchNormalization,
    drop_path: float = 0.0,
    kernel_initializer: keras.initializers.Initializer | str | None = HE_FAN_OUT,
    logits_initializer: keras.initializers.Initializer | str | None = None,
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "preactivation_resnet",
) -> keras.Model:
    """Builds a residual network of pre-activation blocks that maps small images to logits.

    With `f` a normalization and the activation, a block is

        y = shortcut + drop_path(calibration(conv(f( ... conv(f(x))))))

    where `shortcut` is `x`, or a strided 1x1 convolution of `f(x)` where shapes change. A 3x3
    convolution of 16 filters leads to the first block, `f` follows the last. The names of layers
    are addresses: `stem_conv`, `stage3_block1_2_bn` (before `stage3_block1_2_conv`),
    `stage3_block1_calibration`, `stage3_block1_out` (a block's output), `head_bn`, `logits`.

    Reference:
        He et al., "Identity mappings in deep residual networks", ECCV 2016; Zagoruyko and
        Komodakis, "Wide residual networks", BMVC 2016. The networks of CMPE-SE
        (github.com/scut-aitcm/CompetitiveSENet) also normalize the images and, in the wide ones,
        what leaves the stem, which adds 32 parameters.

    Args:
        depths: Number of blocks in each stage.
        bottleneck: Whether a block is a 1x1, a 3x3 and a 1x1 convolution, which widens images by 4,
            or two 3x3 convolutions. Defaults to `False`.
        widths: Filters of the 3x3 convolutions in each stage. Defaults to `(16, 32, 64)`.
        calibration: `None`, or what makes the layer that ends every residual branch, called with a
            `name`: `RCLayer`, `partial(SqueezeExcite, reduction=8)`, ... A list or tuple has one
            such entry per stage. Defaults to `None`.
        activation: A Keras activation: `"relu"`, `kr.gclu`, ... Defaults to `"relu"`.
        normalization: What makes the layer before every activation, called with a `name`. Defaults
            to `BatchNormalization`.
        drop_path: Rate at which the last block's branch is dropped from an image in training
            (stochastic depth); it grows linearly from 0 in the first block. Defaults to 0.
        kernel_initializer: Of the convolutions; `None` is PyTorch's default. Defaults to a normal
            distribution of variance `2 / fan_out`.
        logits_initializer: Of the last kernel, with zero biases; `None` is PyTorch's default for
            both. Defaults to `None`.
        input_shape: Height, width and channels of the images; height and width may be `None`.
            Defaults to `(32, 32, 3)`.
        classes: Number of logits. Defaults to 10.
        name: Name of the model. Defaults to `"preactivation_resnet"`.

    Returns:
        A `keras.Model` from float images `(N, H, W, C)` to float32 logits `(N, classes)`.

    Raises:
        Mistake: If a stage lacks its entry, or an argument does not fit the images.

    Example:

    >>> model = kr.models.PreActivationResNet(
    ...     (1, 1), widths=(16, 32), calibration=kr.layers.PairViewSqueezeExcite
    ... )
    >>> model.get_layer("stage2_block1_out").output.shape
    (None, 16, 16, 32)
    """
    check_integers("depths", depths)
    calibrations = per_stage(depths, calibration, widths=widths)
    conv = partial(convolution, kernel_initializer=kernel_initializer)

    def active(x, name):
        x = made_layer("normalization", normalization, f"{name}_bn")(x)
        return activated(x, activation, f"{name}_activation")

    def block(x, width, strides, calibration, drop_path, name):
        sizes = ((width, 1), (width, 3), (4 * width, 1)) if bottleneck else ((width, 3),) * 2
        y = first = active(x, f"{name}_1")
        for number, (filters, kernel_size) in enumerate(sizes, start=1):
            if number > 1:
                y = active(y, f"{name}_{number}")
            strided = number == (2 if bottleneck else 1)
            y = conv(y, filters, kernel_size, strides if strided else 1, name=f"{name}_{number}")
        if x.shape[-1] != y.shape[-1] or strides != 1:
            x = shortcut(first, y.shape[-1], conv, strides, name)
        y = calibrated(y, calibration, name, identity=lambda: x)
        if drop_path:
            y = layers.Dropout(drop_path, (None, 1, 1, 1), name=f"{name}_drop_path")(y)
        return layers.Add(name=f"{name}_out")([x, y])

    x = inputs = image_input(input_shape)
    x = conv(x, 16, 3, name="stem")
    rates = iter(linear_rates(drop_path, sum(depths)))
    for stage, depth in enumerate(depths):
        for number in range(depth):
            strides = 2 if stage and number == 0 else 1
            unit = f"stage{stage + 1}_block{number + 1}"
            x = block(x, widths[stage], strides, calibrations[stage], next(rates), unit)
    x = layers.GlobalAveragePooling2D(name="pool")(active(x, "head"))
    return keras.Model(inputs, logits(x, classes, logits_initializer), name=name)


@variant(PreActivationResNet, (18, 18, 18), bottleneck=True, name="cifar_resnet164")
def CifarResNet164():
    """ResNet-164 for CIFAR: 54 pre-activation bottlenecks of 16, 32 and 64 filters."""


def CifarWideResNet(depth: int, widening: int, **options: Any) -> keras.Model:
    """Builds a wide residual network, WRN-depth-widening, for CIFAR.

    Reference:
        Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016, without dropout.

    Args:
        depth: Number of convolutions, `6 n + 4`: three stages of `n` blocks of two.
        widening: Factor of the filters 16, 32 and 64.
        **options: Arguments of `PreActivationResNet`, such as `calibration` and `classes`.

    Returns:
        A `keras.Model` from float images `(N, H, W, C)` to float32 logits `(N, classes)`.

    Raises:
        Mistake: If there is no such depth.

    Example:

    >>> model = kr.models.CifarWideResNet(10, 2, classes=100)
    >>> model.name, model.get_layer("stage3_block1_out").output.shape
    ('cifar_wide_resnet10_2', (None, 8, 8, 128))
    """
    depths, sizes = _wide(depth, widening)
    return PreActivationResNet(depths, **{**sizes, **options})


def _wide(depth, widening):
    """Returns the depths, and widths and name as keyword arguments."""
    check_integer("depth", depth, 1)
    check_integer("widening", widening, 1)
    if depth < 10 or depth % 6 != 4:
        raise Mistake(
            "`depth` must be 6 n + 4 of a wide residual network: 10, 16, 22, 28, 40, ... "
            f"Received: depth={depth}."
        )
    widths = (16 * widening, 32 * widening, 64 * widening)
    name = f"cifar_wide_resnet{depth}_{widening}"
    return ((depth - 4) // 6,) * 3, {"widths": widths, "name": name}


def _wide_variant(depth, widening):
    depths, changes = _wide(depth, widening)
    return variant(PreActivationResNet, depths, **changes)


@_wide_variant(28, 10)
def CifarWideResNet28x10():
    """WRN-28-10 for CIFAR: 12 pre-activation blocks of 160, 320 and 640 filters."""


@_wide_variant(22, 10)
def CifarWideResNet22x10():
    """WRN-22-10 for CIFAR: 9 pre-activation blocks of 160, 320 and 640 filters."""


@_wide_variant(16, 8)
def CifarWideResNet16x8():
    """WRN-16-8 for CIFAR: 6 pre-activation blocks of 128, 256 and 512 filters."""
