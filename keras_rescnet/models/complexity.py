"""What a model costs: parameters, multiplications, activations."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import keras

from keras_rescnet.layers import (
    ClassAttention,
    PatchMerging,
    SelfAttention,
    TalkingHeadsAttention,
    WhiteningConv2D,
    WindowAttention,
)


def outline(builder: Callable[..., keras.Model], **kwargs: object) -> keras.Model:
    """Builds a model without drawing its weights: for its shapes only, in a fraction of the time.

    Args:
        builder: One of `keras_rescnet.models`.
        **kwargs: Its arguments.

    Returns:
        A `keras.Model` that cannot be called on numbers.
    """

    def build():
        with keras.StatelessScope(initialize_variables=False):
            return builder(**kwargs)

    # Keras keeps weights that are not drawn yet in the session of a thread, and draws them all
    # when that session next leaves a scope. This thread's session ends with it.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(build).result()


def count_parameters(model: keras.Model) -> int:
    """Returns the number of trainable parameters."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def multiplications(model: keras.Model) -> tuple[int, int]:
    """Counts the multiply-accumulates for one image.

    Every convolution and dense layer is counted at all positions where it is called, those within
    calibration and attention layers too. A layer of its own that calls one more than once per image
    has a method `multiplications(input_shape)` for its count. Adaptive pooling that repeats values
    counts as the reference computes it, once per repeat, though `PooledDense` computes it once.
    Biases, normalizations, activations and the elementwise part of calibration are not counted.

    Args:
        model: A model of these builders, of a known input size.

    Returns:
        A pair: those of convolutions and dense layers; those of the two products of attention,
        queries by keys and weights by values.
    """
    counts = [_count(layer) for layer in model.layers if layer.weights]
    products, attention = zip(*counts, strict=True)
    return sum(products), sum(attention)


def _count(layer):
    if isinstance(layer, SelfAttention):
        return _count_attention(layer)
    kernels = sum(math.prod(w.shape) for w in layer.weights if w.path.endswith("/kernel"))
    if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense | PatchMerging | WhiteningConv2D):
        return _positions(layer.output) * kernels, 0
    if hasattr(layer, "multiplications"):
        return layer.multiplications(layer.output.shape), 0
    return kernels, 0  # other calibration layers and PooledDense multiply once per image


def _count_attention(layer):
    tokens, channels = _positions(layer.input), layer.input.shape[-1]
    queries = 1 if isinstance(layer, ClassAttention) else tokens
    keys = layer.window_size**2 if isinstance(layer, WindowAttention) else tokens
    # The maps to query and output meet every query, those to key and value every token
    products = (2 * queries + 2 * tokens) * channels**2
    if isinstance(layer, TalkingHeadsAttention):
        products += 2 * queries * keys * layer.heads**2
    return products, 2 * queries * keys * channels


def _positions(tensor):
    return math.prod(tensor.shape[1:-1])


def activation_bytes(model: keras.Model) -> int:
    """Returns the float32 bytes that the outputs of all layers take for one image."""
    outputs = [layer.output for layer in model.layers if layer.name != "images"]
    return 4 * sum(math.prod(output.shape[1:]) for output in outputs)
