"""AlexNet, in the form of the paper's Table 5."""

from collections.abc import Sequence

import keras
from keras import layers

from keras_rescnet.arguments import check_integer, check_integers
from keras_rescnet.layers.pooled_dense import PooledDense
from keras_rescnet.mistake import Mistake
from keras_rescnet.models.blocks import (
    Activation,
    Calibration,
    activated,
    calibrated,
    fan_in_uniform,
    image_input,
    logits,
)
from keras_rescnet.models.weights import takes_weights


@takes_weights
def AlexNet(
    *,
    widths: Sequence[int] = (64, 192, 384, 256, 256),
    hidden: int = 4096,
    calibration: Calibration | None = None,
    activation: Activation = "relu",
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "alexnet",
) -> keras.Model:
    """Builds an AlexNet for small images that maps them to logits.

    Five 3x3 convolutions, the first with stride 2, with 2x2 max pooling after the first,
    second and fifth; then adaptive pooling to 6 x 6 and three dense layers with dropout. No
    batch normalization.

    Reference:
        Krizhevsky et al., "ImageNet classification with deep convolutional neural networks",
        NIPS 2012; `src/models/cifar100/alexnet.py` of github.com/tcmyxc/CV-Tutorial.

    Args:
        widths: Filters of the five convolutions. Defaults to `(64, 192, 384, 256, 256)`.
        hidden: Units of the two hidden dense layers. Defaults to 4096.
        calibration: `None`, or what makes the layer between every convolution and its activation,
            called with a `name`: `RCLayer`, ... Defaults to `None`.
        activation: A Keras activation: `"relu"`, `kr.gclu`, ... Defaults to `"relu"`.
        input_shape: Height, width and channels of the images. Defaults to `(32, 32, 3)`.
        classes: Number of logits. Defaults to 10.
        name: Name of the model. Defaults to `"alexnet"`.

    Returns:
        A `keras.Model` from float images `(N, H, W, C)` to float32 logits `(N, classes)`.

    Raises:
        Mistake: If `widths` are not five, or the images are too small or of unknown size.

    Example:

    >>> model = kr.models.AlexNet(widths=(8, 8, 8, 8, 8), hidden=16, activation=kr.gclu)
    >>> model.output_shape
    (None, 10)
    """
    check_integers("widths", widths)
    check_integer("hidden", hidden, 1)
    if len(widths) != 5:
        raise Mistake(f"`widths` must have five entries. Received: widths={widths}.")
    x = inputs = image_input(input_shape, at_least=16)
    for i, width in enumerate(widths, start=1):
        if i == 1:  # "same" would pad (0, 1) where PyTorch pads (1, 1)
            x = layers.ZeroPadding2D(1, name="conv1_pad")(x)
        x = layers.Conv2D(
            width,
            3,
            strides=2 if i == 1 else 1,
            padding="valid" if i == 1 else "same",
            **fan_in_uniform(9 * x.shape[-1]),
            name=f"conv{i}",
        )(x)
        x = calibrated(x, calibration, f"conv{i}")
        x = activated(x, activation, f"conv{i}_activation")
        if i in (1, 2, 5):
            x = layers.MaxPooling2D(2, name=f"conv{i}_pool")(x)
    initializers = fan_in_uniform(6 * 6 * widths[-1])
    x = PooledDense(hidden, pool_size=6, dropout=0.5, **initializers, name="fc1")(x)
    x = activated(x, activation, "fc1_activation")
    x = layers.Dropout(0.5, name="fc1_dropout")(x)
    x = layers.Dense(int(hidden), **fan_in_uniform(hidden), name="fc2")(x)
    x = activated(x, activation, "fc2_activation")
    return keras.Model(inputs, logits(x, classes), name=name)
