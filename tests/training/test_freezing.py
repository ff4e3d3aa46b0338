"""`trainable=`: what is frozen stays to the last bit, the rest learns as if it stood alone."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_rescnet as kr
from keras_rescnet.optimizers import SGD, AdamW
from keras_rescnet.training import setup
from keras_rescnet.training.engines import Task, make_engine
from keras_rescnet.training.freezing import freeze
from keras_rescnet.training.metrics import statistics
from support import noise


def arrays(model):
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}


def trained(model, optimizer, images, labels, accumulation_steps=1):
    """Trains a step per batch, and returns the engine."""
    engine = make_engine()
    sizes = {"batch_size": images.shape[1], "accumulation_steps": accumulation_steps}
    engine.build(Task(model, optimizer, statistics, statistics, **sizes))
    batches = tf.data.Dataset.from_tensor_slices({"images": images, "labels": labels})
    engine.feed(lambda num_shards, shard_index: batches)
    rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    engine.steps([rate] * len(images))
    return engine


def softmax_regression(features, labels, kernel, bias, rates, momentum, decays):
    """SGD on a last layer alone, in float64; rates and decays of kernel and bias."""
    weights = [kernel.astype("float64"), bias.astype("float64")]
    velocities = [np.zeros_like(weight) for weight in weights]
    for x, y in zip(features, labels, strict=True):
        logits = x @ weights[0] + weights[1]
        shares = np.exp(logits - logits.max(1, keepdims=True))
        error = (shares / shares.sum(1, keepdims=True) - y) / len(x)
        for i, gradient in enumerate((x.T @ error, error.sum(0))):
            velocities[i] = momentum * velocities[i] + gradient + decays[i] * weights[i]
            weights[i] = weights[i] - rates[i] * velocities[i]
    return weights


def model_and_batches():
    """A model whose moving statistics are not those of the start, and four batches."""
    generator = np.random.default_rng(0)
    images = generator.normal(size=(4, 8, 8, 8, 3)).astype("float32")
    labels = np.eye(10, dtype="float32")[generator.integers(0, 10, (4, 8))]
    keras.utils.set_random_seed(0)
    model = noise.model((8, 8, 3), 10, dropout=0.0)
    for weight in model.weights:
        weight.assign(weight + 0.3 * generator.random(weight.shape))
    return model, images, labels


@pytest.mark.parametrize("parts", [1, 2])
def test_the_last_layer_alone_learns_softmax_regression(parts):
    """On features that the frozen part gives in inference: its statistics are not the batch's."""
    model, images, labels = model_and_batches()
    before = arrays(model)
    features = keras.Model(model.inputs[0], model.layers[-2].output)
    features = [np.asarray(features(batch, training=False), "float64") for batch in images]
    recipe = dataclasses.replace(
        noise.recipe,
        trainable=("logits/",),
        learning_rate=0.5,
        exclude_from_weight_decay=("gamma",),  # of which all are frozen
        learning_rate_multipliers={"kernel$": 0.5, "logits/": 2.0},
        weight_decay_multipliers={"bias$": 3.0},
    )
    optimizer = setup.build_optimizer(recipe, model)
    trained(model, optimizer, images, labels, parts)
    after = arrays(model)
    first = [before[f"small/logits/{name}"] for name in ("kernel", "bias")]
    expected = softmax_regression(features, labels, *first, (0.25, 1.0), 0.9, (5e-4, 15e-4))
    for name, array in zip(("kernel", "bias"), expected, strict=True):
        np.testing.assert_allclose(after.pop(f"small/logits/{name}"), array, rtol=1e-5, atol=1e-6)
    for path, array in after.items():
        np.testing.assert_array_equal(array, before[path], err_msg=path)
    sizes = sorted(np.prod(variable.shape) for variable in optimizer.variables)
    assert sizes == [1, 1, 10, 40]  # iteration, learning rate, two velocities


def build():
    """Blocks of every kind: nested, without own weights, without trainable ones."""
    inner = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.BatchNormalization(name="bn"),
            keras.layers.Dropout(0.1, name="dropout"),
        ],
        name="inner",
    )
    outer = [
        keras.Input((8, 8, 3)),
        inner,
        kr.layers.BatchNormalization(center=False, scale=False, name="whiten"),
        kr.layers.RCLayer(reduction=2, name="calibration"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(5, name="logits"),
    ]
    return keras.Sequential(outer)


CHOICES = {
    "the head": (
        ("logits/",),
        {"kernel", "bias"},
        {"inner", "conv", "bn", "whiten", "calibration"},
    ),
    "biases": (
        ("/bias$",),
        {"bias"},
        {"bn", "whiten"},
    ),
    "normalization": (
        ("gamma$", "moving_mean$"),
        {"gamma"},
        {"conv", "calibration", "logits"},
    ),
    "a predicate": (
        lambda path: "calibration" in path,
        {"kernel", "bias"},
        {"inner", "conv", "bn", "whiten", "logits"},
    ),
}


@pytest.mark.parametrize("case", CHOICES)
def test_layers_without_a_chosen_weight_are_frozen_whole(case):
    trainable, names, frozen = CHOICES[case]
    model = build()
    freeze(model, trainable)
    assert {weight.name for weight in model.trainable_variables} == names
    layers = {part.name: part for part in setup.parts_of(model) if part.name in NAMED}
    assert {name for name, layer in layers.items() if not layer.trainable} == frozen


NAMED = ("inner", "conv", "bn", "whiten", "calibration", "logits")


def test_names_that_keras_numbered_are_those_of_a_new_process():
    for _ in range(2):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
        freeze(model, ("dense_1/",))
        assert [tuple(weight.shape) for weight in model.trainable_variables] == [(3, 2), (2,)]


@pytest.mark.parametrize("optimizer", [SGD, AdamW])
def test_averages_and_weight_decay_leave_frozen_weights_alone(optimizer):
    model, images, labels = model_and_batches()
    before = arrays(model)
    recipe = dataclasses.replace(
        noise.recipe,
        optimizer=functools.partial(optimizer, weight_decay=0.5),
        ema_momentum=0.5,
        learning_rate=0.1,
    )
    freeze(model, lambda path: "logits" in path)
    engine = trained(model, setup.build_optimizer(recipe, model), images, labels)
    after = arrays(model)
    engine.average_weights()
    averaged = arrays(model)
    for arrays_now in (after, averaged):
        moved = {path for path in before if not np.array_equal(before[path], arrays_now[path])}
        assert moved == {"small/logits/kernel", "small/logits/bias"}
    assert np.all(averaged["small/logits/kernel"] != after["small/logits/kernel"])


def test_a_run_says_how_much_it_trains(tmp_path, capsys):
    recipe = dataclasses.replace(
        noise.recipe, trainable=("logits/",), epochs=1, warmup_epochs=0, steps_per_epoch=1
    )
    results = kr.train(recipe, tmp_path)
    output = capsys.readouterr().out
    assert "small: 50 trainable of 170 parameters, float32" in output
    assert "; 1 epoch of 1 step of 8 images." in output
    assert results["parameters"] == 170  # 112 of the convolution, 8 of the normalization
