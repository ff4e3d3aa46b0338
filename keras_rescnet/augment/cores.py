"""How many CPU cores there are to work with."""

import os

import tensorflow as tf


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # what taskset, Slurm and Docker leave to it
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_images(function, images, signature):
    """Calls `function` on every image of a batch, on all cores at once.

    Args:
        function: Function of what one row of `images` holds.
        images: Tensor or tuple of tensors, with as many rows.
        signature: `tf.TensorSpec` of what it returns.
    """
    # TensorFlow works on 10 at a time of itself, whatever the machine; eagerly on one.
    parallel = None if tf.executing_eagerly() else max(10, available_cores())
    return tf.map_fn(function, images, fn_output_signature=signature, parallel_iterations=parallel)
