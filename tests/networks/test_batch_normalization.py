"""Batch normalization against its equation, and against Keras where they agree."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_rescnet import layers
from keras_rescnet.analysis.derivatives import twice_differentiable
from keras_rescnet.layers import BatchNormalization
from support.gradients import double_precision, hessian_product, pull_back_layer

X = np.random.default_rng(0).normal(2.0, 3.0, size=(3, 2, 2, 5)).astype("float32")


def test_training_step_is_pytorchs():
    layer = BatchNormalization()
    layer.build(X.shape)
    layer.gamma.assign(np.arange(1.0, 6.0))
    layer.beta.assign(np.full(5, 0.5))
    y = layer(X, training=True)
    mean, variance = X.mean((0, 1, 2), dtype="float64"), X.var((0, 1, 2), dtype="float64")
    expected = (X - mean) / np.sqrt(variance + 1e-5) * np.arange(1.0, 6.0) + 0.5
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, rtol=1e-5)
    unbiased = X.var((0, 1, 2), dtype="float64", ddof=1)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * unbiased, rtol=1e-5)


def test_one_value_a_channel_keeps_statistics_finite():
    layer = BatchNormalization()
    layer(np.ones((1, 1, 1, 4), "float32"), training=True)
    np.testing.assert_allclose(layer.moving_variance, 0.9)


def with_moving_statistics(layer_class, shape=X.shape, **arguments):
    layer = layer_class(epsilon=1e-5, **arguments)
    layer.build(shape)
    layer.moving_mean.assign(np.arange(5.0))
    layer.moving_variance.assign(np.arange(1.0, 6.0))
    for variable in layer.trainable_variables:
        variable.assign(np.linspace(0.5, 2.0, 5))
    return layer


@pytest.mark.parametrize(("scale", "center"), [(True, True), (False, True), (True, False)])
@pytest.mark.parametrize("trainable", [True, False])
def test_inference_and_frozen_layers_take_the_moving_statistics(trainable, scale, center):
    layer = with_moving_statistics(BatchNormalization, scale=scale, center=center)
    layer.trainable = trainable
    y = layer(X, training=not trainable)  # a frozen layer infers, whatever `training` says
    line = np.linspace(0.5, 2.0, 5)
    expected = (X - np.arange(5.0)) / np.sqrt(np.arange(1.0, 6.0) + 1e-5)
    expected = expected * (line if scale else 1.0) + (line if center else 0.0)
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-6)
    np.testing.assert_array_equal(layer.moving_mean, np.arange(5.0))
    np.testing.assert_array_equal(layer.moving_variance, np.arange(1.0, 6.0))


@pytest.mark.parametrize("shape", [(3, 5), (3, 4, 5), (3, 2, 2, 5), (3, 2, 2, 2, 5)])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16", "float64"])
def test_inference_is_keras_own_at_any_rank(policy, shape):
    x = np.random.default_rng(1).normal(2.0, 3.0, size=shape)
    with double_precision():
        found = [
            keras.ops.convert_to_numpy(
                keras.ops.cast(with_moving_statistics(of, shape, dtype=policy)(x), "float64")
            )
            for of in (BatchNormalization, keras.layers.BatchNormalization)
        ]
    rounding = {"float32": 2e-6, "mixed_float16": 2e-3, "mixed_bfloat16": 2e-2, "float64": 1e-14}
    np.testing.assert_allclose(*found, rtol=rounding[policy], atol=rounding[policy])


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("policy", "rounding"), [("float32", 1e-5), ("mixed_float16", 4e-3), ("mixed_bfloat16", 3e-2)]
)
def test_the_gradients_through_moving_statistics_are_those_of_a_line(policy, rounding, compiled):
    layer = with_moving_statistics(BatchNormalization, dtype=policy)
    upstream = np.random.default_rng(2).uniform(0.5, 1.0, size=X.shape).astype("float32")
    _, by_x, (by_gamma, by_beta) = pull_back_layer(
        layer, X, upstream, compiled=compiled, training=False
    )
    deviation = np.sqrt(np.arange(1.0, 6.0) + 1e-5)
    slope = np.linspace(0.5, 2.0, 5) / deviation
    np.testing.assert_allclose(by_x, upstream * slope, rtol=rounding)
    products = upstream * (X - np.arange(5.0)) / deviation
    by_count = rounding * np.abs(products).sum((0, 1, 2)).max()  # they cancel each other in part
    np.testing.assert_allclose(by_gamma, products.sum((0, 1, 2)), atol=by_count)
    np.testing.assert_allclose(by_beta, upstream.sum((0, 1, 2)), rtol=rounding)


def test_the_second_derivative_goes_through_moving_statistics():
    layer = with_moving_statistics(BatchNormalization)
    slope = np.linspace(0.5, 2.0, 5) / np.sqrt(np.arange(1.0, 6.0) + 1e-5)
    upstream = np.random.default_rng(2).normal(size=X.shape).astype("float32")

    def squares(x):
        return keras.ops.square(layer(x, training=False))

    product = hessian_product(squares, X, upstream)
    np.testing.assert_allclose(product, 2.0 * slope**2 * upstream, rtol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's operations")
@pytest.mark.parametrize("in_graph", [False, True])
def test_second_derivatives_in_few_passes_are_those_of_the_equation(in_graph):
    """Of all first derivatives, along vectors, by all that they depend on, against float64."""
    import tensorflow as tf

    from keras_rescnet import tensorflow_ops

    generator = np.random.default_rng(4)
    gamma, beta = np.linspace(0.5, 2.0, 5), np.linspace(-1.0, 1.0, 5)
    u, v = generator.normal(size=(2, *X.shape))
    along = [v, generator.normal(size=5), generator.normal(size=5)]

    def second(normalize, dtype):
        arguments = [tf.constant(each, dtype) for each in (X, gamma, beta, u)]
        vectors = [tf.constant(each, dtype) for each in along]
        with tf.GradientTape() as outer:
            outer.watch(arguments)
            with tf.GradientTape() as inner, twice_differentiable():
                inner.watch(arguments)
                y = normalize(*arguments[:3])
            first = inner.gradient(y, arguments[:3], arguments[3])
        return outer.gradient(first, arguments, vectors, "zero")

    def equation(x, gamma, beta):
        mean = tf.reduce_mean(x, (0, 1, 2))
        variance = tf.reduce_mean((x - mean) ** 2, (0, 1, 2))
        return gamma * (x - mean) / tf.sqrt(variance + 1e-3) + beta

    def operation(x, gamma, beta):
        return tensorflow_ops.batch_normalization(x, gamma, beta, 1e-3)[0]

    expected = second(equation, "float64")
    call = tf.function(second, autograph=False) if in_graph else second
    for ours, theirs in zip(call(operation, "float32"), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_statistics_are_float32_under_mixed_precision(policy):
    layer = BatchNormalization(dtype=policy)
    y = layer(X, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    assert keras.backend.standardize_dtype(layer.moving_variance.dtype) == "float32"
    narrow = np.asarray(keras.ops.cast(keras.ops.cast(X, layer.compute_dtype), "float32"))
    unbiased = narrow.var((0, 1, 2), dtype="float64", ddof=1)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * unbiased, rtol=1e-5)


def test_channels_may_be_first():
    first, last = BatchNormalization(axis=1), BatchNormalization()
    y = np.asarray(first(X.transpose(0, 3, 1, 2), training=True))
    np.testing.assert_allclose(y.transpose(0, 2, 3, 1), last(X, training=True), atol=1e-6)
    np.testing.assert_allclose(first.moving_variance, last.moving_variance, rtol=1e-6)


def test_config_round_trip():
    layer = BatchNormalization(momentum=0.5, epsilon=1e-3, name="bn")
    config = keras.layers.deserialize(keras.layers.serialize(layer)).get_config()
    assert config == layer.get_config()
    assert (config["momentum"], config["epsilon"]) == (0.5, 1e-3)


def test_renormalization_is_refused():
    with pytest.raises(ValueError, match="renorm=True"):
        BatchNormalization(renorm=True)


MASK = np.random.default_rng(1).random((3, 2, 2)) < 0.6


def masked_moments():
    values = X[MASK].astype("float64")  # (places, channels)
    return values.mean(0), values.var(0), values.var(0, ddof=1)


@pytest.mark.parametrize("axis", [-1, 1])
def test_masked_places_do_not_count(axis):
    layer = BatchNormalization(axis=axis)
    x = X.transpose(0, 3, 1, 2) if axis == 1 else X
    y = np.asarray(layer(x, training=True, mask=MASK))
    y = y.transpose(0, 2, 3, 1) if axis == 1 else y
    mean, variance, unbiased = masked_moments()
    np.testing.assert_allclose(y, (X - mean) / np.sqrt(variance + 1e-5), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * unbiased, rtol=1e-5)


def test_what_masked_places_hold_does_not_matter():
    layer = BatchNormalization()
    x = np.where(MASK[..., None], X, np.nan)
    y = np.asarray(layer(x, training=True, mask=MASK))
    assert np.all(np.isfinite(y[MASK])) and np.all(np.isfinite(layer.moving_variance))


def test_a_mask_of_ones_is_no_mask_and_one_of_zeros_no_batch():
    plain, masked = BatchNormalization(), BatchNormalization()
    y = plain(X, training=True)
    np.testing.assert_allclose(masked(X, training=True, mask=np.ones_like(MASK)), y, atol=1e-5)
    np.testing.assert_allclose(masked.moving_variance, plain.moving_variance, rtol=1e-5)
    masked(X, training=True, mask=np.zeros_like(MASK))
    assert np.all(np.isfinite(masked.moving_variance))


def test_masks_come_from_layers_and_go_on():
    tokens = np.array([[[1.0, 2.0], [0.0, 0.0]], [[3.0, 4.0], [5.0, 6.0]]], "float32")
    model = keras.Sequential(
        [keras.Input((2, 2)), keras.layers.Masking(), BatchNormalization(), keras.layers.LSTM(3)]
    )
    model(tokens, training=True)
    np.testing.assert_allclose(model.layers[1].moving_mean, [0.3, 0.4], rtol=1e-5)
    x = keras.layers.Masking()(keras.Input((2, 2)))
    for layer in (BatchNormalization(), layers.GCLU(), layers.LayerScale()):
        x = layer(x)
        assert x._keras_mask is not None, layer.name
    model.predict(tokens, verbose=0)


def test_a_mask_of_another_rank_is_refused():
    with pytest.raises(ValueError, match=r"one dimension less.*\(3, 2\), inputs \(3, 2, 2, 5\)"):
        BatchNormalization()(X, training=True, mask=MASK[:, 0])


TWO_DEVICES = """
import numpy as np
import tensorflow as tf

from keras_rescnet.layers.batch_normalization import BatchNormalization

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
x = np.random.default_rng(0).normal(size=(2, 3, 2, 2, 5)).astype("float32")
one = BatchNormalization()
one(x.reshape(6, 2, 2, 5), training=True)
strategy = tf.distribute.MirroredStrategy(
    cross_device_ops=tf.distribute.ReductionToOneDevice(), devices=["CPU:0", "CPU:1"]
)
with strategy.scope():
    two = BatchNormalization(synchronized=True)
    two.build(x.shape[1:])
rows = strategy.experimental_distribute_values_from_function(
    lambda context: tf.constant(x[context.replica_id_in_sync_group])
)
strategy.run(tf.function(lambda rows: two(rows, training=True)), args=(rows,))
np.testing.assert_allclose(two.moving_mean.numpy(), one.moving_mean, rtol=1e-5, atol=1e-7)
np.testing.assert_allclose(two.moving_variance.numpy(), one.moving_variance, rtol=1e-6)

mask = np.random.default_rng(1).random(x.shape[:-1]) < 0.5
one(x.reshape(6, 2, 2, 5), training=True, mask=mask.reshape(6, 2, 2))
masks = strategy.experimental_distribute_values_from_function(
    lambda context: tf.constant(mask[context.replica_id_in_sync_group])
)
masked = tf.function(lambda rows, masks: two(rows, training=True, mask=masks))
strategy.run(masked, args=(rows, masks))
np.testing.assert_allclose(two.moving_mean.numpy(), one.moving_mean, rtol=1e-5, atol=1e-7)
np.testing.assert_allclose(two.moving_variance.numpy(), one.moving_variance, rtol=1e-5)
"""


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Keras has it there only")
def test_synchronized_statistics_are_those_of_one_device():
    subprocess.run([sys.executable, "-c", TWO_DEVICES], check=True)
