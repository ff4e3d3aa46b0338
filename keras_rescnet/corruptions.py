"""Corruptions of test pictures at five severities, with the figures of CIFAR-10-C.

A corruption is a function of one image `(H, W, C)` of uint8, a severity from 1 to 5 and a seed of
two integers, and returns an image of the same shape and dtype. The figures are for pictures of 32
pixels. The pictures are not those of the files of CIFAR-10-C, whose random numbers are others.

Reference:
    Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and
    perturbations", ICLR 2019; `ImageNet-C/create_c/make_cifar_c.py` of
    github.com/hendrycks/robustness.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from keras_rescnet.arguments import check_integer
from keras_rescnet.mistake import Mistake

__all__ = [
    "brightness",
    "contrast",
    "gaussian_blur",
    "gaussian_noise",
    "impulse_noise",
    "jpeg_compression",
    "pixelate",
    "shot_noise",
]


def gaussian_noise(image: Any, severity: int, seed: Any) -> Any:
    """Adds normal noise of standard deviation 0.04, 0.06, 0.08, 0.09, 0.1, of pixels in [0, 1].

    Args:
        image: uint8 `(H, W, C)`.
        severity: From 1 to 5.
        seed: Two integers.

    Returns:
        The corrupted image, a tensor `(H, W, C)`, uint8.

    Raises:
        Mistake: If `severity` is not an integer from 1 to 5, or `image` is not as above.

    Example:

    >>> grey = np.full((32, 32, 3), 128, "uint8")
    >>> noisy = kr.corruptions.gaussian_noise(grey, 5, (0, 1))
    >>> round(float(np.std(noisy)) / 255, 2)
    0.1
    """
    scale = _figure((0.04, 0.06, 0.08, 0.09, 0.1), severity, image)
    x = _unit(image)
    return _pixels(x + scale * tf.random.stateless_normal(x.shape, seed))


def shot_noise(image: Any, severity: int, seed: Any) -> Any:
    """Draws every pixel as a count of photons, 500, 250, 100, 75 or 50 of them for white.

    Args:
        image: uint8 `(H, W, C)`.
        severity: From 1 to 5.
        seed: Two integers.

    Returns:
        The corrupted image, a tensor `(H, W, C)`, uint8.

    Raises:
        Mistake: If `severity` is not an integer from 1 to 5, or `image` is not as above.

    Example:

    >>> black = np.zeros((32, 32, 3), "uint8")
    >>> int(np.max(kr.corruptions.shot_noise(black, 5, (0, 1))))  # where there is no light
    0
    """
    photons = _figure((500.0, 250.0, 100.0, 75.0, 50.0), severity, image)
    x = _unit(image)
    counts = tf.random.stateless_poisson(x.shape, seed, x * photons, dtype="float32")
    return _pixels(counts / photons)


def impulse_noise(image: Any, severity: int, seed: Any) -> Any:
    """Sets 1, 2, 3, 5 or 7 % of the values to 0 or 255, each as likely.

    Args:
        image: uint8 `(H, W, C)`.
        severity: From 1 to 5.
        seed: Two integers.

    Returns:
        The corrupted image, a tensor `(H, W, C)`, uint8.

    Raises:
        Mistake: If `severity` is not an integer from 1 to 5, or `image` is not as above.

    Example:

    >>> grey = np.full((32, 32, 3), 128, "uint8")
    >>> np.unique(kr.corruptions.impulse_noise(grey, 5, (0, 1)))
    array([  0, 128, 255], dtype=uint8)
    """
    share = _figure((0.01, 0.02, 0.03, 0.05, 0.07), severity, image)
    chance = tf.random.stateless_uniform(tf.shape(image), seed)
    salted = tf.where(chance < share / 2, tf.constant(255, "uint8"), image)
    return tf.where((share / 2 <= chance) & (chance < share), tf.constant(0, "uint8"), salted)


def gaussian_blur(image: Any, severity: int, seed: Any = None) -> Any:
    """Blurs with a Gaussian of 0.4, 0.6, 0.7, 0.8 or 1 pixels, cut off at 4 standard deviations.

    Beyond the border lie copies of the nearest pixel.

    Args:
        image: uint8 `(H, W, C)`.
        severity: From 1 to 5.
        seed: Not used. Defaults to `None`.

    Returns:
        The corrupted image, a tensor `(H, W, C)`, uint8.

    Raises:
        Mistake: If `severity` is not an integer from 1 to 5, or `image` is not as above.

    Example:

    >>> dot = np.zeros((5, 5, 1), "uint8")
    >>> dot[2, 2] = 255
    >>> np.asarray(kr.corruptions.gaussian_blur(dot, 5))[2, :, 0]
    array([ 5, 24, 40, 24,  5], dtype=uint8)
    """
    sigma = _figure((0.4, 0.6, 0.7, 0.8, 1.0), severity, image)
    height, width = (_blurring(side, sigma) for side in image.shape[:2])
    return _pixels(tf.einsum("ai,ijc,bj->abc", height, _unit(image), width))


def brightness(image: Any, severity: int, seed: Any = None) -> Any:
    """Adds 0.05, 0.1, 0.15, 0.2 or 0.3 to the value of every colour, its largest channel.

    Args:
        image: uint8 `(H, W, C)`, of 1 or 3 channels.
        severity: From 1 to 5.
        seed: Not used. Defaults to `None`.

    Returns:
        The corrupted image, a tensor `(H, W, C)`, uint8.

    Raises:
        Mistake: If `severity` is not an integer from 1 to 5, or `image` is not as above.

    Example:

    >>> kr.corruptions.brightness(np.full((1, 1, 3), 100, "uint8"), 2)[0, 0].numpy()
    array([125, 125, 125], dtype=uint8)
    """
    more = _figure((0.05, 0.1, 0.15, 0.2, 0.3), severity, image)
    x = _unit(image)
    value = tf.reduce_max(x, axis=-1, keepdims=True)
    brighter = tf.minimum(value + more, 1.0)
    # Hue and saturation stay where all channels are scaled alike; black has neither
    return _pixels(tf.where(value > 0, x * brighter / tf.where(value > 0, value, 1.0), brighter))


def contrast(image: Any, severity: int, seed: Any = None) -> Any:
    """Brings every channel nearer to its mean: 0.75, 0.5, 0.4, 0.3 or 0.15 of the distance stay.

    Args:
        image: uint8 `(H, W, C)`.
        severity: From 1 to 5.
        seed: Not used. Defaults to `None`.

    Returns:
        The corrupted image, a tensor `(H, W, C)`, uint8.

    Raises:
        Mistake: If `severity` is not an integer from 1 to 5, or `image` is not as above.

    Example:

    >>> stripes = np.array([0, 200], "uint8").reshape(1, 2, 1)
    >>> kr.corruptions.contrast(stripes, 2)[0, :, 0].numpy()
    array([ 50, 150], dtype=uint8)
    """
    share = _figure((0.75, 0.5, 0.4, 0.3, 0.15), severity, image)
    x = _unit(image)
    mean = tf.reduce_mean(x, axis=(0, 1), keepdims=True)
    return _pixels((x - mean) * share + mean)


def pixelate(image: Any, severity: int, seed: Any = None) -> Any:
    """Shrinks to 95, 90, 85, 75 or 65 % of the sides and enlarges again, with Pillow's box filter.

    Args:
        image: uint8 `(H, W, C)`.
        severity: From 1 to 5.
        seed: Not used. Defaults to `None`.

    Returns:
        The corrupted image, a tensor `(H, W, C)`, uint8.

    Raises:
        Mistake: If `severity` is not an integer from 1 to 5, or `image` is not as above.

    Example:

    >>> ramp = np.tile(np.arange(0, 64, 2, "uint8"), (32, 1))[..., None]
    >>> np.asarray(kr.corruptions.pixelate(ramp, 5))[0, :8, 0]
    array([ 1,  1,  4,  7,  7, 10, 13, 13], dtype=uint8)
    """
    share = _figure((0.95, 0.9, 0.85, 0.75, 0.65), severity, image)
    x = tf.cast(image, "float32")
    sides = image.shape[:2]
    smaller = [max(1, int(side * share)) for side in sides]
    for before, after in ((sides, smaller), (smaller, sides)):
        height, width = map(_resizing, before, after)
        x = tf.floor(tf.einsum("bj,ijc->ibc", width, x) + 0.5)  # Pillow rounds lines, then columns
        x = tf.floor(tf.einsum("ai,ibc->abc", height, x) + 0.5)
    return tf.cast(x, "uint8")


def jpeg_compression(image: Any, severity: int, seed: Any = None) -> Any:
    """Stores as JPEG of quality 80, 65, 58, 50 or 40, and reads again.

    Args:
        image: uint8 `(H, W, C)`, of 1 or 3 channels.
        severity: From 1 to 5.
        seed: Not used. Defaults to `None`.

    Returns:
        The corrupted image, a tensor `(H, W, C)`, uint8.

    Raises:
        Mistake: If `severity` is not an integer from 1 to 5, or `image` is not as above.

    Example:

    >>> grey = np.full((32, 32, 3), 128, "uint8")
    >>> np.unique(kr.corruptions.jpeg_compression(grey, 1))
    array([128], dtype=uint8)
    """
    quality = _figure((80, 65, 58, 50, 40), severity, image)
    if image.shape[-1] not in (1, 3):
        raise Mistake(
            "`jpeg_compression` takes images of 1 or 3 channels. "
            f"Received: an image of shape {tuple(image.shape)}."
        )
    encoded = tf.io.encode_jpeg(image, quality=quality)
    decoded = tf.io.decode_jpeg(encoded, image.shape[-1], dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(decoded, image.shape)


def _figure(figures, severity, image):
    """Returns the figure of a severity, once both arguments are checked."""
    check_integer("severity", severity, 1, 5)
    image = tf.convert_to_tensor(image)
    if image.dtype != tf.uint8 or image.shape.rank != 3:
        raise Mistake(
            "`image` must be of shape (H, W, C), of uint8 from 0 to 255. "
            f"Received: an image of shape {tuple(image.shape)}, of {image.dtype.name}."
        )
    return figures[severity - 1]


def _unit(image):
    return tf.cast(image, "float32") / 255.0


def _pixels(unit):
    """Returns numbers in [0, 1] as pixels, cut off as numpy's `uint8` does, not rounded."""
    # What was 128 / 255 must not become 127 by the last bit of float32
    return tf.cast(tf.clip_by_value(unit, 0.0, 1.0) * 255.0 + 1e-3, "uint8")


def _blurring(side, sigma):
    """Returns the matrix that blurs a line, as `scipy.ndimage.gaussian_filter1d` does."""
    radius = int(4.0 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    matrix = np.zeros((side, side))
    for place in range(side):
        np.add.at(matrix[place], np.clip(place + offsets, 0, side - 1), weights / weights.sum())
    return matrix.astype("float32")


def _resizing(before, after):
    """Returns the matrix by which Pillow's box filter resizes a line."""
    scale = before / after
    width = max(scale, 1.0)
    matrix = np.zeros((after, before))
    for place in range(after):
        centre = (place + 0.5) * scale
        first = max(0, int(centre - 0.5 * width + 0.5))
        last = min(before, int(centre + 0.5 * width + 0.5))
        distance = (np.arange(first, last) - centre + 0.5) / width
        inside = (-0.5 < distance) & (distance <= 0.5)
        matrix[place, first:last] = inside / math.fsum(inside)
    return matrix.astype("float32")
