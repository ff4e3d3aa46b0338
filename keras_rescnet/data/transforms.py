"""Lists of transforms: what they may hold, and how each is applied."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_rescnet.augment.rows import call
from keras_rescnet.augment.value_range import PIXELS
from keras_rescnet.mistake import Mistake, shorten


def check_transforms(transforms):
    """Raises `Mistake` unless all are transforms, of images in [0, 255]."""
    is_list = isinstance(transforms, list | tuple)
    for transform in transforms if is_list else [None]:
        if not callable(transform) or isinstance(transform, type):
            received = transform if is_list else transforms
            raise Mistake(
                "`transforms` must be a list of transforms, such as [kr.augment.RandomFlip()]. "
                f"Received: {shorten(received)}."
            )
        value_range = getattr(transform, "value_range", None)
        if value_range is not None and tuple(np.ravel(value_range)) != PIXELS:
            raise Mistake(
                "Transforms of batches are given images in [0, 255]; `value_range` must be "
                f"(0, 255). Received: {type(transform).__name__} with value_range={value_range}."
            )
        check_transforms(getattr(transform, "transforms", []))  # of a RandomChoice


def apply_transform(transform, batch, rows):
    """Returns the batch as a transform leaves it."""
    if isinstance(transform, keras.layers.Layer):
        # In a tf.function: some keras-cv layers need AutoGraph, off where batches are made.
        floats = {**batch, "images": tf.cast(batch["images"], "float32")}
        changed = tf.function(transform)(floats)
    else:
        changed = call(transform, batch, rows)
    if not isinstance(changed, dict) or not {"images", "labels"} <= changed.keys():
        name = getattr(transform, "__name__", type(transform).__name__)
        received = list(changed) if isinstance(changed, dict) else type(changed).__name__
        raise Mistake(
            f'A transform must return a batch {{"images", "labels"}}. Received: {received} from '
            f"{name}."
        )
    return changed


def stateful_transforms(transforms: Sequence[Callable]) -> list[keras.layers.Layer]:
    """Returns the keras-cv and Keras layers among `transforms`.

    They draw from a generator of their own, in whatever order parallel calls reach it, and it
    is not part of a checkpoint: a run that uses one is not reproducible to the bit.

    Args:
        transforms: List of transforms, as `train_batches` takes it.

    Returns:
        A list of layers, in the order of `transforms`; empty if all draw from the seed they are
        given.

    Example:

    >>> transforms = [kr.augment.RandomFlip(), keras.layers.RandomBrightness(0.2)]
    >>> len(kr.data.stateful_transforms(transforms))
    1
    """
    return [transform for transform in transforms if isinstance(transform, keras.layers.Layer)]
