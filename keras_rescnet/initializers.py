"""Initial weights: PyTorch's default, and the normal one of vision transformers."""

import math

from keras import initializers


def fan_in_uniform(fan_in):
    """Initializers of one layer, as keyword arguments: `Dense(units, **fan_in_uniform(64))`.

    Kernel and bias are both uniform on +-1 / sqrt(fan_in), PyTorch's default for `Conv2d` and
    `Linear` (there named `kaiming_uniform_(a=sqrt(5))`). A bias does not know its layer's fan-in,
    so it is an argument.

    Args:
        fan_in: Inputs of one unit: input features, or kernel height x width x input channels.

    Returns:
        A dict with `kernel_initializer` and `bias_initializer`. They are new objects each time: an
        unseeded initializer gives the same numbers on every call.
    """
    bound = 1.0 / math.sqrt(fan_in)
    return {
        name: initializers.RandomUniform(-bound, bound)
        for name in ("kernel_initializer", "bias_initializer")
    }


def small_normal():
    """Returns a new initializer N(0, 0.02^2): weights and embeddings of vision transformers."""
    return initializers.RandomNormal(stddev=0.02)
