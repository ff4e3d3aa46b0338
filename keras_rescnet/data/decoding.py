"""From the bytes of a picture file to pixels, as Pillow and torchvision prepare them."""

import tensorflow as tf

from keras_rescnet.augment.random_resized_crop import resize

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp")  # that can be read
MARGIN = 224 / 256  # share of the shorter side that evaluation keeps


def decode_middle(encoded, size):
    """Resizes the shorter side to 8/7 of `size`, as Pillow does, and keeps the middle.

    Only the part of the picture that can be seen in the result is decoded.

    Args:
        encoded: Scalar string: the bytes of a JPEG, PNG, BMP, GIF or WebP file.
        size: Side of the resulting square in pixels.

    Returns:
        uint8 `(size, size, 3)`.
    """

    def geometry(sides):
        resized = round(size / MARGIN) * sides // tf.reduce_min(sides)  # as torchvision rounds it
        scale = tf.cast(resized, "float32") / tf.cast(sides, "float32")
        start = tf.round(tf.cast(resized - size, "float32") / 2)
        support = 2 + 1 / scale  # of the antialiasing filter
        first = tf.maximum(tf.floor(start / scale - support), 0)
        end = tf.minimum(tf.math.ceil((start + size) / scale + support), tf.cast(sides, "float32"))
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
        encoded: Scalar string: the bytes of a JPEG, PNG, BMP, GIF or WebP file.
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
