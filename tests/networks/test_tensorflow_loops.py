"""What TensorFlow's loops do beside their own work: casts, and what they compute again."""

import math
import pathlib
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from support import ENVIRONMENT, ROOT

if keras.backend.backend() != "tensorflow":
    pytest.skip("of TensorFlow's graphs", allow_module_level=True)

import tensorflow as tf

from keras_rescnet import tensorflow_loops

SHAPE = (4, 6, 6, 16)
X, UPSTREAM, SHORTCUT = np.random.default_rng(0).normal(size=(3, *SHAPE)).astype("float32")


def in_a_loop(function, *arguments):
    loop = tensorflow_loops.compiled(function, eager=None)
    return tf.function(loop)(*map(tf.constant, arguments)).numpy()


def test_every_bfloat16_is_widened_to_itself():
    bits = np.arange(2**16, dtype="uint16")
    halves = tf.bitcast(bits, tf.bfloat16)
    found = in_a_loop(lambda x: tensorflow_loops.cast(x, "float32"), halves).view("uint32")
    np.testing.assert_array_equal(found, bits.astype("uint32") << 16)


def test_float32_is_rounded_to_the_nearest_bfloat16():
    bits = np.random.default_rng(0).integers(0, 2**32, 2**17, dtype="uint64").astype("uint32")
    ties = np.array([0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x00008000, 0x80000000], "uint32")
    x = np.concatenate([bits, ties, [0x7FFFFFFF, 0xFFFFFFFF]]).astype("uint32").view("float32")
    found = in_a_loop(lambda x: tensorflow_loops.cast(x, "bfloat16"), x)
    nan = np.isnan(x)
    assert np.isnan(found.astype("float32"))[nan].all()
    expected = np.where(nan, 0, x).astype(found.dtype)  # by ml_dtypes
    np.testing.assert_array_equal(found[~nan].view("uint16"), expected[~nan].view("uint16"))


def test_casts_in_loops_have_gradients():
    def product(x):
        wide = tensorflow_loops.cast(x, "float32")
        return tensorflow_loops.cast(wide * wide, "bfloat16")

    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tensorflow_loops.compiled(product, eager=None)(x)
        return tape.gradient(y, x)

    x = tf.constant([1.5, -3.0], tf.bfloat16)
    np.testing.assert_array_equal(tf.cast(gradient(x), "float32"), [3.0, -6.0])


def normalized_then(function, shortcut):
    """Returns a function of images: normalization, a shortcut or none, and `function`."""
    layer = kr.layers.BatchNormalization()
    layer.build(SHAPE)
    layer.gamma.assign(np.linspace(0.5, 2.0, 16))
    layer.beta.assign(np.linspace(-1.0, 1.0, 16))

    def whole(x):
        y = layer(x, training=True)
        return function(keras.layers.add([tf.constant(SHORTCUT), y]) if shortcut else y)

    return whole


@pytest.fixture(scope="module")
def rc_layer():
    layer = kr.layers.RCLayer(reduction=4)
    layer.build(SHAPE)
    return layer


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize("name", ["gclu", "rc_layer"])
def test_what_is_computed_again_is_what_was(name, shortcut, jit_compile, rc_layer, monkeypatch):
    function = normalized_then(kr.gclu if name == "gclu" else rc_layer, shortcut)
    x, upstream = tf.constant(X), tf.constant(UPSTREAM)

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x, upstream)

    again = tf.function(gradient, jit_compile=jit_compile)(x).numpy()
    np.testing.assert_allclose(again, gradient(x), rtol=1e-5, atol=1e-6)
    as_given = tensorflow_loops._given
    monkeypatch.setattr(tensorflow_loops, "_term", lambda tensor: (as_given, (tensor,)))
    np.testing.assert_allclose(again, tf.function(gradient)(x), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_what_is_computed_again_is_what_was_without_onednn():
    """TensorFlow's other kernels keep the statistics of a normalization in the same places."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", __file__, "-k", "is_what_was"]
    environment = {**ENVIRONMENT, "TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert "8 passed" in done.stdout, done.stdout[-3000:]


def slope_of(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x, tf.constant(SHORTCUT))


def second_derivative(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        slope = function(x)
    return tape.gradient(slope, x, tf.constant(UPSTREAM))


@pytest.mark.parametrize(
    ("name", "shortcut", "graph"),
    [
        ("gclu", False, "of both"),
        ("gclu", True, "of both"),
        ("gclu", True, "of the first"),
        ("gclu", True, "compiled"),
        ("rc_layer", True, "of both"),
        ("rc_layer", False, "of the first"),
    ],
)
def test_second_derivatives_go_through_the_statistics(name, shortcut, graph, rc_layer):
    function = normalized_then(rc_layer if name == "rc_layer" else getattr(kr, name), shortcut)
    slope, x = partial(slope_of, function), tf.constant(X)
    expected = second_derivative(slope, x)  # eagerly nothing is computed again
    if graph == "of the first":
        found = second_derivative(tf.function(slope), x)
    else:
        both = partial(second_derivative, slope)
        found = tf.function(both, jit_compile=graph == "compiled")(x)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_a_second_derivative_keeps_nothing_within_a_loop():
    slope = partial(slope_of, kr.gclu)
    graph = tf.function(partial(second_derivative, slope)).get_concrete_function(X).graph
    loops = [len(each.outputs) for each in graph.get_operations() if "Call" in each.type]
    assert loops == [1, 1, 2]  # the value, the slope, and the derivatives by image and upstream


def test_a_third_derivative():
    def curvature(x):
        return second_derivative(partial(slope_of, kr.gelu), x)

    @tf.function
    def third(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = curvature(x)
        return tape.gradient(y, x)

    x = X.astype("float64")
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    expected = SHORTCUT * UPSTREAM * density * (x**3 - 4 * x)  # gelu'' is (2 - x^2) phi
    np.testing.assert_allclose(third(tf.constant(X)), expected, rtol=1e-4, atol=1e-4)


def test_a_network_keeps_no_more_for_gclu_than_for_relu(monkeypatch):
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[2] / "benchmarks")
    from keras_step import bytes_kept

    build = partial(kr.models.CifarResNet8, input_shape=(16, 16, 3))
    relu = bytes_kept(build(), 8)
    assert bytes_kept(build(activation=kr.gclu), 8) <= relu
    calibration = partial(kr.layers.RCLayer, reduction=4)
    assert relu <= bytes_kept(build(calibration=calibration), 8) < 1.05 * relu


FUNCTIONS = [kr.gclu, kr.gelu, kr.layers.RCLayer(reduction=4), kr.layers.SimAM(), kr.layers.ACON()]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_jacobians_of_an_eager_forward_pass(function):
    """Which TensorFlow computes in a graph; they are the gradients of every output."""
    x = tf.constant(X[:, :2, :2])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = tf.reduce_mean(function(x), axis=(1, 2))
        parts = tf.unstack(y, axis=1)
    jacobians = tape.batch_jacobian(y, x)
    for i, part in enumerate(parts):
        np.testing.assert_allclose(jacobians[:, i], tape.gradient(part, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("where", ["eager", "graph", "function within"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients_through_a_map(function, where):
    """Where TensorFlow drops the written gradients and differentiates what is left."""

    def alone(image):
        return function(image[None])[0]

    body = tf.function(alone, autograph=False) if where == "function within" else alone
    mapped = partial(slope_of, partial(tf.vectorized_map, body))
    found = (tf.function(mapped, autograph=False) if where == "graph" else mapped)(tf.constant(X))
    np.testing.assert_allclose(found, slope_of(function, tf.constant(X)), rtol=1e-4, atol=1e-5)


def test_windows_in_a_map():
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    layer = kr.layers.WindowAttention(1, window_size=4, shift=2)
    mapped = tf.vectorized_map(lambda image: layer(image[None])[0], tf.constant(x))
    np.testing.assert_allclose(mapped, layer(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("graph", [False, True])
def test_gradients_through_a_map_in_half_precision(graph):
    def halved(x):
        return tf.cast(tf.vectorized_map(kr.gelu, tf.cast(x, tf.bfloat16)), tf.float32)

    mapped = partial(slope_of, halved)
    found = (tf.function(mapped, autograph=False) if graph else mapped)(tf.constant(X))
    np.testing.assert_allclose(found, slope_of(kr.gelu, tf.constant(X)), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("graph", ["of none", "of all", "of the function"])
def test_gradients_of_a_penalty_on_a_jacobian(graph):
    function = tf.function(kr.gelu, autograph=False) if graph == "of the function" else kr.gelu

    def gradient(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = function(x)
            penalty = tf.reduce_sum(inner.batch_jacobian(y, x) ** 2)
        return outer.gradient(penalty, x)

    x = X[0, 0].astype("float64")
    share = np.vectorize(math.erf)(x / np.sqrt(2)) / 2 + 0.5
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    expected = 2 * (share + x * density) * (2 - x**2) * density  # 2 gelu' gelu''
    found = (tf.function(gradient) if graph == "of all" else gradient)(tf.constant(X[0, 0]))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
