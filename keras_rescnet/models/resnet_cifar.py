"""ResNet, SENet and ResCNet for the 32 x 32 pixels of CIFAR (Tables 1, 3 and 5)."""

from functools import partial

from keras.initializers import RandomNormal, VarianceScaling

from keras_rescnet.initializers import without_drawing
from keras_rescnet.layers import RCLayer, SqueezeExcite
from keras_rescnet.models.residual_blocks import bottleneck_block
from keras_rescnet.models.resnet import HE_FAN_OUT, RC_OF_16_UNITS, ResNet, ResNet50
from keras_rescnet.models.variant import variant

with without_drawing():
    _HE_FAN_IN = VarianceScaling(2.0, "fan_in", "untruncated_normal")
    # Of every dense weight in their reference of ResCNet: mean 0 and deviation 1 at first.
    _SMALL = RandomNormal(stddev=0.01)

# Three stages of basic blocks.

_small_resnet = partial(
    variant,
    ResNet,
    widths=(16, 32, 64),
    small_images=True,
    kernel_initializer=_HE_FAN_IN,
    input_shape=(32, 32, 3),
    classes=10,
)


@_small_resnet((1, 1, 1), name="cifar_resnet8")
def CifarResNet8():
    """ResNet-8 for CIFAR: 3 basic blocks of 16, 32 and 64 filters."""


@_small_resnet((5, 5, 5), name="cifar_resnet32")
def CifarResNet32():
    """ResNet-32 for CIFAR: 15 basic blocks of 16, 32 and 64 filters."""


@_small_resnet((9, 9, 9), name="cifar_resnet56")
def CifarResNet56():
    """ResNet-56 for CIFAR: 27 basic blocks of 16, 32 and 64 filters."""


_narrow_se = partial(SqueezeExcite, reduction=4)


@variant(CifarResNet32, calibration=_narrow_se, name="cifar_senet32")
def CifarSENet32():
    """SENet-32 for CIFAR: ResNet-32 with squeeze and excitation, `reduction=4`."""


@variant(CifarResNet56, calibration=_narrow_se, name="cifar_senet56")
def CifarSENet56():
    """SENet-56 for CIFAR: ResNet-56 with squeeze and excitation, `reduction=4`."""


_narrow_rc = partial(RCLayer, reduction=4, kernel_initializer=_SMALL, bias_initializer="zeros")


@variant(CifarResNet32, calibration=_narrow_rc, logits_initializer=_SMALL, name="cifar_rescnet32")
def CifarResCNet32():
    """ResCNet-32 for CIFAR: ResNet-32 with an RC Layer, `reduction=4`, in every block."""


@variant(CifarResNet56, calibration=_narrow_rc, logits_initializer=_SMALL, name="cifar_rescnet56")
def CifarResCNet56():
    """ResCNet-56 for CIFAR: ResNet-56 with an RC Layer, `reduction=4`, in every block."""


# Four stages of bottlenecks.


@variant(
    ResNet50,
    small_images=True,
    kernel_initializer=None,
    input_shape=(32, 32, 3),
    classes=10,
    name="cifar_resnet50",
)
def CifarResNet50():
    """ResNet-50 for CIFAR: the bottlenecks of ImageNet's behind a 3x3 stem."""


# The reference's SENet-50 is not ResNet-50 with SE: it has biases, and a ReLU before the scaling.
@variant(
    CifarResNet50,
    block=partial(bottleneck_block, activate_branch=True),
    calibration=partial(SqueezeExcite, use_bias=True),
    use_bias=True,
    name="cifar_senet50",
)
def CifarSENet50():
    """SENet-50 for CIFAR, as in the reference: with biases, activated before the excitation."""


@variant(CifarResNet50, calibration=RCLayer, name="cifar_rescnet50")
def CifarResCNet50():
    """ResCNet-50 for CIFAR: ResNet-50 with an RC Layer in every block."""


# With ResNet-D's shortcut and a last stage that does not shrink (Table 3).


@variant(
    CifarResNet50,
    block=partial(bottleneck_block, pooled_shortcut=True),
    strides=(1, 2, 2, 1),
    kernel_initializer=HE_FAN_OUT,
    name="cifar_resnet50d",
)
def CifarResNet50D():
    """ResNet-50-D for CIFAR: shortcuts that average, and a last stage of 8 x 8 pixels."""


@variant(CifarResNet50D, calibration=RCLayer, name="cifar_rescnet50d")
def CifarResCNet50D():
    """ResCNet-50-D for CIFAR: ResNet-50-D with an RC Layer in every block."""


@variant(CifarResNet50D, calibration=RC_OF_16_UNITS, name="cifar_rescnet50dv2")
def CifarResCNet50DV2():
    """ResCNet-50-D for CIFAR with RC Layers of 16 hidden units in every stage."""
