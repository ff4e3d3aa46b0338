"""Bits of sums: the theorem term by term, the sums that layers make, and what both give."""

import math

import keras
import numpy as np
import pytest
from keras import layers

import keras_rescnet as kr
from keras_rescnet.analysis.accumulation import (
    alexnet,
    bits_of,
    least_mantissa,
    lost_variance,
    sums_of,
    uncounted,
)
from support.gradients import pull_back_layer


def two_tails(x):
    return math.erfc(x / math.sqrt(2))


def retention(m, p, n):
    """VRR as it is written, one term after the other."""

    def start(last):
        terms = (2**j * (2**j - 1) * (2 ** (j + 1) - 1) for j in range(1, last + 1))
        return 2.0 ** (m - 3 * p) / 3 * sum(terms)

    kept = k = 1 - two_tails(2.0 ** (m - p + 1) / math.sqrt(n))
    kept *= n
    for i in range(2, n):
        if i > start(p):
            q = two_tails(2.0**m / math.sqrt(i)) * (1 - two_tails(2.0**m / math.sqrt(i - 1)))
            kept, k = kept + (i - start(p)) * q, k + q
    for j in range(2, p + 1):
        if n > start(j - 1):
            q = 2.0 ** (m - p + j) * two_tails(2.0 ** (m - p + j - 1) / math.sqrt(n))
            q *= 1 - two_tails(2.0 ** (m - p + j) / math.sqrt(n))
            kept, k = kept + (n - start(j - 1)) * q, k + q
    return kept / (k * n)


@pytest.mark.parametrize("length", [3, 27, 576, 20_000])
def test_lost_variance_is_the_theorem_term_by_term(length):
    for mantissa, product in ((5, 5), (7, 5), (9, 5), (9, 3), (11, 11)):
        expected = 1 - retention(mantissa, product, length)
        found = lost_variance(mantissa, product, length)
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-12)


def serves(m, p, n, chunk=None):
    kept = retention(m, p, n)
    if chunk and n > chunk:
        kept = retention(m, p, chunk)
        kept *= retention(m, min(m, p + int(math.log2(chunk))), math.ceil(n / chunk))
    return n * (1 - kept) < math.log(50)


@pytest.mark.parametrize("length", [144, 288, 2304])
@pytest.mark.parametrize("chunk", [None, 64])
def test_the_least_mantissa_serves_and_one_bit_less_does_not(length, chunk):
    bits = least_mantissa(length, 5, chunk)
    assert serves(bits, 5, length, chunk)
    assert bits == 5 or not serves(bits - 1, 5, length, chunk)


def test_resnet32_needs_what_the_theorem_gave_elsewhere():
    """Computed once more by other code of this project; not the figures of the paper's table."""
    rows = bits_of(sums_of(kr.models.CifarResNet32(), 128))
    found = {row.sums.layer.partition(" ..")[0]: row for row in rows}
    expected = {  # layer: forward, backward and gradient, of one sum and in chunks of 64
        "stem_conv": ((5, None, 12), (5, None, 11)),
        "stage1_block1_1_conv": ((5, 5, 12), (5, 5, 11)),
        "stage2_block2_1_conv": ((6, 6, 11), (5, 5, 9)),
        "stage3_block2_1_conv": ((7, 7, 9), (6, 6, 8)),
    }
    for layer, (single, chunked) in expected.items():
        assert (found[layer].single, found[layer].chunked) == (single, chunked), layer
    assert found["stage2_block2_1_conv"].layers == 8
    assert sum(row.layers for row in rows) == 34  # 31 of 3 x 3, two shortcuts, the logits
    assert found["stem_conv"].sums.gradient == 128 * 32 * 32


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.Conv2D(6, 3), (8, 8, 4)),
        (lambda: layers.Conv2D(6, (1, 3), groups=2), (8, 8, 4)),
        (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 4)),
        (lambda: layers.Conv1D(6, 5), (16, 4)),
        (lambda: layers.Dense(7), (9, 4)),
        (lambda: layers.Dense(7), (4,)),
        (lambda: kr.layers.PooledDense(5, pool_size=2), (2, 2, 4)),
    ],
)
def test_sums_are_counted_by_layers_of_ones(make, shape):
    """Ones times ones add up to the number of products, of outputs and of both gradients."""
    layer = make()
    first = layers.Dense(shape[-1], name="first")  # so that the layer has a backward sum
    model = keras.Sequential([keras.Input(shape), first, layer])
    layer.set_weights(
        [np.full(w.shape, float("kernel" in w.path), "float32") for w in layer.weights]
    )
    images = np.ones((3, *shape), "float32")
    upstream = np.ones(layer(images).shape, "float32")
    outputs, by_inputs, (by_kernel, *_) = pull_back_layer(layer, images, upstream)
    row = sums_of(model, 3)[1]
    assert row.layer == layer.name
    counted = [outputs.max(), by_inputs.max(), by_kernel.max()]
    assert [row.forward, row.backward, row.gradient] == counted


def test_layers_within_models_and_layers_are_counted_at_every_call():
    inner = keras.Sequential([keras.Input((4, 4, 8)), layers.Conv2D(8, 1, name="c")], name="inner")
    images = keras.Input((None, None, 8))
    x = inner(inner(images))
    x = kr.layers.RCLayer(reduction=4, name="rc")(x)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    model = keras.Model(images, x)
    rows = sums_of(model, 10, input_size=4)
    assert [row.layer for row in rows[:2]] == ["inner/c", "inner/c"]
    assert {row.layer for row in rows[2:]} == {"rc/hidden", "rc/mean", "rc/log_variance"}
    hidden = next(row for row in rows if row.layer == "rc/hidden")
    assert (hidden.forward, hidden.backward, hidden.gradient) == (8, 2, 10)
    projections = {f"attention/{name}" for name in ("query", "key", "value", "attention_output")}
    assert set(uncounted(model)) == projections
    with pytest.raises(kr.Mistake, match="of known shape: give the side .*Received: .*None"):
        sums_of(model, 10)


def test_alexnet_has_the_weights_of_its_source():
    rows = alexnet(256)
    # 61,100,840 parameters without 10,344 biases; fc8 last has its 1,000 outputs backward
    taps = {"conv1": 121, "conv2": 25, "conv3": 9, "conv4": 9, "conv5": 9}
    outputs = [64, *(row.backward // taps.get(row.layer, 1) for row in rows[1:])]
    assert sum(row.forward * n for row, n in zip(rows, outputs, strict=True)) == 61_090_496
    assert [row.gradient // 256 for row in rows] == [55**2, 27**2, *[13**2] * 3, 1, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "`length` must be at least 1 .*Received: length=0"),
        ((10, 0), "`product` from 1 to 24. Received: length=10, product=0"),
        ((10, 5, 48), "`chunk` must be a power of 2, at least 2. Received: chunk=48"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(kr.Mistake, match=message):
        least_mantissa(*arguments)


def test_models_without_sums_or_shapes_are_refused():
    empty = keras.Sequential([keras.Input((4,)), layers.ReLU()], name="empty")
    with pytest.raises(kr.Mistake, match="a convolution or a dense layer. Received: empty"):
        sums_of(empty, 1)

    class Own(keras.Model):
        pass

    with pytest.raises(kr.Mistake, match="functional or sequential.*Received: .* of Own"):
        sums_of(Own(), 1)
