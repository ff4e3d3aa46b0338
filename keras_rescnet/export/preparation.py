"""Pictures as the evaluation prepares them, in operations that a SavedModel can hold."""

import tensorflow as tf

from keras_rescnet.data.decoding import MARGIN, decode_middle


def prepare(encoded, image_shape, crop_fraction):
    """Returns uint8 pixels of `image_shape` from the bytes of a picture file.

    The shorter side is resized to `1 / crop_fraction` of the image's, and the middle is kept.

    Args:
        encoded: Scalar string, a JPEG, PNG, BMP or GIF file; of an animation the first frame.
        image_shape: Height, width and channels.
        crop_fraction: Share of the shorter side that is kept.
    """
    height, width, channels = image_shape
    if height == width and channels == 3 and crop_fraction == MARGIN:
        # What reads the pictures of a folder or of ImageNet, for training and for evaluation
        return tf.ensure_shape(decode_middle(encoded, height), image_shape)
    picture = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
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
