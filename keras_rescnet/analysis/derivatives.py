"""Derivatives of functions of tensors, with Keras on TensorFlow or JAX."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_rescnet.mistake import Mistake


def gradient(function: Callable, tensors: list) -> list:
    """Returns the derivatives of a number by tensors, in which it may be differentiated again.

    Both times backwards: JAX has no forward derivative of functions with a written gradient.

    Args:
        function: Takes a list of tensors and returns a scalar.
        tensors: The list.

    Returns:
        Tensors of their shapes, 0 where the number does not depend on one.

    Raises:
        Mistake: If Keras runs on another backend.
    """
    if _backend() == "jax":
        import jax

        return jax.grad(function)(tensors)
    import tensorflow as tf

    from keras_rescnet.tensorflow_ops import dense

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(tensors)
    return [dense(slope) for slope in tape.gradient(value, tensors, None, "zero")]


@contextlib.contextmanager
def twice_differentiable() -> Iterator[None]:
    """Within it, normalizations are called that may be differentiated twice on TensorFlow.

    Those of `kr.layers.BatchNormalization` have a second derivative of their own, in few passes.
    Keras's own would have a wrong one: they call `tf.nn.moments`, which stops the gradient of
    the mean that it subtracts. The variance does not depend on that mean to first order, but to
    second order it does. Not for several threads at once.
    """
    if _backend() == "jax":
        yield
        return
    import tensorflow as tf

    from keras_rescnet.tensorflow_ops import differentiates_twice

    stopping = tf.nn.moments

    def moments(x, axes, shift=None, keepdims=False, name=None):
        mean = tf.reduce_mean(x, axes, keepdims=True)
        variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axes, keepdims=keepdims)
        return (mean if keepdims else tf.squeeze(mean, axes)), variance

    token = differentiates_twice.set(True)
    tf.nn.moments = moments
    try:
        yield
    finally:
        tf.nn.moments = stopping
        differentiates_twice.reset(token)


def compiled(function: Callable) -> Callable[..., Any]:
    """Returns a function of tensors and numpy arrays, traced once per shapes."""
    if _backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, autograph=False, reduce_retracing=True)


def _backend():
    name = keras.backend.backend()
    if name not in ("tensorflow", "jax"):
        raise Mistake(
            "Derivatives need Keras on TensorFlow or JAX: set KERAS_BACKEND. "
            f"Received: Keras on {name}."
        )
    return name
