"""Initial weights: PyTorch's default, an identity, and the normal one of vision transformers."""

import contextlib
import math
import random

import keras
import numpy as np
from keras import initializers, ops


@contextlib.contextmanager
def without_drawing():
    """Leaves Python's generator as it is, which Keras draws an initializer's seed from.

    For initializers that are made when a module is imported, which may be after a user has seeded:
    copies, which layers make of an initializer, draw seeds of their own. And for layers that are
    made to see whether they can be.
    """
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


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


@keras.saving.register_keras_serializable(package="keras_rescnet")
class Dirac(initializers.RandomUniform):
    """Kernels of convolutions whose first filters pass on one channel each.

    Filter `i` is 1 at channel `i` in the middle, and 0 elsewhere, as long as there are channels.
    Further filters are drawn from PyTorch's default, uniform on +-1 / sqrt(fan_in).

    Reference:
        `torch.nn.init.dirac_`, as `airbench94_muon.py` of github.com/KellerJordan/cifar10-airbench
        applies it.

    Args:
        seed: Of the further filters. Defaults to `None`, another one for every initializer.
    """

    def __init__(self, seed=None):
        super().__init__(-1.0, 1.0, seed)

    def __call__(self, shape, dtype=None):
        """Returns a kernel `(height, width, channels, filters)`."""
        height, width, channels, filters = shape
        drawn = super().__call__(shape, dtype) / math.sqrt(height * width * channels)
        passing = min(channels, filters)
        identity = np.zeros(shape, "float32")
        identity[height // 2, width // 2, range(passing), range(passing)] = 1.0
        return ops.where(np.arange(filters) < passing, ops.cast(identity, drawn.dtype), drawn)

    def get_config(self):
        """Returns the arguments of `__init__`."""
        return {"seed": super().get_config()["seed"]}
