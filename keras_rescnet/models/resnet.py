"""ResNet, SENet and ResCNet, and their sizes for ImageNet; those for CIFAR are in resnet_cifar.py.

All are `ResNet`; what tells them apart is in the lines above their names.
"""

from collections.abc import Callable, Sequence
from functools import partial

import keras
from keras import layers
from keras.initializers import VarianceScaling

from keras_rescnet.arguments import check_integers
from keras_rescnet.initializers import without_drawing
from keras_rescnet.layers import BatchNormalization, RCLayer, SqueezeExcite
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.models.blocks import (
    Activation,
    Calibration,
    conv_bn,
    image_input,
    linear_rates,
    logits,
)
from keras_rescnet.models.residual_blocks import basic_block, bottleneck_block, per_stage
from keras_rescnet.models.stems import deep_stem, plain_stem, small_stem
from keras_rescnet.models.variant import variant

with without_drawing():
    HE_FAN_OUT = VarianceScaling(2.0, "fan_out", "untruncated_normal")


def ResNet(
    depths: Sequence[int],
    *,
    block: Callable[..., keras.KerasTensor] = basic_block,
    widths: Sequence[int] = (64, 128, 256, 512),
    strides: Sequence[int] | None = None,
    small_images: bool = False,
    stem: Callable[..., keras.KerasTensor] | None = None,
    calibration: Calibration | Sequence[Calibration | None] | None = None,
    activation: Activation = "relu",
    normalization: Callable[..., keras.layers.Layer] = BatchNormalization,
    use_bias: bool = False,
    drop_path: float = 0.0,
    kernel_initializer: keras.initializers.Initializer | str | None = HE_FAN_OUT,
    logits_initializer: keras.initializers.Initializer | str | None = None,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    classes: int = 1000,
    name: str = "resnet",
) -> keras.Model:
    """Builds a residual network that maps images to logits.

    The names of its layers are addresses: `stem_conv`, `stage3_block1_2_bn`,
    `stage3_block1_calibration`, `stage3_block1_out` (a block's output), `pool`, `logits`.

    Reference:
        He et al., "Deep residual learning for image recognition", CVPR 2016, with the stride
        on the 3x3 convolution of a bottleneck, as in torchvision.

    Args:
        depths: Number of blocks in each stage.
        block: What adds a block: `kr.models.basic_block`, `kr.models.bottleneck_block`, a
            `functools.partial` of it, or a function of the same arguments. Defaults to
            `basic_block`.
        widths: Filters of the 3x3 convolutions in each stage. Defaults to `(64, 128, 256, 512)`.
        strides: Stride of each stage; `None` is 1 in the first, 2 in the others. Defaults to
            `None`.
        small_images: Whether the stem is a 3x3 convolution at full resolution (CIFAR) or a 7x7 at
            half resolution followed by max pooling (ImageNet). Defaults to `False`.
        stem: What adds another stem: `kr.models.deep_stem`, or a function of the same arguments;
            `None` is that of `small_images`. Defaults to `None`.
        calibration: `None`, or what makes the layer that ends every residual branch, called with a
            `name`: `RCLayer`, `partial(SqueezeExcite, reduction=8)`, ... A list or tuple has one
            such entry per stage. Defaults to `None`.
        activation: A Keras activation: `"relu"`, `kr.gclu`, ... Defaults to `"relu"`.
        normalization: What makes the layer behind every convolution, called with a `name`:
            `BatchNormalization`, `partial(BatchNormalization, synchronized=True)`,
            `keras.layers.GroupNormalization`, ... Defaults to `BatchNormalization`.
        use_bias: Whether convolutions have biases. Defaults to `False`.
        drop_path: Rate at which the last block's branch is dropped from an image in training
            (stochastic depth); it grows linearly from 0 in the first block. Defaults to 0.
        kernel_initializer: Of the convolutions; `None` is PyTorch's default. Defaults to a normal
            distribution of variance `2 / fan_out`.
        logits_initializer: Of the last kernel, with zero biases; `None` is PyTorch's default for
            both. Defaults to `None`.
        input_shape: Height, width and channels of the images; height and width may be `None`.
            Defaults to `(224, 224, 3)`.
        classes: Number of logits. Defaults to 1000.
        name: Name of the model. Defaults to `"resnet"`.

    Returns:
        A `keras.Model` from float images `(N, H, W, C)` to float32 logits `(N, classes)`.

    Raises:
        Mistake: If a stage lacks its entry, or an argument does not fit the images.

    Example:

    >>> model = kr.models.ResNet(
    ...     (1, 1, 1),
    ...     widths=(16, 32, 64),
    ...     small_images=True,
    ...     calibration=kr.layers.RCLayer,
    ...     activation=kr.gclu,
    ...     input_shape=(32, 32, 3),
    ...     classes=37,
    ... )
    >>> model.get_layer("stage3_block1_calibration").output.shape
    (None, 8, 8, 64)
    """
    check_integers("depths", depths)
    if strides is None:
        strides = (1,) + (2,) * (len(depths) - 1)
    calibrations = per_stage(depths, calibration, widths=widths, strides=strides)
    conv = partial(
        conv_bn,
        use_bias=use_bias,
        kernel_initializer=kernel_initializer,
        normalization=normalization,
    )
    x = inputs = image_input(input_shape)
    if stem is None:
        stem = small_stem if small_images else plain_stem
    elif small_images:
        raise Mistake(
            "`small_images` must be False with a `stem` of its own. "
            f"Received: small_images={small_images!r}, stem={shorten(stem)}."
        )
    x = stem(x, widths[0], conv=conv, activation=activation)
    rates = iter(linear_rates(drop_path, sum(depths)))
    for stage, depth in enumerate(depths):
        for number in range(depth):
            x = block(
                x,
                widths[stage],
                conv=conv,
                strides=strides[stage] if number == 0 else 1,
                calibration=calibrations[stage],
                activation=activation,
                drop_path=next(rates),
                name=f"stage{stage + 1}_block{number + 1}",
            )
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, logits(x, classes, logits_initializer), name=name)


@variant(ResNet, (2, 2, 2, 2), name="resnet18")
def ResNet18():
    """ResNet-18 for ImageNet: 8 basic blocks, torchvision's `resnet18`."""


@variant(ResNet, (3, 4, 6, 3), name="resnet34")
def ResNet34():
    """ResNet-34 for ImageNet: 16 basic blocks, torchvision's `resnet34`."""


@variant(ResNet, (3, 4, 6, 3), block=bottleneck_block, name="resnet50")
def ResNet50():
    """ResNet-50 for ImageNet: 16 bottlenecks, torchvision's `resnet50`."""


@variant(ResNet, (3, 4, 23, 3), block=bottleneck_block, name="resnet101")
def ResNet101():
    """ResNet-101 for ImageNet: 33 bottlenecks, torchvision's `resnet101`."""


@variant(ResNet, (3, 8, 36, 3), block=bottleneck_block, name="resnet152")
def ResNet152():
    """ResNet-152 for ImageNet: 50 bottlenecks, torchvision's `resnet152`."""


_pooled_basic = partial(basic_block, pooled_shortcut=True)
_pooled_bottleneck = partial(bottleneck_block, pooled_shortcut=True)


@variant(ResNet18, stem=deep_stem, block=_pooled_basic, name="resnet18d")
def ResNet18D():
    """ResNet-18-D for ImageNet: a deep stem, and shortcuts that average; timm's `resnet18d`."""


@variant(ResNet34, stem=deep_stem, block=_pooled_basic, name="resnet34d")
def ResNet34D():
    """ResNet-34-D for ImageNet: a deep stem, and shortcuts that average; timm's `resnet34d`."""


@variant(ResNet50, stem=deep_stem, block=_pooled_bottleneck, name="resnet50d")
def ResNet50D():
    """ResNet-50-D for ImageNet: a deep stem, and shortcuts that average; timm's `resnet50d`."""


@variant(ResNet18, calibration=SqueezeExcite, name="senet18")
def SENet18():
    """SENet-18 for ImageNet: ResNet-18 with squeeze and excitation."""


@variant(ResNet34, calibration=SqueezeExcite, name="senet34")
def SENet34():
    """SENet-34 for ImageNet: ResNet-34 with squeeze and excitation."""


@variant(ResNet50, calibration=SqueezeExcite, name="senet50")
def SENet50():
    """SENet-50 for ImageNet: ResNet-50 with squeeze and excitation."""


@variant(ResNet101, calibration=SqueezeExcite, name="senet101")
def SENet101():
    """SENet-101 for ImageNet: ResNet-101 with squeeze and excitation."""


@variant(ResNet152, calibration=SqueezeExcite, name="senet152")
def SENet152():
    """SENet-152 for ImageNet: ResNet-152 with squeeze and excitation."""


@variant(ResNet18, calibration=RCLayer, name="rescnet18")
def ResCNet18():
    """ResCNet-18 for ImageNet: ResNet-18 with an RC Layer in every block."""


@variant(ResNet34, calibration=RCLayer, name="rescnet34")
def ResCNet34():
    """ResCNet-34 for ImageNet: ResNet-34 with an RC Layer in every block."""


@variant(ResNet50, calibration=RCLayer, name="rescnet50")
def ResCNet50():
    """ResCNet-50 for ImageNet: ResNet-50 with an RC Layer in every block."""


RC_OF_16_UNITS = tuple(partial(RCLayer, reduction=reduction) for reduction in (16, 32, 64, 128))


@variant(ResNet101, calibration=RC_OF_16_UNITS, name="rescnet101")
def ResCNet101():
    """ResCNet-101 for ImageNet: ResNet-101 with RC Layers of 16 hidden units in every stage."""


@variant(ResNet152, calibration=RC_OF_16_UNITS, name="rescnet152")
def ResCNet152():
    """ResCNet-152 for ImageNet: ResNet-152 with RC Layers of 16 hidden units in every stage."""
