"""Views of test images, whose logits are averaged: values of a recipe's `test_views`.

A function of views takes images `(N, H, W, C)` and returns pairs of a weight and images of the
same shape. The weights add up to 1.
"""

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_rescnet.mistake import Mistake, shorten

__all__ = ["averaged", "mirrored", "mirrored_and_shifted"]

Views = Callable[[Any], Sequence[tuple[float, Any]]]


def mirrored(images: Any) -> list[tuple[float, Any]]:
    """Returns the images and their mirror images, each of weight 1/2.

    Args:
        images: `(N, H, W, C)`.

    Returns:
        A list of two pairs of a weight and images, of the shape and dtype of `images`.

    Example:

    >>> images = np.array([1.0, 2.0]).reshape(1, 1, 2, 1)
    >>> [(weight, np.ravel(view)) for weight, view in kr.views.mirrored(images)]
    [(0.5, array([1., 2.])), (0.5, array([2., 1.]))]
    """
    return [(0.5, images), (0.5, ops.flip(images, axis=2))]


def mirrored_and_shifted(images: Any) -> list[tuple[float, Any]]:
    """Returns six views: the images, the images shifted by a pixel, and the mirror images of all.

    The weights are 1/4 for the images and their mirror images, and 1/8 for those of the images
    shifted down and right, and up and left. What comes in at the border is a reflection.

    Reference:
        Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024; `infer` in
        `airbench94_muon.py` of github.com/KellerJordan/cifar10-airbench.

    Args:
        images: `(N, H, W, C)`, of at least 2 x 2 pixels.

    Returns:
        A list of six pairs of a weight and images, of the shape and dtype of `images`.

    Example:

    >>> images = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> views = kr.views.mirrored_and_shifted(images)
    >>> [weight for weight, _ in views]
    [0.25, 0.25, 0.125, 0.125, 0.125, 0.125]
    >>> np.asarray(views[2][1])[0, :, :, 0]
    array([[4., 3., 4.],
           [1., 0., 1.],
           [4., 3., 4.]])
    """
    padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    shifted = [padded[:, :-2, :-2], padded[:, 2:, 2:]]
    views = [(weight / 2, view) for weight, view in mirrored(images)]
    return views + [(weight / 4, view) for each in shifted for weight, view in mirrored(each)]


def averaged(predict: Callable[[Any], Any], images: Any, views: Views | None) -> Any:
    """Returns the mean of the logits of all views of images, by their weights.

    Args:
        predict: Function from images to logits.
        images: `(N, H, W, C)`.
        views: `mirrored`, another function like it, or `None` for the images as they are.

    Returns:
        A tensor of the shape and dtype of what `predict` returns, `(N, classes)`.

    Raises:
        Mistake: If `views` is not a function, or what it returns is not pairs of a weight and
            images whose weights add up to 1.

    Example:

    >>> images = np.array([1.0, 3.0]).reshape(1, 1, 2, 1)
    >>> first_pixel = lambda images: images[:, 0, 0]
    >>> np.asarray(kr.views.averaged(first_pixel, images, kr.views.mirrored))
    array([[2.]])
    """
    if views is None:
        return predict(images)
    return sum(weight * predict(view) for weight, view in weighted(views, images))


def weighted(views: Views, images: Any) -> list[tuple[float, Any]]:
    """Returns the views of images.

    Raises:
        Mistake: Unless they are pairs of a weight and images, and the weights add up to 1.
    """
    if not callable(views):
        raise Mistake(
            f"`views` must be a function such as kr.views.mirrored. Received: {shorten(views)}."
        )
    pairs = list(views(images))
    fit = all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs)
    weights: list[Any] = [pair[0] for pair in pairs] if fit else []
    real = all(isinstance(weight, numbers.Real) for weight in weights)
    if not (fit and real and math.isclose(sum(weights), 1, abs_tol=1e-6)):
        raise Mistake(
            "Views must be pairs of a weight and images, and the weights add up to 1. "
            f"Received: {len(pairs)} views of {shorten(views)}"
            + (f" with weights {shorten(weights)}." if fit else ", which are no pairs.")
        )
    return [(weight, view) for weight, view in pairs]
