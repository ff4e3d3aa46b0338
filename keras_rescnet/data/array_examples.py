"""Examples that fit in memory."""

import functools

import tensorflow as tf


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
            raise ValueError(
                f"Images of {dataset.name} must be uint8 of shape {expected}. "
                f"Received: {images.dtype} of shape {images.shape}."
            )
        if len(class_names) != dataset.classes or labels.max(initial=0) >= dataset.classes:
            raise ValueError(
                f"{dataset.name} must have {dataset.classes} classes, labels below that. Received: "
                f"{len(class_names)} class names, labels up to {labels.max(initial=0)}."
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
