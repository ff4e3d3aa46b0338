"""ResNet, SENet and ResCNet, for ImageNet and for CIFAR.

All are `ResNet`; what tells them apart is in the partials at the end.
"""

from functools import partial

import keras
from keras import layers, ops
from keras.initializers import RandomNormal, VarianceScaling

from keras_rescnet.layers import RCLayer, SqueezeExcite
from keras_rescnet.mistake import Mistake
from keras_rescnet.models.blocks import calibrated, conv_bn, image_input, linear_rates, logits

HE_FAN_IN = VarianceScaling(2.0, "fan_in", "untruncated_normal")
HE_FAN_OUT = VarianceScaling(2.0, "fan_out", "untruncated_normal")


def ResNet(
    depths,
    *,
    bottleneck=False,
    widths=(64, 128, 256, 512),
    strides=None,
    small_images=False,
    pooled_shortcut=False,
    calibration=None,
    activation="relu",
    activate_before_calibration=False,
    use_bias=False,
    drop_path=0.0,
    kernel_initializer=HE_FAN_OUT,
    logits_initializer=None,
    input_shape=(224, 224, 3),
    classes=1000,
    name="resnet",
):
    """Builds a residual network that maps images to logits.

    The names of its layers are addresses: `stem_conv`, `stage3_block1_2_bn`,
    `stage3_block1_calibration`, `stage3_block1_out` (a block's output), `pool`, `logits`.

    Reference:
        He et al., "Deep residual learning for image recognition", CVPR 2016, with the stride
        on the 3x3 convolution of a bottleneck, as in torchvision.

    Args:
        depths: Number of blocks in each stage.
        bottleneck: Whether blocks are 1x1-3x3-1x1, widening by 4, or 3x3-3x3.
        widths: Filters of the 3x3 convolutions in each stage.
        strides: Stride of each stage. Defaults to `None`: 1 in the first, 2 in the others.
        small_images: Whether the stem is a 3x3 convolution at full resolution (CIFAR) or a 7x7
            at half resolution followed by max pooling (ImageNet).
        pooled_shortcut: Whether a shortcut that shrinks averages before its 1x1 convolution
            (ResNet-D) or strides in it.
        calibration: `None`, or what makes the layer that ends every residual branch, called
            with a `name`: `RCLayer`, `partial(SqueezeExcite, reduction=8)`, ... A list or tuple
            has one such entry per stage.
        activation: A Keras activation: `"relu"`, `gclu`, ...
        activate_before_calibration: Whether the branch is activated before its calibration
            too.
        use_bias: Whether convolutions have biases.
        drop_path: Rate at which the last block's branch is dropped from an image in training
            (stochastic depth); it grows linearly from 0 in the first block.
        kernel_initializer: Of the convolutions. Defaults to a normal distribution of variance
            `2 / fan_out`; `None` is PyTorch's default.
        logits_initializer: Of the last kernel, with zero biases. Defaults to `None`, which is
            PyTorch's default for both.
        input_shape: Height, width and channels of the images; height and width may be `None`.
        classes: Number of logits.
        name: Name of the model.

    Returns:
        A `keras.Model` from float images `(N, H, W, C)` to float32 logits `(N, classes)`.

    Raises:
        ValueError: if an entry a stage is missing, or an argument does not fit the images.

    Example:

    >>> model = ResNet((2, 2, 2, 2), calibration=RCLayer, activation=gclu, classes=37)
    """
    if strides is None:
        strides = (1,) + (2,) * (len(depths) - 1)
    if not isinstance(calibration, (list, tuple)):
        calibration = (calibration,) * len(depths)
    stages = {"widths": widths, "strides": strides, "calibration": calibration}
    for argument, value in stages.items():
        if len(value) != len(depths):
            raise Mistake(
                f"`{argument}` must have one entry per stage, as `depths`. "
                f"Received: depths={depths}, {argument}={value}."
            )
    conv = partial(conv_bn, use_bias=use_bias, kernel_initializer=kernel_initializer)
    x = inputs = image_input(input_shape)
    if small_images:
        x = conv(x, widths[0], 3, activation=activation, name="stem")
    else:
        x = conv(x, widths[0], 7, strides=2, activation=activation, name="stem")
        # Not zeros, which would win over the negative values that GCLU and GELU have.
        x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=float("-inf"))
        x = layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    rates = iter(linear_rates(drop_path, sum(depths)))
    stages = zip(depths, widths, strides, calibration, strict=True)
    for stage, (depth, width, stride, calibrate) in enumerate(stages, start=1):
        for block in range(1, depth + 1):
            x = residual_block(
                x,
                width,
                strides=stride if block == 1 else 1,
                bottleneck=bottleneck,
                pooled_shortcut=pooled_shortcut,
                calibration=calibrate,
                activation=activation,
                activate_before_calibration=activate_before_calibration,
                drop_path=next(rates),
                conv=conv,
                name=f"stage{stage}_block{block}",
            )
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, logits(x, classes, logits_initializer), name=name)


def residual_block(
    x,
    width,
    *,
    strides,
    bottleneck,
    pooled_shortcut,
    calibration,
    activation,
    activate_before_calibration,
    drop_path,
    conv,
    name,
):
    """Returns `activation(shortcut(x) + calibration(convolutions(x)))`."""
    filters = 4 * width if bottleneck else width
    last = activation if activate_before_calibration else None
    if bottleneck:
        y = conv(x, width, 1, activation=activation, name=f"{name}_1")
        y = conv(y, width, 3, strides=strides, activation=activation, name=f"{name}_2")
        y = conv(y, filters, 1, activation=last, name=f"{name}_3")
    else:
        y = conv(x, width, 3, strides=strides, activation=activation, name=f"{name}_1")
        y = conv(y, filters, 3, activation=last, name=f"{name}_2")
    y = calibrated(y, calibration, name)
    if drop_path:
        y = layers.Dropout(drop_path, (None, 1, 1, 1), name=f"{name}_drop_path")(y)
    if x.shape[-1] != filters or strides != 1:
        if strides != 1:
            # Of 1x1, it picks pixels: in TensorFlow 2.21 the gradient of a strided 1x1
            # convolution writes beyond its memory on CPUs, and the process dies.
            size = strides if pooled_shortcut else 1
            pool = layers.AveragePooling2D(
                size, strides, padding="same", name=f"{name}_shortcut_pool"
            )
            x = pool(x)
        x = conv(x, filters, 1, name=f"{name}_shortcut")
    y = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation(activation, name=f"{name}_out")(y)


# ImageNet (Table 2).

ResNet18 = partial(ResNet, (2, 2, 2, 2), name="resnet18")
ResNet34 = partial(ResNet, (3, 4, 6, 3), name="resnet34")
ResNet50 = partial(ResNet, (3, 4, 6, 3), bottleneck=True, name="resnet50")
ResNet101 = partial(ResNet, (3, 4, 23, 3), bottleneck=True, name="resnet101")
ResNet152 = partial(ResNet, (3, 8, 36, 3), bottleneck=True, name="resnet152")

SENet18 = partial(ResNet18, calibration=SqueezeExcite, name="senet18")
SENet34 = partial(ResNet34, calibration=SqueezeExcite, name="senet34")
SENet50 = partial(ResNet50, calibration=SqueezeExcite, name="senet50")
SENet101 = partial(ResNet101, calibration=SqueezeExcite, name="senet101")
SENet152 = partial(ResNet152, calibration=SqueezeExcite, name="senet152")

ResCNet18 = partial(ResNet18, calibration=RCLayer, name="rescnet18")
ResCNet34 = partial(ResNet34, calibration=RCLayer, name="rescnet34")
ResCNet50 = partial(ResNet50, calibration=RCLayer, name="rescnet50")
_RC_16_UNITS = [partial(RCLayer, reduction=reduction) for reduction in (16, 32, 64, 128)]
ResCNet101 = partial(ResNet101, calibration=_RC_16_UNITS, name="rescnet101")
ResCNet152 = partial(ResNet152, calibration=_RC_16_UNITS, name="rescnet152")

# CIFAR, three stages of basic blocks (Table 1).

CifarResNet = partial(
    ResNet,
    widths=(16, 32, 64),
    small_images=True,
    kernel_initializer=HE_FAN_IN,
    input_shape=(32, 32, 3),
    classes=10,
)
CifarResNet8 = partial(CifarResNet, (1, 1, 1), name="cifar_resnet8")
CifarResNet32 = partial(CifarResNet, (5, 5, 5), name="cifar_resnet32")
CifarResNet56 = partial(CifarResNet, (9, 9, 9), name="cifar_resnet56")

_narrow_se = partial(SqueezeExcite, reduction=4)
CifarSENet32 = partial(CifarResNet32, calibration=_narrow_se, name="cifar_senet32")
CifarSENet56 = partial(CifarResNet56, calibration=_narrow_se, name="cifar_senet56")

# Their reference draws every dense weight from N(0, 0.01^2): mean 0 and deviation 1 at first.
_SMALL = RandomNormal(stddev=0.01)
_narrow_rc = {
    "calibration": partial(
        RCLayer, reduction=4, kernel_initializer=_SMALL, bias_initializer="zeros"
    ),
    "logits_initializer": _SMALL,
}
CifarResCNet32 = partial(CifarResNet32, **_narrow_rc, name="cifar_rescnet32")
CifarResCNet56 = partial(CifarResNet56, **_narrow_rc, name="cifar_rescnet56")

# CIFAR, four stages of bottlenecks (Table 1).

CifarResNet50 = partial(
    ResNet50,
    small_images=True,
    kernel_initializer=None,
    input_shape=(32, 32, 3),
    classes=10,
    name="cifar_resnet50",
)
# The reference's SENet-50 is not ResNet-50 with SE: it has biases, and a ReLU before the scaling.
CifarSENet50 = partial(
    CifarResNet50,
    calibration=partial(SqueezeExcite, use_bias=True),
    activate_before_calibration=True,
    use_bias=True,
    name="cifar_senet50",
)
CifarResCNet50 = partial(CifarResNet50, calibration=RCLayer, name="cifar_rescnet50")

# CIFAR with ResNet-D's shortcut and a last stage that does not shrink (Table 3).

CifarResNet50D = partial(
    CifarResNet50,
    strides=(1, 2, 2, 1),
    pooled_shortcut=True,
    kernel_initializer=HE_FAN_OUT,
    name="cifar_resnet50d",
)
CifarResCNet50D = partial(CifarResNet50D, calibration=RCLayer, name="cifar_rescnet50d")
CifarResCNet50DV2 = partial(CifarResNet50D, calibration=_RC_16_UNITS, name="cifar_rescnet50dv2")
