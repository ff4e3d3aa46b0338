"""VGG with batch normalization, in the form of the paper's Table 5."""

from collections.abc import Callable, Sequence

import keras
from keras import layers

from keras_rescnet.arguments import check_integer, check_integers
from keras_rescnet.layers import BatchNormalization, PooledDense
from keras_rescnet.mistake import Mistake
from keras_rescnet.models.blocks import (
    Activation,
    Calibration,
    activated,
    calibrated,
    conv_bn,
    fan_in_uniform,
    image_input,
    logits,
)
from keras_rescnet.models.variant import variant


def VGG(
    depths: Sequence[int],
    *,
    widths: Sequence[int] = (64, 128, 256, 512, 512),
    hidden: int = 4096,
    calibration: Calibration | None = None,
    activation: Activation = "relu",
    normalization: Callable[..., keras.layers.Layer] = BatchNormalization,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "vgg",
) -> keras.Model:
    """Builds a VGG network with batch normalization that maps images to logits.

    Stages of 3x3 convolutions, each followed by 2x2 max pooling; then adaptive pooling to
    7 x 7 and three dense layers with dropout. At 224 x 224 and 1000 classes `VGG16` is
    torchvision's `vgg16_bn`.

    Reference:
        Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
        recognition", ICLR 2015; `src/models/cifar100/vgg.py` of github.com/tcmyxc/CV-Tutorial.

    Args:
        depths: Number of convolutions in each stage.
        widths: Filters of the convolutions in each stage. Defaults to `(64, 128, 256, 512, 512)`.
        hidden: Units of the two hidden dense layers. Defaults to 4096.
        calibration: `None`, or what makes the layer between every batch normalization and its
            activation, called with a `name`: `RCLayer`, ... Defaults to `None`.
        activation: A Keras activation: `"relu"`, `kr.gclu`, ... Defaults to `"relu"`.
        normalization: What makes the layer behind every convolution, called with a `name`:
            `BatchNormalization`, `partial(BatchNormalization, synchronized=True)`, ... Defaults to
            `BatchNormalization`.
        input_shape: Height, width and channels of the images. Defaults to `(32, 32, 3)`.
        classes: Number of logits. Defaults to 10.
        name: Name of the model. Defaults to `"vgg"`.

    Returns:
        A `keras.Model` from float images `(N, H, W, C)` to float32 logits `(N, classes)`.

    Raises:
        Mistake: If a stage lacks its entry, or the images are too small or of unknown size.

    Example:

    >>> model = kr.models.VGG((1, 1), widths=(8, 16), hidden=32, calibration=kr.layers.GCLU)
    >>> model.output_shape
    (None, 10)
    """
    check_integers("depths", depths)
    check_integers("widths", widths)
    check_integer("hidden", hidden, 1)
    if len(depths) != len(widths):
        raise Mistake(
            "`depths` and `widths` must have one entry per stage. "
            f"Received: depths={depths}, widths={widths}."
        )
    x = inputs = image_input(input_shape, at_least=2 ** len(depths))
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        for i in range(1, depth + 1):
            unit = f"stage{stage}_{i}"
            x = conv_bn(x, width, 3, use_bias=True, normalization=normalization, name=unit)
            x = calibrated(x, calibration, unit)
            x = activated(x, activation, f"{unit}_activation")
        x = layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
    x = PooledDense(hidden, pool_size=7, **fan_in_uniform(7 * 7 * widths[-1]), name="fc1")(x)
    x = activated(x, activation, "fc1_activation")
    x = layers.Dropout(0.5, name="fc1_dropout")(x)
    x = layers.Dense(int(hidden), **fan_in_uniform(hidden), name="fc2")(x)
    x = activated(x, activation, "fc2_activation")
    x = layers.Dropout(0.5, name="fc2_dropout")(x)
    return keras.Model(inputs, logits(x, classes), name=name)


@variant(VGG, (2, 2, 3, 3, 3), name="vgg16")
def VGG16():
    """VGG-16 for CIFAR with batch normalization; at 224 x 224 torchvision's `vgg16_bn`."""
