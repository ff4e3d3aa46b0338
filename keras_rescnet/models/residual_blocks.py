"""The two residual blocks: values of the argument `block` of `ResNet`."""

import functools

from keras import layers

from keras_rescnet.arguments import check_integers
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.models.blocks import activated, calibrated


def basic_block(
    x,
    width,
    *,
    conv,
    strides,
    calibration,
    activation,
    drop_path,
    pooled_shortcut=False,
    name,
):
    """Adds a block of two 3x3 convolutions.

        y = activation(shortcut(x) + drop_path(calibration(conv2(activation(conv1(x))))))

    where each `conv` is a convolution and its normalization, and `shortcut` is the identity, or a
    strided 1x1 convolution where shapes change. Layers are named `name_1_conv`, `name_1_bn`, ...,
    `name_calibration`, `name_out`.

    Args:
        x: Symbolic images `(N, H, W, C)`.
        width: Filters of the 3x3 convolutions.
        conv: Makes a convolution and its normalization, called as
            `conv(x, filters, kernel_size, strides=1, activation=None, name=...)`.
        strides: Stride of the block.
        calibration: `None`, or what makes the calibration layer, called with a `name`.
        activation: A Keras activation.
        drop_path: Rate at which the branch is dropped from an image in training.
        pooled_shortcut: Whether a shortcut that shrinks averages before its 1x1 convolution, as in
            ResNet-D, or skips pixels; `functools.partial` sets it. Defaults to `False`.
        name: Prefix of the names of all layers.

    Returns:
        Symbolic images `(N, H / strides, W / strides, width)`.

    Raises:
        Mistake: If `activation` is not one that Keras knows, or `calibration` does not make a
            layer.

    Example:

    >>> model = kr.models.ResNet(
    ...     (1, 1), widths=(8, 16), block=kr.models.basic_block, input_shape=(32, 32, 3)
    ... )
    >>> tuple(model.get_layer("stage2_block1_2_conv").kernel.shape)
    (3, 3, 16, 16)
    """
    y = conv(x, width, 3, strides=strides, activation=activation, name=f"{name}_1")
    y = conv(y, width, 3, name=f"{name}_2")
    return _join(x, y, conv, strides, calibration, activation, drop_path, name, pooled_shortcut)


def bottleneck_block(
    x,
    width,
    *,
    conv,
    strides,
    calibration,
    activation,
    drop_path,
    activate_branch=False,
    pooled_shortcut=False,
    name,
):
    """Adds a block of a 1x1, a 3x3 and a 1x1 convolution, which widens the images by 4.

    The 3x3 convolution strides, as in torchvision. `functools.partial` sets the two options:

    Reference:
        He et al., "Bag of tricks for image classification with convolutional neural networks",
        CVPR 2019, Figure 2c, for the pooled shortcut.

    Args:
        x: Symbolic images `(N, H, W, C)`.
        width: Filters of the 3x3 convolution.
        conv: As for `basic_block`.
        strides: As for `basic_block`.
        calibration: As for `basic_block`.
        activation: As for `basic_block`.
        drop_path: As for `basic_block`.
        activate_branch: Whether the branch is activated before its calibration. Defaults to
            `False`.
        pooled_shortcut: As for `basic_block`.
        name: As for `basic_block`.

    Returns:
        Symbolic images `(N, H / strides, W / strides, 4 width)`.

    Raises:
        Mistake: As `basic_block`.

    Example:

    >>> from functools import partial
    >>> block = partial(kr.models.bottleneck_block, pooled_shortcut=True)
    >>> model = kr.models.ResNet((1, 1), widths=(8, 16), block=block, input_shape=(32, 32, 3))
    >>> model.get_layer("stage2_block1_out").output.shape
    (None, 4, 4, 64)
    """
    last = activation if activate_branch else None
    y = conv(x, width, 1, activation=activation, name=f"{name}_1")
    y = conv(y, width, 3, strides=strides, activation=activation, name=f"{name}_2")
    y = conv(y, 4 * width, 1, activation=last, name=f"{name}_3")
    return _join(x, y, conv, strides, calibration, activation, drop_path, name, pooled_shortcut)


def _join(x, y, conv, strides, calibration, activation, drop_path, name, pooled_shortcut):
    """Returns `activation(shortcut(x) + drop_path(calibration(y)))`."""
    # Once, and not before the calibration has drawn its weights, unless that reads it.
    identity = functools.cache(
        functools.partial(shortcut, x, y.shape[-1], conv, strides, name, pooled_shortcut)
    )
    y = calibrated(y, calibration, name, identity)
    if drop_path:
        y = layers.Dropout(drop_path, (None, 1, 1, 1), name=f"{name}_drop_path")(y)
    y = layers.Add(name=f"{name}_add")([identity(), y])
    return activated(y, activation, f"{name}_out")


def shortcut(x, channels, conv, strides, name, pooled=False):
    """Returns `x` in another shape: the identity where nothing changes. Arguments as above."""
    if x.shape[-1] == channels and strides == 1:
        return x
    if strides != 1:
        # Of 1x1, it picks pixels: in TensorFlow 2.21 the gradient of a strided 1x1
        # convolution writes beyond its memory on CPUs, and the process dies.
        size = strides if pooled else 1
        pool = layers.AveragePooling2D(size, strides, padding="same", name=f"{name}_shortcut_pool")
        x = pool(x)
    return conv(x, channels, 1, name=f"{name}_shortcut")


def per_stage(depths, calibration, **counts):
    """Returns the calibration of every stage; raises `Mistake` if stages lack one, or a count.

    Args:
        depths: Number of blocks in each stage.
        calibration: A list with an entry per stage, or what all stages have.
        **counts: Arguments that must have a positive integer per stage.
    """
    for argument, value in counts.items():
        check_integers(argument, value)
    if isinstance(calibration, list | tuple):
        calibrations = list(calibration)
    else:
        calibrations = [calibration] * len(depths)
    for argument, value in {**counts, "calibration": calibrations}.items():
        if len(value) != len(depths):
            raise Mistake(
                f"`{argument}` must have one entry per stage, as `depths`. "
                f"Received: depths={shorten(depths)}, {argument}={shorten(value)}."
            )
    return calibrations
