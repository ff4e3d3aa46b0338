"""FoRDE's repulsion against a computation of its own in float64, and its `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_rescnet as kr
from keras_rescnet.ensemble.forde import repulsion

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="FoRDE trains with Keras on TensorFlow"
)
BATCH, DIMENSIONS, CLASSES = 5, 4, 3


def expected_repulsion(moving, fixed, values=None, vectors=None):
    """Eq. 8's logarithm, number by number: `fixed` is what the gradient is not taken of."""
    members, batch, dimensions = moving.shape
    values = np.ones(dimensions) if values is None else values
    vectors = np.eye(dimensions) if vectors is None else vectors

    def unit(slope):
        return slope / np.sqrt(slope @ slope + 1e-24)

    def distance(one, other):
        projected = vectors.T @ (unit(one) - unit(other))
        return projected @ (values * projected)

    total = 0.0
    for i in range(members):
        kernels = 0.0
        for b in range(batch):
            for j in range(members):
                others = [distance(fixed[k, b], fixed[j, b]) for k in range(members)]
                h = np.median(others) / (2.0 * np.log(members))
                kernels += np.exp(-distance(moving[i, b], fixed[j, b]) / (2.0 * h))
        total += np.log(kernels / batch)
    return total / batch


def differences(function, x, step=1e-6):
    """The gradient of a function of an array by central differences."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[place] = step
        gradient[place] = (function(x + shift) - function(x - shift)) / (2 * step)
    return gradient


def random_basis():
    generator = np.random.default_rng(1)
    vectors, _ = np.linalg.qr(generator.normal(size=(DIMENSIONS, DIMENSIONS)))
    return generator.uniform(0.1, 3.0, DIMENSIONS), vectors


class Quadratic(keras.layers.Layer):
    """Logits `x A_c x / 2 + w_c x`, whose input gradients are `A_c x + w_c` of a symmetric `A`."""

    def __init__(self, curvature, slope):
        super().__init__(dtype="float64")
        self.curvature = self.add_weight(shape=curvature.shape)
        self.slope = self.add_weight(shape=slope.shape)
        self.set_weights([curvature, slope])

    def call(self, x):
        half = 0.5 * keras.ops.einsum("bi,cij,bj->bc", x, self.curvature, x)
        return half + keras.ops.matmul(x, keras.ops.transpose(self.slope))


@pytest.mark.parametrize("members", [2, 3])
@pytest.mark.parametrize("basis", [None, random_basis()], ids=["identity", "pca"])
@pytest.mark.parametrize("curved", [0.0, 1.0], ids=["linear", "quadratic"])
def test_the_objective_and_its_gradient_are_those_of_float64(members, basis, curved):
    generator = np.random.default_rng(0)
    curvature = curved * generator.normal(size=(members, CLASSES, DIMENSIONS, DIMENSIONS))
    curvature += curvature.swapaxes(-1, -2)
    slopes = generator.normal(size=(members, CLASSES, DIMENSIONS))
    x = generator.normal(size=(BATCH, DIMENSIONS))
    y = generator.integers(0, CLASSES, BATCH)

    def input_gradients(curvature, slopes):
        return np.einsum("mbij,bj->mbi", curvature[:, y], x) + slopes[:, y]

    fixed = input_gradients(curvature, slopes)
    parts = () if basis is None else basis
    layers = [Quadratic(*weights) for weights in zip(curvature, slopes, strict=True)]
    images = [keras.Input((DIMENSIONS,), dtype="float64") for _ in layers]
    model = kr.ensemble.FoRDE(
        [keras.Model(x, layer(x)) for x, layer in zip(images, layers, strict=True)], basis
    )
    with tf.GradientTape(persistent=True) as tape:
        cross_entropy, repelled, logits = model.objective(tf.constant(x), np.eye(CLASSES)[y])
    np.testing.assert_allclose(repelled, expected_repulsion(fixed, fixed, *parts), rtol=1e-10)
    z = 0.5 * np.einsum("bi,mcij,bj->mbc", x, curvature, x) + x @ slopes.swapaxes(1, 2)
    np.testing.assert_allclose(logits, z.swapaxes(0, 1), rtol=1e-10, atol=1e-12)
    likelihood = np.log(np.exp(z).sum(-1)) - z[:, np.arange(BATCH), y]
    np.testing.assert_allclose(cross_entropy, likelihood.mean(1).sum(), rtol=1e-6)
    found = tape.gradient(repelled, [layer.slope.value for layer in layers])
    expected = differences(
        lambda w: expected_repulsion(input_gradients(curvature, w), fixed, *parts), slopes
    )
    np.testing.assert_allclose(np.stack(found), expected, rtol=1e-5, atol=1e-9)
    if curved:
        found = tape.gradient(repelled, layers[0].curvature.value)

        def of_curvature(first):
            return expected_repulsion(
                input_gradients(np.concatenate([first[None], curvature[1:]]), slopes), fixed, *parts
            )

        # The weight's own gradient is not symmetric: x_j alone meets A_ij
        by_both = differences(of_curvature, curvature[0])
        both = np.asarray(found) + np.asarray(found).swapaxes(-1, -2)
        np.testing.assert_allclose(both, by_both + by_both.swapaxes(-1, -2), rtol=1e-5, atol=1e-9)


def calibrated(seed, dtype, normalization):
    """What members may hold: convolution, batch normalization, GCLU, an RC Layer."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((4, 4, 2), dtype=dtype)
    x = keras.layers.Conv2D(3, 3, padding="same", dtype=dtype)(images)
    x = normalization(epsilon=1e-5, dtype=dtype)(x)
    x = kr.layers.RCLayer(reduction=1, dtype=dtype)(kr.layers.GCLU(dtype=dtype)(x))
    x = keras.layers.GlobalAveragePooling2D(dtype=dtype)(x)
    return keras.Model(images, keras.layers.Dense(2, dtype=dtype)(x))


@pytest.mark.parametrize(
    ("normalization", "compiled"),
    [
        (kr.layers.BatchNormalization, False),
        (keras.layers.BatchNormalization, False),  # TensorFlow's moments stop a gradient
        pytest.param(kr.layers.BatchNormalization, True, marks=pytest.mark.release),
    ],
)
def test_second_derivatives_through_layers_are_those_of_differences(normalization, compiled):
    """Differences in float64 of first derivatives, against what float32 trains with."""
    generator = np.random.default_rng(0)
    images = generator.normal(size=(4, 4, 4, 2))
    labels = np.eye(2)[[0, 1, 1, 0]]
    wide, narrow = (
        kr.ensemble.FoRDE([calibrated(seed, dtype, normalization) for seed in (0, 1)])
        for dtype in ("float64", "float32")
    )
    for one, other in zip(wide.variables, narrow.variables, strict=True):
        one.assign(other)
    weights = wide.members[0].trainable_variables

    def slopes():
        found = []
        for member in wide.members:
            x = tf.constant(images)
            with tf.GradientTape() as tape:
                tape.watch(x)
                true = tf.reduce_sum(member(x, training=True) * labels)
            found.append(np.reshape(tape.gradient(true, x), (4, -1)))
        return np.stack(found)

    def gradients(images):
        with tf.GradientTape() as tape:
            repelled = narrow.objective(images, tf.constant(labels, "float32"))[1]
        return repelled, tape.gradient(repelled, narrow.members[0].trainable_variables)

    fixed = slopes()
    call = tf.function(gradients) if compiled else gradients  # in a graph, loops of XLA
    repelled, found = call(tf.constant(images, "float32"))
    np.testing.assert_allclose(repelled, expected_repulsion(fixed, fixed), rtol=1e-5)
    seen = 0
    for weight, gradient in zip(weights, found, strict=True):
        norm = 0.0 if gradient is None else np.linalg.norm(gradient)
        if norm < 1e-5:  # the last bias, and the convolution's, which normalization takes out
            continue
        value, ends = keras.ops.convert_to_numpy(weight), []
        for step in (1e-5, -1e-5):
            weight.assign(value + step * np.asarray(gradient, "float64") / norm)
            ends.append(expected_repulsion(slopes(), fixed))
        weight.assign(value)
        np.testing.assert_allclose((ends[0] - ends[1]) / 2e-5, norm, rtol=1e-3)
        seen += 1
    assert seen == 10


def test_steps_against_the_gradient_drive_input_gradients_apart():
    generator = np.random.default_rng(0)
    start = generator.normal(size=(1, 6, 4)) + 0.3 * generator.normal(size=(3, 6, 4))
    slopes, cosines = tf.Variable(start), []
    for _ in range(20):
        unit = np.asarray(slopes) / np.linalg.norm(slopes, axis=-1, keepdims=True)
        cosines.append((np.einsum("ibd,jbd->", unit, unit) / 6 - 3) / 6)
        with tf.GradientTape() as tape:
            repelled = repulsion(slopes)
        slopes.assign_sub(tape.gradient(repelled, slopes))
    assert cosines == sorted(cosines, reverse=True) and cosines[0] - cosines[-1] > 0.2


def test_one_batch_may_be_trained_alone():
    dense = [[keras.layers.Dense(5, "tanh"), keras.layers.Dense(2)] for _ in range(2)]
    model = kr.ensemble.FoRDE([keras.Sequential([keras.Input((4,)), *each]) for each in dense])
    model.compile("sgd", run_eagerly=True)
    images = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    labels = np.eye(2, dtype="float32")[[0, 1, 1]]
    cross_entropy, repelled, _ = model.objective(tf.constant(images), labels)
    logs = model.train_on_batch(images, labels, return_dict=True)
    expected = {
        "loss": cross_entropy + repelled,
        "cross_entropy": cross_entropy,
        "repulsion": repelled,
    }
    assert logs == pytest.approx({name: float(value) for name, value in expected.items()})


def test_a_step_with_a_scaled_loss_is_the_step_without():
    """Scales are powers of two, so that all numbers are the same; as Keras in mixed_float16."""
    images = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    labels = np.eye(2, dtype="float32")[[0, 1, 1]]
    seen = []
    for wrap in (lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer):
        keras.utils.set_random_seed(1)
        dense = [[keras.layers.Dense(5, "tanh"), keras.layers.Dense(2)] for _ in range(2)]
        model = kr.ensemble.FoRDE([keras.Sequential([keras.Input((4,)), *each]) for each in dense])
        model.compile(wrap(keras.optimizers.SGD(0.1)), run_eagerly=True)
        before = model.get_weights()
        logs = model.train_on_batch(images, labels, return_dict=True)
        seen.append((logs, model.get_weights()))
        assert np.abs(before[0] - seen[-1][1][0]).max() > 1e-3
    assert seen[0][0] == seen[1][0]
    for plain, scaled in zip(seen[0][1], seen[1][1], strict=True):
        np.testing.assert_array_equal(plain, scaled)


def test_principal_components_are_those_of_numpy():
    values, vectors = kr.ensemble.principal_components(small_digits())
    rows = pixels().reshape(60, -1) / 255.0
    expected = np.cov((rows - 0.5) / 0.25, rowvar=False)
    np.testing.assert_allclose((vectors * values) @ vectors.T, expected, atol=1e-6)
    assert values[0] >= values[1] >= values[-1] >= 0


def pixels():
    return np.random.default_rng(1).integers(0, 256, (60, 4, 4, 2), "uint8")


def small_digits():
    def read(dataset, split, data_dir=None):
        return kr.data.ArrayExamples(dataset, pixels(), np.arange(60) % 2, ("even", "odd"))

    facts = {"image_shape": (4, 4, 2), "classes": 2, "mean": (0.5,) * 2, "std": (0.25,) * 2}
    return kr.data.Dataset(name="small", read=read, **facts)


class Stop(Exception):
    """What ends a `fit` in these tests."""


def fitted(folder, stop_at=None):
    """Returns the weights after two epochs of six steps, or raises `Stop` in a step."""
    examples = kr.data.load(small_digits(), "train")
    options = {"batch_size": 10, "seed": 0, "as_tuples": True}
    batches = kr.data.resumable(
        lambda epoch: kr.data.train_batches(
            examples, [kr.augment.RandomFlip()], start=6 * epoch, stop=6 * epoch + 6, **options
        )
    )
    model = kr.ensemble.FoRDE(
        [calibrated(seed, "float32", kr.layers.BatchNormalization) for seed in (0, 1)]
    )
    model.compile(kr.optimizers.SGD(0.1, momentum=0.9), metrics=["accuracy"])

    def stop(batch, logs):
        if batch == stop_at:
            raise Stop

    callbacks = [keras.callbacks.LambdaCallback(on_train_batch_end=stop)]
    callbacks += [kr.ExactResume(folder, batches, checkpoint_minutes=0)]
    history = model.fit(
        batches, epochs=2, callbacks=callbacks, shuffle=False, verbose=0, validation_data=batches
    )
    return [np.array(variable) for variable in model.variables], history.history


@pytest.mark.release
def test_a_fit_that_was_stopped_ends_with_the_same_bits(tmp_path):
    with pytest.raises(Stop):
        fitted(tmp_path / "stopped", stop_at=3)
    weights, history = fitted(tmp_path / "stopped")
    expected, whole = fitted(tmp_path / "whole")
    assert history == whole
    assert set(history) == {"loss", "cross_entropy", "repulsion", "accuracy", "val_loss"} | {
        "val_accuracy"
    }
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
