"""What the fields of a recipe become: model and optimizer."""

import dataclasses
import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_rescnet import Mistake, models
from keras_rescnet.models.swin import Swin
from keras_rescnet.optimizers import SGD, AdamW
from keras_rescnet.training import setup
from keras_rescnet.training.engines import Task, make_engine
from keras_rescnet.training.metrics import statistics

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
SWIN = functools.partial(Swin, 4, width=4, depths=(2,), heads=(2,), window_size=2)


def looking_up(input_shape, classes):
    """A model whose gradient, on TensorFlow, is of a few rows of a table."""
    inputs = keras.Input(input_shape)
    greys = keras.ops.cast(keras.ops.round(inputs[:, :, :, 0]), "int32") % 8
    return keras.Model(
        inputs, keras.layers.Dense(classes)(keras.layers.Embedding(8, 2)(greys)[:, 0, 0])
    )


def steps(model, optimizer, accumulation_steps):
    """Returns the sums of two steps, and the weights after them."""
    optimizer.build(model.trainable_variables)
    engine = make_engine()
    sizes = {"batch_size": 8, "accumulation_steps": accumulation_steps}
    engine.build(Task(model, optimizer, statistics, statistics, **sizes))
    generator = np.random.default_rng(0)
    images = generator.normal(size=(2, 8, *model.input_shape[1:])).astype("float32")
    labels = np.eye(10, dtype="float32")[generator.integers(0, 10, (2, 8))]
    batches = tf.data.Dataset.from_tensor_slices({"images": images, "labels": labels})
    engine.feed(lambda num_shards, shard_index: batches)
    rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    sums = engine.steps([rate, rate])
    return sums, [keras.ops.convert_to_numpy(weight) for weight in model.weights]


@pytest.mark.parametrize(
    ("model", "make"),
    [
        pytest.param(SWIN, functools.partial(AdamW, 0.01), marks=pytest.mark.slow),
        (looking_up, functools.partial(SGD, 0.1, 0.9)),
        (looking_up, functools.partial(AdamW, 0.01, global_clipnorm=0.1)),
        (looking_up, functools.partial(keras.optimizers.Adam, 0.01)),
    ],
    ids=["swin", "sgd", "clipped", "keras"],
)
def test_gradients_of_looked_up_tables_are_accumulated(model, make):
    found = []
    for parts in (1, 2):
        keras.utils.set_random_seed(0)
        found.append(steps(model(input_shape=(8, 8, 3), classes=10), make(), parts))
    (whole, weights), (sums, others) = found
    np.testing.assert_allclose(sums, whole, rtol=1e-5)
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


class Block(keras.layers.Layer):
    """A user's own layer with a normalization in a list."""

    def __init__(self):
        super().__init__()
        self.parts = [keras.layers.Dense(3), keras.layers.BatchNormalization()]

    def call(self, inputs, training=None):
        return self.parts[1](self.parts[0](inputs), training=training)


def nested(input_shape, classes, last=()):
    inner = keras.Sequential(
        [keras.layers.Conv2D(3, 3), keras.layers.BatchNormalization(), Block()]
    )
    around = keras.Sequential([keras.Input(input_shape), inner, keras.layers.BatchNormalization()])
    inputs = keras.Input(input_shape)
    x = keras.layers.Dense(classes)(keras.layers.GlobalAveragePooling2D()(around(inputs)))
    for layer in last:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.mark.skipif(not ON_TENSORFLOW, reason="statistics are of the whole batch anyway")
@pytest.mark.parametrize("replicas", [1, 2])
def test_normalization_within_models_and_layers_is_synchronized(replicas, noise_recipe):
    recipe = dataclasses.replace(noise_recipe, model=nested, synchronized_bn=True)
    model = setup.build_model(recipe, replicas)
    found = [
        part.synchronized
        for part in setup.parts_of(model)
        if isinstance(part, keras.layers.BatchNormalization)
    ]
    assert found == [replicas == 2] * 3


SOFTMAX = keras.layers.Softmax()
ENDINGS = {
    "softmax": [SOFTMAX],
    "activation": [keras.layers.Activation("softmax")],
    "dense": [keras.layers.Dense(10, activation="sigmoid")],
    "cast": [keras.layers.Activation("sigmoid"), keras.layers.Activation("linear")],
    "operation": [keras.ops.softmax],
    "reshaped": [keras.ops.sigmoid, keras.layers.Reshape((10,)), keras.layers.Dropout(0.1)],
    "nested": [keras.Sequential([keras.layers.Dense(10), SOFTMAX])],
    "nested twice": [keras.Sequential([keras.Sequential([keras.layers.Softmax()])])],
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_models_that_give_probabilities_are_refused(ending, noise_recipe):
    builder = functools.partial(nested, last=ENDINGS[ending])
    recipe = dataclasses.replace(noise_recipe, model=builder)
    with pytest.raises(Mistake, match="must return logits.* ends in (softmax|sigmoid)"):
        setup.build_model(recipe, 1)


@pytest.mark.parametrize(
    "last",
    [
        [keras.layers.Dense(10, activation="relu")],
        [keras.layers.Softmax(), keras.layers.Dense(10)],
        [keras.layers.Activation("log_softmax")],
    ],
)
def test_models_that_give_anything_else_are_taken(last, noise_recipe):
    recipe = dataclasses.replace(noise_recipe, model=functools.partial(nested, last=last))
    assert setup.build_model(recipe, 1).output_shape == (None, 10)


def test_excluded_weights_are_found_by_the_end_of_their_name(noise_recipe):
    recipe = dataclasses.replace(
        noise_recipe,
        model=nested,
        optimizer=functools.partial(SGD, weight_decay=1.0),
        exclude_from_weight_decay=("bias$", "^gamma"),
    )
    model = setup.build_model(recipe, 1)
    optimizer = setup.build_optimizer(recipe, model)
    before = {v.path: keras.ops.convert_to_numpy(v) + 1.0 for v in model.trainable_variables}
    for variable in model.trainable_variables:
        variable.assign(before[variable.path])
    optimizer.learning_rate = 0.5
    zeros = [keras.ops.zeros(variable.shape) for variable in model.trainable_variables]
    optimizer.apply(zeros, model.trainable_variables)
    for variable in model.trainable_variables:
        factor = 1.0 if re.search("bias$|gamma", variable.name) else 0.5
        expected = factor * before[variable.path]
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["classes", "input_shape"])
def test_a_partial_may_have_what_the_dataset_has(name, noise_recipe):
    dataset = noise_recipe.dataset
    value = dataset.classes if name == "classes" else list(dataset.image_shape)
    model = functools.partial(models.CifarResNet8, **{name: value})
    setup.build_model(dataclasses.replace(noise_recipe, model=model), 1)


def test_weights_are_loaded_at_the_start_of_a_run_alone(noise_recipe, tmp_path):
    recipe = dataclasses.replace(noise_recipe, initial_weights=str(tmp_path / "none.keras"))
    with pytest.raises(Mistake, match="`initial_weights`"):
        setup.build_model(recipe, 1)
    setup.build_model(recipe, 1, initialize=False)


def test_hits_are_those_that_a_sort_finds():
    logits = np.random.default_rng(0).normal(size=(50, 10)).astype("float32")
    truth = np.random.default_rng(1).integers(0, 10, 50)
    rows = keras.ops.convert_to_numpy(statistics(np.eye(10, dtype="float32")[truth], logits))
    order = np.argsort(-logits, axis=1)
    np.testing.assert_array_equal(rows[:, 1], order[:, 0] == truth)
    np.testing.assert_array_equal(rows[:, 2], (order[:, :5] == truth[:, None]).any(1))
