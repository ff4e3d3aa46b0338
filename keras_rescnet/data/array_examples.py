"""Examples that fit in memory."""

import functools

import numpy as np
import tensorflow as tf

from keras_rescnet.mistake import Mistake


class ArrayExamples:
    """Images of one size, held as uint8, and their labels.

    Args:
        dataset: The `Dataset` they are of.
        images: uint8 `(N, H, W, C)`.
        labels: Integers `(N,)`, from 0 to `dataset.classes - 1`.
        class_names: Name of each class.
    """

    def __init__(self, dataset, images, labels, class_names):
        expected = (len(labels), *dataset.image_shape)
        if images.shape != expected or images.dtype != "uint8":
            raise Mistake(
                f"Images of {dataset.name} must be uint8 of shape {expected}. "
                f"Received: {images.dtype} of shape {images.shape}."
            )
        labels = np.asarray(labels)
        outside = labels[(labels < 0) | (labels >= dataset.classes)]
        if len(class_names) != dataset.classes or len(outside):
            raise Mistake(
                f"{dataset.name} must have {dataset.classes} classes, with labels from 0 to "
                f"{dataset.classes - 1}. Received: {len(class_names)} class names, "
                f"{len(outside)} other labels."
            )
        self.dataset = dataset
        self.class_names = tuple(class_names)
        self.images = images
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def reading(self, transforms):
        """Returns what reads a batch, and the transforms that are then left to do: all."""
        images, labels = self._tensors

        def read(rows, seed):
            one_hot = tf.one_hot(tf.gather(labels, rows), self.dataset.classes)
            return {"images": tf.gather(images, rows), "labels": one_hot}

        return read, transforms

    @functools.cached_property
    def _tensors(self):
        with tf.device("CPU"):  # where tf.data gathers, also when there is a GPU
            return tf.constant(self.images), tf.constant(self.labels, "int32")
