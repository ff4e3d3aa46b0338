"""VGG with batch normalization, in the form of the paper's Table 5."""

from functools import partial

import keras
from keras import layers

from keras_rescnet.layers.pooled_dense import PooledDense
from keras_rescnet.mistake import Mistake
from keras_rescnet.models.blocks import calibrated, conv_bn, fan_in_uniform, image_input, logits


def VGG(
    depths,
    *,
    widths=(64, 128, 256, 512, 512),
    hidden=4096,
    calibration=None,
    activation="relu",
    input_shape=(32, 32, 3),
    classes=10,
    name="vgg",
):
    """Builds a VGG network with batch normalization that maps images to logits.

    Stages of 3x3 convolutions, each followed by 2x2 max pooling; then adaptive pooling to
    7 x 7 and three dense layers with dropout. At 224 x 224 and 1000 classes `VGG16` is
    torchvision's `vgg16_bn`.

    Reference:
        Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
        recognition", ICLR 2015; `src/models/cifar100/vgg.py` of github.com/tcmyxc/CV-Tutorial.

    Args:
        depths: Number of convolutions in each stage.
        widths: Filters of the convolutions in each stage.
        hidden: Units of the two hidden dense layers.
        calibration: `None`, or what makes the layer between every batch normalization and
            its activation, called with a `name`: `RCLayer`, ...
        activation: A Keras activation: `"relu"`, `gclu`, ...
        input_shape: Height, width and channels of the images.
        classes: Number of logits.
        name: Name of the model.

    Returns:
        A `keras.Model` from float images `(N, H, W, C)` to float32 logits `(N, classes)`.

    Raises:
        ValueError: if an entry a stage is missing, or the images are too small or of unknown size.
    """
    if len(depths) != len(widths):
        raise Mistake(
            "`depths` and `widths` must have one entry per stage. "
            f"Received: depths={depths}, widths={widths}."
        )
    x = inputs = image_input(input_shape, at_least=2 ** len(depths))
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        for i in range(1, depth + 1):
            unit = f"stage{stage}_{i}"
            x = conv_bn(x, width, 3, use_bias=True, name=unit)
            x = calibrated(x, calibration, unit)
            x = layers.Activation(activation, name=f"{unit}_activation")(x)
        x = layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
    x = PooledDense(hidden, pool_size=7, **fan_in_uniform(7 * 7 * widths[-1]), name="fc1")(x)
    x = layers.Activation(activation, name="fc1_activation")(x)
    x = layers.Dropout(0.5, name="fc1_dropout")(x)
    x = layers.Dense(hidden, **fan_in_uniform(hidden), name="fc2")(x)
    x = layers.Activation(activation, name="fc2_activation")(x)
    x = layers.Dropout(0.5, name="fc2_dropout")(x)
    return keras.Model(inputs, logits(x, classes), name=name)


VGG16 = partial(VGG, (2, 2, 3, 3, 3), name="vgg16")
