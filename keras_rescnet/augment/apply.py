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
    for (operation, takes_magnitude), positions in zip(operations, members[:-1], strict=True):
        chosen = tf.gather(images, positions)
        arguments = [tf.gather(magnitudes, positions)] if takes_magnitude else []
        results.append(operation(chosen, *arguments))
    results.append(tf.gather(images, members[-1]))
    return tf.reshape(tf.dynamic_stitch(members, results), images.shape)


def check_colour(images, name):
    """Raises `Mistake` unless images have three channels."""
    if images.shape[-1] != 3:
        raise Mistake(
            f"{name} needs images of 3 channels. Received: images of shape {tuple(images.shape)}."
        )
