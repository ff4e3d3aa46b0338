"""Images in the uint8 that Pillow's operations need, from any range of values and back."""

import tensorflow as tf

from keras_rescnet.arguments import is_number
from keras_rescnet.mistake import Mistake, shorten

PIXELS = (0, 255)
SLACK = 25  # levels of 255 by which sums of images may overshoot their range


def check_value_range(value_range):
    """Returns a range of values as a tuple.

    Raises:
        Mistake: If it is not two rising numbers.
    """
    is_pair = isinstance(value_range, tuple | list) and len(value_range) == 2
    if not is_pair or not all(map(is_number, value_range)) or value_range[0] >= value_range[1]:
        raise Mistake(
            "`value_range` must be the smallest and the largest value of images, such as (0, 255). "
            f"Received: value_range={shorten(value_range)}."
        )
    return tuple(value_range)


def to_pixels(images, value_range, name, rows):
    """Returns images with `value_range` stretched to [0, 255]; those in [0, 255] as they are.

    Args:
        images: Tensor of any real dtype, with values in `value_range`.
        value_range: Smallest and largest value, which become 0 and 255.
        name: Name of the transform, for messages.
        rows: The `Rows` it was given.
    """
    if value_range == PIXELS:
        return check_pixels(images, name, rows)
    low, high = value_range
    received = tf.cast(images, "float32")
    pixels = (received - low) * (255 / (high - low))
    beyond = (tf.reduce_min(pixels) < -SLACK) | (tf.reduce_max(pixels) > 255 + SLACK)
    expected = f"{name} needs images in its value_range. Received: value_range={value_range} and"
    return _refuse_if(beyond, expected, received, pixels)


def to_uint8(images, value_range, name, rows):
    """Returns images as uint8: stretched, rounded, and cut off at 0 and 255."""
    images = to_pixels(images, value_range, name, rows)
    if images.dtype == tf.uint8:
        return images
    return tf.cast(tf.clip_by_value(tf.round(images), 0, 255), "uint8")


def from_uint8(images, value_range):
    """Returns uint8 images as they are for (0, 255), else as float32 in `value_range`."""
    if value_range == PIXELS:
        return images
    low, high = value_range
    return tf.cast(images, "float32") * ((high - low) / 255) + low


def check_pixels(images, name, rows):
    """Returns images; raises `Mistake` if floats are evidently not pixels in [0, 255].

    Not so are images whose largest value is at most 1, and negative ones without large values.
    In a graph the same is checked when it runs, and ends in TensorFlow's InvalidArgumentError. In
    `train_batches` nothing is: pixels are in [0, 255] there, and some batches are nearly black.
    """
    if rows.run_seed is not None or not images.dtype.is_floating or 0 in images.shape:
        return images
    least, most = tf.reduce_min(images), tf.reduce_max(images)
    other_range = ((most > 0) & (most <= 1)) | ((least < 0) & (most < 10))
    expected = (
        f"{name} needs images in [0, 255]. For others say which, such as value_range=(0, 1). "
        "Received:"
    )
    return _refuse_if(other_range, expected, images, images)


def _refuse_if(condition, message, received, images):
    """Returns `images`; raises if a condition, a tensor, holds for those that were `received`."""
    least, most = tf.reduce_min(received), tf.reduce_max(received)
    if tf.executing_eagerly():
        if condition:
            raise Mistake(f"{message} images from {float(least):g} to {float(most):g}.")
        return images
    check = tf.debugging.Assert(~condition, [message, "images from", least, "to", most])
    with tf.control_dependencies([check]):
        return tf.identity(images)
