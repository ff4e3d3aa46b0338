"""What fused functions become in TensorFlow: loops in training, plain operations elsewhere."""

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet.gaussian import erfc_in_graphs, exp_tail, loops_in_graphs
from support.gradients import hessian_product

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends fuse without help"
)
X = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype("float32")


def rc_layer():
    keras.utils.set_random_seed(0)
    layer = kr.layers.RCLayer(reduction=4)
    layer.build(X.shape)
    return layer


@pytest.fixture(params=["gclu", "rc_layer"])
def function(request):
    return kr.gclu if request.param == "gclu" else rc_layer()


def operations(function, *arguments):
    """Names of all operations of a traced function, and whether any of them is compiled."""
    import tensorflow as tf

    graph = tf.function(function).get_concrete_function(*arguments).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    compiled = any(f.attr["_XlaMustCompile"].b for f in graph.library.function)
    return {node.op for node in nodes}, compiled


def loss_gradient(function):
    import tensorflow as tf

    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x)

    return both


def test_an_inference_graph_has_neither_xla_nor_erfc(function):
    names, compiled = operations(function, keras.ops.convert_to_tensor(X))
    assert "Erfc" not in names and "Exp" in names and not compiled


def test_a_training_graph_has_compiled_loops(function):
    _, compiled = operations(loss_gradient(function), keras.ops.convert_to_tensor(X))
    assert compiled


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_an_inference_graph_that_asks_for_loops_has_those_of_training(function, dtype):
    import tensorflow as tf

    x = keras.ops.cast(X, dtype)
    with loops_in_graphs():
        assert operations(function, x)[1]
        found = tf.function(function)(x)
    assert not operations(function, x)[1]
    with tf.GradientTape() as tape:
        tape.watch(x)
        trained = tf.function(function)(x)
    np.testing.assert_array_equal(found, trained)


def test_erfc_is_for_graphs_that_ask_for_it_in_their_own_thread(function):
    import threading

    x = keras.ops.convert_to_tensor(X)
    found = {}
    with erfc_in_graphs():
        found["here"] = operations(function, x)[0]
        other = threading.Thread(target=lambda: found.update(other=operations(function, x)[0]))
        other.start()
        other.join()
    assert "Erfc" in found["here"] and "Erfc" not in found["other"]
    assert "Erfc" not in operations(function, x)[0]


def test_graphs_of_float64_keep_its_digits():
    import tensorflow as tf

    x = tf.constant(np.linspace(-30.0, 5.0, 701))
    np.testing.assert_allclose(tf.function(kr.gclu)(x), kr.gclu(x), rtol=1e-14, atol=0)


def test_graphs_and_eager_calls_agree(function):
    import tensorflow as tf

    np.testing.assert_allclose(tf.function(function)(X), function(X), rtol=0, atol=2.4e-7 * 4)


@pytest.mark.parametrize("distances, error", [((0.0, 5.0), 9e-7), ((5.0, 12.9), 4.2e-6)])
def test_the_tail_by_exp_has_the_error_that_its_docstring_names(distances, error):
    import math

    d = np.linspace(*distances, 20001).astype("float32")
    exact = np.array([0.5 * math.erfc(float(value) * math.sqrt(0.5)) for value in d])
    relative = np.abs(np.asarray(exp_tail(keras.ops.convert_to_tensor(d))) / exact - 1.0)
    assert 0.5 * error < relative.max() < error
    wide = np.abs(
        np.asarray(exp_tail(keras.ops.convert_to_tensor(d.astype("float64")))) / exact - 1
    )
    assert wide.max() < 2.1e-7


# What Keras itself exports.


@pytest.fixture(scope="module")
def small_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(X.shape[1:]),
            kr.layers.RCLayer(reduction=4),
            keras.layers.Conv2D(4, 3, activation=kr.gclu),
            kr.layers.GCLU(),
        ]
    )
    return model, model.predict(X, verbose=0)


def test_keras_exports_onnx_that_loads(small_model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx`")
    pytest.importorskip("tf2onnx", reason="the extra `onnx`")
    model, expected = small_model
    model.export(str(tmp_path / "model.onnx"), format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    y = session.run(None, {session.get_inputs()[0].name: X})[0]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_keras_exports_litert_that_loads(small_model, tmp_path):
    interpreters = pytest.importorskip("ai_edge_litert.interpreter", reason="the extra `litert`")
    model, expected = small_model
    model.export(str(tmp_path / "model.tflite"), format="litert", verbose=False)
    interpreter = interpreters.Interpreter(str(tmp_path / "model.tflite"))
    source = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(source, X.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source, X)
    interpreter.invoke()
    y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


# Differentiation that is neither a plain tape nor a plain call.


@pytest.mark.parametrize("branch", ["tf", "keras"])
def test_gradients_within_conditions(function, branch):
    import tensorflow as tf

    cond = tf.cond if branch == "tf" else keras.ops.cond
    x = tf.constant(X)

    @tf.function
    def gradient(x, flag):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = cond(flag, lambda: function(x), lambda: x)
        return tape.gradient(y, x)

    expected = loss_gradient(function)(x)
    np.testing.assert_allclose(gradient(x, tf.constant(True)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(gradient(x, tf.constant(False)), np.ones_like(X))


@pytest.mark.parametrize("loop", ["while", "map"])
def test_gradients_within_loops(function, loop):
    import tensorflow as tf

    x = tf.constant(X)

    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            if loop == "while":
                _, y = tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, function(y)), (0, x))
            else:
                y = tf.map_fn(lambda row: function(function(row[None]))[0], x)
        return tape.gradient(y, x)

    expected = loss_gradient(lambda x: function(function(x)))(x)
    np.testing.assert_allclose(gradient(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("graph", [False, True])
def test_forward_mode_is_the_transpose_of_the_gradient(function, graph):
    import tensorflow as tf

    x = tf.constant(X)
    direction, upstream = (
        tf.constant(np.random.default_rng(seed).normal(size=X.shape).astype("float32"))
        for seed in (1, 2)
    )

    def forward(x):
        with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
            y = function(x)
        return accumulator.jvp(y)

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    expected = float(tf.reduce_sum(tape.gradient(y, x, upstream) * direction))
    found = (tf.function(forward) if graph else forward)(x)
    assert abs(float(tf.reduce_sum(found * upstream)) - expected) < 1e-4


def test_hessian_products_by_forward_over_reverse():
    import tensorflow as tf

    function = kr.gclu

    direction = np.random.default_rng(1).normal(size=X.shape).astype("float32")

    @tf.function
    def product(x):
        with tf.autodiff.ForwardAccumulator(x, tf.constant(direction)) as accumulator:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            slope = tape.gradient(y, x)
        return accumulator.jvp(slope)

    expected = hessian_product(function, X, direction)
    np.testing.assert_allclose(product(tf.constant(X)), expected, rtol=1e-4, atol=1e-5)
