"""Examples that fit in memory."""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_rescnet.data.dataset import Dataset, check_found
from keras_rescnet.mistake import Mistake


class ArrayExamples:
    """Images of one size, held as uint8, and their labels; an `Examples`.

    Args:
        dataset: The `Dataset` they are of.
        images: uint8 `(N, H, W, C)`.
        labels: Integers `(N,)`, from 0 to `dataset.classes - 1`; of a `multi_label` dataset 0 and
            1, `(N, classes)`.
        class_names: Name of each class.

    Raises:
        Mistake: If images, labels or class names do not fit the dataset.

    Example:

    >>> images = np.zeros((6, 32, 32, 3), "uint8")
    >>> names = kr.data.DIGITS.class_names
    >>> len(kr.data.ArrayExamples(kr.data.DIGITS, images, np.arange(6), names))
    6
    """

    def __init__(
        self,
        dataset: Dataset,
        images: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str],
    ):
        images, labels = _array(images, "images", dataset), _array(labels, "labels", dataset)
        check_found(dataset, class_names)
        _check_labels(dataset, labels)
        expected = (len(labels), *dataset.image_shape)
        if images.shape != expected or images.dtype != "uint8":
            raise Mistake(
                f"Images of {dataset.name} must be uint8 of shape {expected}, pixels from 0 to "
                f"255. Received: {images.dtype} of shape {images.shape}."
            )
        self.dataset = dataset
        self.class_names = tuple(class_names)
        self.images = images
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def reader(self, transforms):
        """Returns what reads a batch, and the transforms that are left to apply to it: all."""
        images, labels = self._tensors

        def read_batch(indices, rows):
            found = tf.gather(labels, indices)
            if not self.dataset.multi_label:
                found = tf.one_hot(found, self.dataset.classes)
            return {"images": tf.gather(images, indices), "labels": found}

        return read_batch, transforms

    @functools.cached_property
    def _tensors(self):
        with tf.device("CPU"):  # where tf.data gathers, also when there is a GPU
            dtype = "float32" if self.dataset.multi_label else "int32"
            return tf.constant(self.images), tf.constant(self.labels, dtype)


def _array(values, name, dataset):
    try:
        return np.asarray(values)
    except ValueError:  # lists of unequal lengths, or arrays of unequal shapes
        raise Mistake(
            f"The {name} of {dataset.name} must be one array, all of one shape. "
            f"Received: a {type(values).__name__} of {len(values)} that differ in shape."
        ) from None


def _check_labels(dataset, labels):
    if dataset.multi_label:
        check_tags(dataset, labels)
        return
    expected = f"Labels of {dataset.name} must be integers (N,) from 0 to {dataset.classes - 1}"
    if labels.ndim == 2 and labels.shape[1] == dataset.classes:
        expected += "; of one-hot labels argmax(axis=1) makes them"
    elif labels.ndim == 2 and labels.shape[1] == 1:
        expected += "; labels[:, 0] takes a column"
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) == 0:
        raise Mistake(f"{expected}. Received: {labels.dtype} of shape {labels.shape}.")
    outside = (labels < 0) | (labels >= dataset.classes)
    if outside.any():
        raise Mistake(
            f"{expected}. Received: {outside.sum()} other labels, such as {labels[outside][0]}."
        )


def check_tags(dataset, labels):
    """Raises a `Mistake` unless labels are 0 and 1, one column per tag."""
    fits = labels.ndim == 2 and labels.shape[1] == dataset.classes and labels.dtype.kind in "iufb"
    if not fits or len(labels) == 0 or not np.isin(labels, (0, 1)).all():
        received = f"{labels.dtype} of shape {labels.shape}"
        if fits and len(labels):
            received = f"numbers from {labels.min():g} to {labels.max():g}"
        raise Mistake(
            f"Labels of {dataset.name}, a multi_label dataset, must be 0 and 1 of shape "
            f"(N, {dataset.classes}). Received: {received}."
        )
