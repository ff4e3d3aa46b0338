"""What a model costs: parameters, multiplications, activations."""

import math
from unittest import mock

import keras
import numpy as np

from keras_rescnet.layers.pooled_dense import PooledDense
from keras_rescnet.layers.self_attention import SelfAttention


def outline(builder, **kwargs):
    """Builds a model without drawing its weights: for its shapes only, in a fraction of the time.

    Clears the Keras session, which would go on to draw them later.

    Args:
        builder: One of `keras_rescnet.models`.
        **kwargs: Its arguments.

    Returns:
        A `keras.Model` that cannot be called on numbers.
    """
    with keras.StatelessScope(initialize_variables=False):
        model = builder(**kwargs)
    keras.utils.clear_session()
    return model


def parameters(model):
    """Returns the number of trainable parameters."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def multiplications(model):
    """Counts the multiply-accumulates for one image.

    Every convolution and dense layer is counted where it is called, those within calibration and
    attention layers too. Adaptive pooling that repeats values counts as the reference computes
    it, once per repeat, though `PooledDense` computes it once. Biases, normalizations,
    activations and the elementwise part of calibration are not counted.

    Args:
        model: A model of these builders, of a known input size.

    Returns:
        A pair: those of convolutions and dense layers; those of the two products of attention,
        queries by keys and weights by values.
    """
    counts = {}  # of layers alike, such as the calibrations of one stage, one is traced
    total = np.zeros(2, "int64")
    for layer in model.layers:
        if not layer.weights:
            continue
        shapes = [tensor.shape for tensor in keras.tree.flatten(layer.input)]
        key = repr((type(layer), {**layer.get_config(), "name": None}, shapes))
        if key not in counts:
            counts[key] = _count(layer)
        total += counts[key]
    return int(total[0]), int(total[1])


def _count(layer):
    if isinstance(layer, keras.layers.Conv2D):
        return math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape), 0
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.input.shape[1:-1]) * math.prod(layer.kernel.shape), 0
    if isinstance(layer, PooledDense):
        return math.prod(layer.kernel.shape), 0
    if isinstance(layer, keras.layers.BatchNormalization):
        return 0, 0
    products, attention = [], []

    def dense(layer, inputs, outputs):
        products.append(math.prod(inputs.shape[1:-1]) * math.prod(layer.kernel.shape))

    def attend(layer, query, key, value, outputs):
        attention.append(2 * math.prod(query.shape[1:]) * key.shape[-3])

    with (
        keras.StatelessScope(initialize_variables=False),
        mock.patch.object(keras.layers.Dense, "call", _counted(keras.layers.Dense.call, dense)),
        mock.patch.object(SelfAttention, "attend", _counted(SelfAttention.attend, attend)),
    ):
        _Trace(layer)(keras.Input(batch_shape=(1, *layer.input.shape[1:])))
    return sum(products), sum(attention)


def activation_bytes(model):
    """Returns the float32 bytes that the outputs of all layers take for one image."""
    outputs = [layer.output for layer in model.layers if layer.name != "images"]
    return 4 * sum(math.prod(output.shape[1:]) for output in outputs)


class _Trace(keras.layers.Layer):
    """Calls a layer where Keras might ask it for its output shape alone."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs):
        """Returns the layer's output."""
        return self.layer(inputs)


def _counted(method, count):
    def call(layer, *args):
        outputs = method(layer, *args)
        count(layer, *args, outputs)
        return outputs

    return call
