"""From the bytes of a picture file to pixels, as Pillow and torchvision prepare them."""

import tensorflow as tf

from keras_rescnet.augment.random_resized_crop import resize

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp")  # that can be read
MARGIN = 224 / 256  # share of the shorter side that evaluation keeps


def prepare(encoded, image_shape, crop_fraction):
    """Returns uint8 pixels of `image_shape` from a picture file, as for evaluation.

    The shorter side is resized to `1 / crop_fraction` of the image's, and the middle is kept. Of
    an animation the first frame is taken.

    Args:
        encoded: Scalar string: the bytes of a JPEG, PNG, BMP, GIF or WebP file.
        image_shape: Height, width and channels.
        crop_fraction: Share of the shorter side that is kept.
    """
    height, width, channels = image_shape
    if height == width and channels == 3 and crop_fraction == MARGIN:
        # What reads the pictures of a folder or of ImageNet, for training and for evaluation
        return tf.ensure_shape(decode_middle(encoded, height), image_shape)
    picture = _decode_whole(encoded, channels)
    sides = tf.cast(tf.shape(picture)[:2], "float32")
    scale = tf.reduce_max([height, width] / sides) / crop_fraction
    resized = tf.raw_ops.ScaleAndTranslate(
        images=tf.cast(picture, "float32")[None],
        size=(height, width),
        scale=tf.stack([scale, scale]),
        translation=tf.round(([height, width] - scale * sides) / 2),
        kernel_type="triangle",
        antialias=True,
    )[0]
    pixels = tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), "uint8")
    return tf.ensure_shape(pixels, image_shape)


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
        whole = _decode_whole(encoded, 3)
        sides = tf.shape(whole)[:2]
        top, left, rows, columns = window(sides)
        return whole[top : top + rows, left : left + columns], sides

    return tf.cond(tf.io.is_jpeg(encoded), jpeg, other)


def _decode_whole(encoded, channels):
    if channels not in (1, 3):
        return tf.io.decode_image(encoded, channels=channels, expand_animations=False)

    def jpeg(channels=channels):
        return tf.io.decode_jpeg(encoded, channels=channels, dct_method="INTEGER_ACCURATE")

    def png():
        return tf.io.decode_png(encoded, channels=channels)

    def grey(picture):
        return picture if channels == 3 else tf.image.rgb_to_grayscale(picture)

    def any_jpeg():
        if channels == 3:
            return jpeg()
        is_cmyk = tf.image.extract_jpeg_shape(encoded)[2] == 4  # not decoded to one channel
        return tf.cond(is_cmyk, lambda: grey(jpeg(3)), jpeg)

    def other():
        is_png = tf.strings.substr(encoded, 0, 4) == b"\x89PNG"
        return tf.cond(is_png, png, lambda: grey(_decode_colours(encoded)))

    return tf.cond(tf.io.is_jpeg(encoded), any_jpeg, other)


def _decode_colours(encoded):
    """Decodes a BMP, GIF or WebP file to three channels."""

    def bmp():
        """TensorFlow's `decode_bmp` takes the entries of a palette for grey."""
        head = tf.io.decode_raw(tf.strings.substr(encoded, 10, 8), "int32")
        first, size = head[0], head[1]  # byte of the first pixel, bytes of the second header
        palette = tf.strings.substr(encoded, 14 + size, first - 14 - size)
        colours = tf.reshape(tf.io.decode_raw(palette, "uint8"), (-1, 4))[:, 2::-1]  # from BGR
        entries = tf.io.decode_bmp(encoded)[..., 0]
        return tf.gather(colours, tf.cast(entries, "int32"))

    def webp_with_alpha():
        return tf.io.decode_image(encoded, channels=4, expand_animations=False)[..., :3]

    def other():
        return tf.io.decode_image(encoded, channels=3, expand_animations=False)

    head = tf.io.decode_raw(tf.strings.substr(encoded, 0, 28), "uint8")

    def has_flag(kind, byte):
        return (tf.strings.substr(encoded, 8, 8) == b"WEBP" + kind) & (head[byte] & 0x10 > 0)

    # TensorFlow decodes WebP to as many channels as the file says, and no others. Not with
    # channels=0: an animation without alpha, which it refuses otherwise, then overwrites memory.
    has_alpha = has_flag(b"VP8X", 20) | has_flag(b"VP8L", 24)
    is_bmp = tf.strings.substr(encoded, 0, 2) == b"BM"
    has_palette = is_bmp & (tf.strings.substr(encoded, 28, 2) == b"\x08\x00")  # bits per pixel
    return tf.case([(has_palette, bmp), (has_alpha, webp_with_alpha)], default=other)
