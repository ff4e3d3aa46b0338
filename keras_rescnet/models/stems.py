"""The stems of a residual network: values of the argument `stem` of `ResNet`."""

from keras import layers, ops


def plain_stem(x, width, *, conv, activation):
    """Adds a 7x7 convolution that strides, and max pooling."""
    return _pooled(conv(x, width, 7, strides=2, activation=activation, name="stem"))


def small_stem(x, width, *, conv, activation):
    """Adds a 3x3 convolution that does not stride, for small images."""
    return conv(x, width, 3, activation=activation, name="stem")


def deep_stem(x, width, *, conv, activation):
    """Adds three 3x3 convolutions, of which the first strides, and max pooling.

    The first two have half the filters. Layers are named `stem_1_conv`, `stem_1_bn`, ...,
    `stem_3_activation`, `stem_pool`.

    Reference:
        He et al., "Bag of tricks for image classification with convolutional neural networks",
        CVPR 2019, Figure 2b.

    Args:
        x: Symbolic images `(N, H, W, C)`.
        width: Filters of the last convolution.
        conv: Makes a convolution and its normalization, called as
            `conv(x, filters, kernel_size, strides=1, activation=None, name=...)`.
        activation: A Keras activation.

    Returns:
        Symbolic images `(N, H / 4, W / 4, width)`.

    Raises:
        Mistake: If `activation` is not one that Keras knows.

    Example:

    >>> model = kr.models.ResNet(
    ...     (1,), widths=(8,), stem=kr.models.deep_stem, input_shape=(32, 32, 3)
    ... )
    >>> model.get_layer("stem_pool").output.shape
    (None, 8, 8, 8)
    """
    x = conv(x, max(width // 2, 1), 3, strides=2, activation=activation, name="stem_1")
    x = conv(x, max(width // 2, 1), 3, activation=activation, name="stem_2")
    return _pooled(conv(x, width, 3, activation=activation, name="stem_3"))


def _pooled(x):
    # Not zeros, which would win over the negative values that GCLU and GELU have.
    x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=float("-inf"))
    return layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
