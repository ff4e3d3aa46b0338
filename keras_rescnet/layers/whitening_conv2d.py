"""A convolution that whitens patches of images."""

import math
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_rescnet.arguments import check_integer, check_positive
from keras_rescnet.initializers import fan_in_uniform
from keras_rescnet.layers.arguments import check_rank
from keras_rescnet.layers.images import as_floats, check_channels_last
from keras_rescnet.mistake import Mistake, shorten


@keras.saving.register_keras_serializable(package="keras_rescnet")
class WhiteningConv2D(keras.layers.Layer):
    """Convolution whose kernel, computed from images and not trained, whitens their patches.

    With `v_i` the eigenvectors of the mean of `p p^T` over all patches `p` of `D = kernel_size^2 C`
    numbers, and `l_i` its eigenvalues,

        y_i       =  v_i^T p / sqrt(l_i + epsilon) + bias_i            i = 1, ..., D
        y_(D + i) = -v_i^T p / sqrt(l_i + epsilon) + bias_(D + i)

    so that the outputs are uncorrelated and of equal size, and an activation that is small for
    negative numbers loses nothing. The bias is trained.

    Until `adapt` is called, kernel and bias are random, PyTorch's default. A recipe calls it by its
    field `adapt`.

    Reference:
        Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024; `init_whiten` in
        `airbench94_muon.py` of github.com/KellerJordan/cifar10-airbench.

    Args:
        kernel_size: Side of the patches. Defaults to 2.
        epsilon: Added to the eigenvalues. Defaults to 5e-4.
        **kwargs: What every Keras layer takes, such as `name` and `dtype`.

    Input shape: `(N, H, W, C)`, normalized images.
    Output shape: `(N, H - kernel_size + 1, W - kernel_size + 1, 2 kernel_size^2 C)`.

    Raises:
        Mistake: If `kernel_size` is not a positive integer, `epsilon` is not a positive number,
            images are not `(N, H, W, C)` with a known C, or Keras is set to channels first.

    Example:

    >>> images = np.random.default_rng(0).normal(size=(8, 9, 9, 3)).cumsum(axis=1)
    >>> layer = kr.layers.WhiteningConv2D()
    >>> layer.adapt(images)
    >>> y = np.asarray(layer(images) - layer.bias)[..., :12].reshape(-1, 12)
    >>> float(np.abs(y.T @ y / len(y) - np.eye(12)).max().round(2))
    0.0
    """

    def __init__(self, kernel_size: int = 2, epsilon: float = 5e-4, **kwargs):
        super().__init__(**kwargs)
        check_channels_last("WhiteningConv2D")
        check_integer("kernel_size", kernel_size, 1)
        check_positive("epsilon", epsilon)
        self.kernel_size = int(kernel_size)
        self.epsilon = float(epsilon)

    def build(self, input_shape):
        """Makes the kernel, which is not trained, and the bias."""
        check_rank(self, input_shape, 4, "images (N, H, W, C)")
        inputs = self.kernel_size**2 * input_shape[-1]
        initial = fan_in_uniform(inputs)
        self.kernel = self.add_weight(
            shape=(self.kernel_size, self.kernel_size, input_shape[-1], 2 * inputs),
            initializer=initial["kernel_initializer"],
            trainable=False,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(2 * inputs,), initializer=initial["bias_initializer"], name="bias"
        )

    def call(self, inputs):
        """Returns the whitened patches of `inputs`."""
        return ops.conv(as_floats(self, inputs), self.kernel, padding="valid") + self.bias

    def adapt(self, images: np.ndarray | Iterable[Any]) -> None:
        """Computes the kernel.

        Args:
            images: An array `(N, H, W, C)`, or an iterable of such arrays, as a `tf.data.Dataset`
                of batches is.

        Raises:
            Mistake: If there are no `images`, or they are not of that shape.
        """
        total, count = 0.0, 0
        for batch in [images] if hasattr(images, "shape") else images:
            batch = ops.convert_to_numpy(batch).astype("float64")
            if batch.ndim != 4:
                raise Mistake(
                    "`images` must be an array (N, H, W, C), or batches of that shape. "
                    f"Received: an array of shape {batch.shape}."
                )
            if not self.built:
                self.build(batch.shape)
            size = (self.kernel_size, self.kernel_size)
            windows = np.lib.stride_tricks.sliding_window_view(batch, size, axis=(1, 2))
            patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(
                -1, math.prod(self.kernel.shape[:3])
            )
            total = total + patches.T @ patches
            count += len(patches)
        if not count:
            raise Mistake(f"`images` must not be empty. Received: images={shorten(images)}.")
        eigenvalues, eigenvectors = np.linalg.eigh(total / count)
        kernel = (eigenvectors / np.sqrt(eigenvalues + self.epsilon)).reshape(
            *self.kernel.shape[:3], -1
        )
        self.kernel.assign(np.concatenate([kernel, -kernel], axis=-1))

    def compute_output_shape(self, input_shape):
        """Returns the shape of the outputs."""
        rows, *sides, channels = input_shape
        sides = [side and side - self.kernel_size + 1 for side in sides]
        return (rows, *sides, 2 * self.kernel_size**2 * channels)

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "epsilon": self.epsilon,
        }
