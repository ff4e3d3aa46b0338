"""Examples that stay in their files and are decoded by batch."""

import tensorflow as tf

from keras_rescnet.augment.random_resized_crop import RandomResizedCrop, resize
from keras_rescnet.mistake import Mistake

MARGIN = 224 / 256  # share of the shorter side that evaluation keeps


class EncodedExamples:
    """JPEG, PNG, BMP or GIF pictures of any size, with random access.

    Args:
        dataset: The `Dataset` they are of; its images must be square.
        count: Number of examples.
        fetch: Function from rows, int `(B,)`, to encoded pictures, object `(B,)` of bytes, and
            labels, int64 `(B,)`, all numpy. Called from several threads.
        class_names: Name of each class.
    """

    def __init__(self, dataset, count, fetch, class_names):
        height, width, channels = dataset.image_shape
        if height != width or channels != 3:
            raise Mistake(
                f"`image_shape` of {dataset.name} must be square, with 3 channels. "
                f"Received: image_shape={dataset.image_shape}."
            )
        if len(class_names) != dataset.classes:
            raise Mistake(
                f"{dataset.name} must have {dataset.classes} classes. "
                f"Received: {len(class_names)} class names."
            )
        self.dataset = dataset
        self.class_names = tuple(class_names)
        self._count = count
        self._fetch = fetch

    def __len__(self):
        return self._count

    def reading(self, transforms):
        """Returns what reads a batch, and the transforms that are then left to do.

        A `RandomResizedCrop` in front is done while decoding. Without one, pictures are
        read as for evaluation: the shorter side resized to 8/7 of the image size, and the
        middle kept.
        """
        size = self.dataset.image_shape[0]
        crop, rest = None, transforms
        if transforms and isinstance(transforms[0], RandomResizedCrop):
            crop, *rest = transforms

        def image(arguments):
            encoded, draws = arguments
            if crop is None:
                return decode_middle(encoded, size)
            picture, _ = decode(encoded, lambda sides: crop.window(sides, draws))
            return resize(picture, crop.size)

        def read(rows, seed):
            encoded, labels = tf.numpy_function(
                self._fetch, [rows], (tf.string, tf.int64), stateful=False
            )
            count = rows.shape[0]
            draws = tf.zeros((count, 0)) if crop is None else crop.draws(count, seed)
            shape = (size if crop is None else crop.size,) * 2 + (3,)
            images = tf.map_fn(
                image,
                (tf.ensure_shape(encoded, (count,)), draws),
                fn_output_signature=tf.TensorSpec(shape, "uint8"),
            )
            labels = tf.one_hot(tf.ensure_shape(labels, (count,)), self.dataset.classes)
            return {"images": tf.ensure_shape(images, (count, *shape)), "labels": labels}

        return read, rest


def decode_middle(encoded, size):
    """Resizes the shorter side to 8/7 of `size`, as Pillow does, and keeps the middle.

    Only the part of the picture that can be seen in the result is decoded.
    """

    def geometry(sides):
        resized = round(size / MARGIN) * sides // tf.reduce_min(sides)  # as torchvision rounds it
        scale = tf.cast(resized, "float32") / tf.cast(sides, "float32")
        start = tf.round(tf.cast(resized - size, "float32") / 2)
        reach = 2 + 1 / scale  # of the antialiasing filter
        first = tf.maximum(tf.floor(start / scale - reach), 0)
        end = tf.minimum(tf.math.ceil((start + size) / scale + reach), tf.cast(sides, "float32"))
        return scale, start, first, end

    def window(sides):
        _, _, first, end = geometry(sides)
        return tf.unstack(tf.cast(tf.concat([first, end - first], axis=0), "int32"))

    picture, sides = decode(encoded, window)
    scale, start, first, _ = geometry(sides)
    return resize(picture, size, scale, first * scale - start)


def decode(encoded, window):
    """Decodes part of a picture.

    Args:
        encoded: Scalar string.
        window: Function from the picture's height and width, int32 `(2,)`, to top, left, rows
            and columns.

    Returns:
        uint8 `(rows, columns, 3)`, and the whole picture's height and width.
    """

    def jpeg():
        sides = tf.image.extract_jpeg_shape(encoded)[:2]
        box = tf.stack(window(sides))
        part = tf.image.decode_and_crop_jpeg(
            encoded, box, channels=3, dct_method="INTEGER_ACCURATE"
        )
        return part, sides

    def other():
        whole = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        sides = tf.shape(whole)[:2]
        top, left, rows, columns = window(sides)
        return whole[top : top + rows, left : left + columns], sides

    return tf.cond(tf.io.is_jpeg(encoded), jpeg, other)
