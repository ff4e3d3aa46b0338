"""The network of airbench94, which reaches 94 % on CIFAR-10 in a few epochs."""

from collections.abc import Sequence
from functools import partial

import keras
from keras import layers
from keras.initializers import RandomNormal

from keras_rescnet.arguments import check_integer, check_integers
from keras_rescnet.initializers import Dirac
from keras_rescnet.layers import BatchNormalization, WhiteningConv2D
from keras_rescnet.models.blocks import (
    Activation,
    Calibration,
    activated,
    calibrated,
    image_input,
    made_layer,
)
from keras_rescnet.models.weights import takes_weights
from keras_rescnet.self_gated import gelu


@takes_weights
def Airbench94(
    *,
    widths: Sequence[int] = (64, 256, 256),
    calibration: Calibration | None = None,
    activation: Activation = gelu,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "airbench94",
) -> keras.Model:
    """Builds the network of airbench94, which maps small images to logits.

    A `WhiteningConv2D` and its activation; then stages of two 3x3 convolutions, each with batch
    normalization without scale and an activation, with 2x2 max pooling before the first
    normalization; the maximum of every channel; and a dense layer without bias. There are no
    shortcuts: the first filters of every convolution pass on what comes in at first.

    A recipe gives it `adapt`, which computes the whitening kernel.

    Reference:
        Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024; `CifarNet` in
        `airbench94_muon.py` of github.com/KellerJordan/cifar10-airbench, which divides the logits
        by the number of features where here the initial weights are divided.

    Args:
        widths: Filters of the convolutions of each stage. Defaults to `(64, 256, 256)`.
        calibration: `None`, or what makes the layer after the last normalization of every stage,
            called with a `name`: `RCLayer`, ... Defaults to `None`.
        activation: A Keras activation: `kr.gelu`, `kr.gclu`, ... Defaults to `kr.gelu`.
        input_shape: Height, width and channels of the images. Defaults to `(32, 32, 3)`.
        classes: Number of logits. Defaults to 10.
        name: Name of the model. Defaults to `"airbench94"`.

    Returns:
        A `keras.Model` from float images `(N, H, W, C)` to float32 logits `(N, classes)`.

    Raises:
        Mistake: If `widths` are not positive, or the images are too small.

    Example:

    >>> model = kr.models.Airbench94(widths=(8, 16), activation=kr.gclu)
    >>> model.get_layer("stage2_2_conv").output.shape
    (None, 7, 7, 16)
    """
    check_integers("widths", widths)
    check_integer("classes", classes, 1)
    x = inputs = image_input(input_shape, at_least=2 ** len(widths) + 1)
    x = WhiteningConv2D(name="whitening")(x)
    x = activated(x, activation, "whitening_activation")
    for stage, width in enumerate(widths, start=1):
        x = _convolution(x, width, f"stage{stage}_1")
        x = layers.MaxPooling2D(2, name=f"stage{stage}_1_pool")(x)
        x = _normalization(x, f"stage{stage}_1")
        x = activated(x, activation, f"stage{stage}_1_activation")
        x = _convolution(x, width, f"stage{stage}_2")
        x = _normalization(x, f"stage{stage}_2")
        x = calibrated(x, calibration, f"stage{stage}")
        x = activated(x, activation, f"stage{stage}_2_activation")
    x = layers.GlobalMaxPooling2D(name="pool")(x)
    logits = layers.Dense(
        int(classes),
        use_bias=False,
        kernel_initializer=RandomNormal(stddev=1.0 / x.shape[-1]),
        dtype="float32",
        name="logits",
    )
    return keras.Model(inputs, logits(x), name=name)


def _convolution(x, filters, name):
    convolution = layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=False,
        kernel_initializer=Dirac(),
        name=f"{name}_conv",
    )
    return convolution(x)


# Statistics that follow fast: there are few steps
_normalization_layer = partial(BatchNormalization, momentum=0.6, scale=False)


def _normalization(x, name):
    return made_layer("normalization", _normalization_layer, f"{name}_bn")(x)
