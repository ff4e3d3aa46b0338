"""Examples that stay in their files and are decoded by batch."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from keras_rescnet.arguments import check_integer
from keras_rescnet.augment.cores import map_images
from keras_rescnet.augment.random_resized_crop import RandomResizedCrop, resize
from keras_rescnet.data.array_examples import check_tags
from keras_rescnet.data.dataset import Dataset, check_found
from keras_rescnet.data.decoding import MARGIN, decode, prepare
from keras_rescnet.mistake import Mistake


class EncodedExamples:
    """JPEG, PNG, BMP, GIF or WebP pictures of any size, with random access; an `Examples`.

    Args:
        dataset: The `Dataset` they are of; its images must be square.
        count: Number of examples.
        fetch: Function from the positions of examples, int64 `(n,)`, to encoded pictures, object
            `(n,)` of bytes, and labels, int64 `(n,)`, all numpy; of a `multi_label` dataset 0 and
            1, `(n, classes)`. Called from several threads.
        class_names: Name of each class.
        crop_fraction: Share of the shorter side that evaluation keeps: it is resized to
            `1 / crop_fraction` of the image's, and the middle is kept. Defaults to 7/8.

    Raises:
        Mistake: If the dataset's images are not square with 3 channels, or class names do not
            fit it.

    Example:

    >>> import dataclasses, tensorflow as tf
    >>> encoded = np.array([tf.io.encode_png(np.zeros((40, 50, 3), "uint8")).numpy()] * 8, object)
    >>> examples = kr.data.EncodedExamples(
    ...     kr.data.DIGITS,
    ...     count=8,
    ...     fetch=lambda indices: (encoded[indices], indices.astype("int64")),
    ...     class_names=kr.data.DIGITS.class_names,
    ... )
    >>> next(iter(kr.data.evaluation_batches(examples, batch_size=8)))["images"].shape
    TensorShape([8, 32, 32, 3])
    """

    def __init__(
        self,
        dataset: Dataset,
        count: int,
        fetch: Callable,
        class_names: Sequence[str],
        crop_fraction: float = MARGIN,
    ):
        height, width, channels = dataset.image_shape
        if height != width or channels != 3:
            raise Mistake(
                f"`image_shape` of {dataset.name} must be square, with 3 channels. "
                f"Received: image_shape={dataset.image_shape}."
            )
        check_integer("count", count, 1)
        check_found(dataset, class_names)
        self.dataset = dataset
        self.class_names = tuple(class_names)
        self._count = count
        self.fetch = fetch
        self.crop_fraction = crop_fraction
        self._classes = len(class_names)

    def __len__(self):
        return self._count

    def reader(self, transforms):
        """Returns what reads a batch, and the transforms that are left to apply to it.

        A `RandomResizedCrop` in front is done while decoding. Without one, pictures are
        read as for evaluation.
        """
        size = self.dataset.image_shape[0]
        crop, remaining = None, transforms
        if transforms and isinstance(transforms[0], RandomResizedCrop):
            crop, *remaining = transforms

        def image(arguments):
            encoded, draws = arguments
            if crop is None:
                return prepare(encoded, self.dataset.image_shape, self.crop_fraction)
            picture, _ = decode(encoded, lambda sides: crop.window(sides, draws))
            return resize(picture, crop.size)

        def read_batch(indices, rows):
            encoded, labels = tf.numpy_function(
                self._fetch_checked, [indices], (tf.string, tf.int64), stateful=False
            )
            count = indices.shape[0]
            draws = tf.zeros((count, 0)) if crop is None else crop.draw(count, rows)
            shape = (size if crop is None else crop.size,) * 2 + (3,)
            images = map_images(
                image, (tf.ensure_shape(encoded, (count,)), draws), tf.TensorSpec(shape, "uint8")
            )
            if self.dataset.multi_label:
                labels = tf.cast(tf.ensure_shape(labels, (count, self._classes)), "float32")
            else:
                labels = tf.one_hot(tf.ensure_shape(labels, (count,)), self.dataset.classes)
            return {"images": tf.ensure_shape(images, (count, *shape)), "labels": labels}

        return read_batch, remaining

    def _fetch_checked(self, indices):
        """As `fetch`; labels without a class would become rows of zeros."""
        encoded, labels = self.fetch(indices)
        labels = np.asarray(labels, "int64")
        if self.dataset.multi_label:
            check_tags(self.dataset, labels)
            return np.asarray(encoded, object), labels
        outside = labels[(labels < 0) | (labels >= self._classes)]
        if len(outside):
            raise Mistake(
                f"Labels of {self.dataset.name} must be from 0 to {self._classes - 1}. "
                f"Received: {outside[0]}."
            )
        return np.asarray(encoded, object), labels
