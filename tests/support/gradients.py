"""Gradients as numpy arrays, on the TensorFlow and the JAX backend."""

import contextlib

import keras
import numpy as np


def double_precision():
    """A context in which float64 arrays stay float64: JAX narrows them elsewhere."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.enable_x64(True)
    return contextlib.nullcontext()


def pull_back(function, x, upstream, *, compiled=False):
    """Returns `function(x)` and the gradient of `sum(upstream * function(x))` by `x`.

    `compiled` computes both in one `tf.function` or `jax.jit`.
    """
    x, upstream = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(upstream)
    if keras.backend.backend() == "jax":
        import jax

        def both(x, upstream):
            y, gradient = jax.vjp(function, x)
            return y, gradient(upstream.astype(y.dtype))[0]

        y, gradient = (jax.jit(both) if compiled else both)(x, upstream)
        return _numpy(y), _numpy(gradient)
    import tensorflow as tf

    def both(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x, tf.cast(upstream, y.dtype))

    y, gradient = (tf.function(both) if compiled else both)(x, upstream)
    return _numpy(y), _numpy(gradient)


def hessian_product(function, x, direction):
    """Returns the Hessian of `sum(function(x))` times `direction`."""
    x, direction = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(direction)
    if keras.backend.backend() == "jax":
        import jax

        slope = jax.grad(lambda x: function(x).sum())
        return _numpy(jax.grad(lambda x: (slope(x) * direction).sum())(x))
    import tensorflow as tf

    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = function(x)
        slope = inner.gradient(y, x)
    return _numpy(outer.gradient(slope, x, direction))


def pull_back_layer(layer, x, upstream, *, compiled=False, **options):
    """Returns `layer(x)`, the gradient by `x` and the list of gradients by trainable weight.

    A tuple `x` of inputs of one shape has the gradients stacked. `options` go to the layer.
    """
    inputs = [keras.ops.convert_to_tensor(array) for array in (x if isinstance(x, tuple) else (x,))]
    upstream = keras.ops.convert_to_tensor(upstream)
    if not layer.built:
        layer(*inputs)
    weights = [weight.value for weight in layer.trainable_variables]
    if keras.backend.backend() == "jax":
        import jax

        variables = [*layer.trainable_variables, *layer.non_trainable_variables]
        fixed = [weight.value for weight in layer.non_trainable_variables]

        # Not `stateless_call`, which casts nothing to the layer's compute dtype
        def function(inputs, weights):
            values = zip(variables, [*weights, *fixed], strict=True)
            with keras.StatelessScope(state_mapping=list(values)):
                return layer(*inputs, **options)

        def both(inputs, weights, upstream):
            y, gradient = jax.vjp(function, inputs, weights)
            return y, gradient(upstream.astype(y.dtype))

        both = jax.jit(both) if compiled else both
        y, (by_inputs, by_weights) = both(inputs, weights, upstream)
    else:
        import tensorflow as tf

        def both(inputs, upstream):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                y = layer(*inputs, **options)
            zero = tf.UnconnectedGradients.ZERO
            return y, tape.gradient(y, [inputs, weights], tf.cast(upstream, y.dtype), zero)

        y, (by_inputs, by_weights) = (tf.function(both) if compiled else both)(inputs, upstream)
    by_inputs = [_numpy(gradient) for gradient in by_inputs]
    by_x = np.stack(by_inputs) if isinstance(x, tuple) else by_inputs[0]
    return _numpy(y), by_x, [_numpy(gradient) for gradient in by_weights]


def _numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))
