"""Runs an operation of its own on every image of a batch."""

import tensorflow as tf

from keras_rescnet.mistake import Mistake


def apply_chosen(images, operations, choice, magnitudes):
    """Applies to each image the operation it drew, each operation once, on those that drew it.

    Args:
        images: uint8 `(n, H, W, 3)`.
        operations: Pairs of a function of `keras_rescnet.augment.pillow` and whether it takes a
            magnitude.
        choice: int32 `(n,)`, positions in `operations`; `len(operations)` for none.
        magnitudes: float64 `(n,)`.

    Returns:
        uint8 images of the same shape.
    """
    members = tf.dynamic_partition(tf.range(images.shape[0]), choice, len(operations) + 1)
    results = []
    for (operation, takes_magnitude), rows in zip(operations, members[:-1], strict=True):
        chosen = tf.gather(images, rows)
        arguments = [tf.gather(magnitudes, rows)] if takes_magnitude else []
        results.append(operation(chosen, *arguments))
    results.append(tf.gather(images, members[-1]))
    return tf.reshape(tf.dynamic_stitch(members, results), images.shape)


def as_uint8(images):
    """Returns images as the uint8 that Pillow's operations need, rounding floats."""
    if images.shape[-1] != 3:
        raise Mistake(
            f"AutoAugment and RandAugment need images of 3 channels. Received: {images.shape}."
        )
    if images.dtype == tf.uint8:
        return images
    return tf.cast(tf.clip_by_value(tf.round(images), 0, 255), "uint8")
