"""Concatenated representations: the start of their head, a linear probe, two stages."""

import dataclasses
from functools import partial

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from support import noise

IMAGES = np.random.default_rng(0).normal(size=(5, 32, 32, 3)).astype("float32")


def test_at_the_start_logits_are_the_means_of_the_members(members, tmp_path):
    models = [keras.models.load_model(folder / "model.keras") for folder in members]
    logits = np.stack([np.asarray(model(IMAGES)) for model in models])
    model = kr.ensemble.concatenate(members)
    np.testing.assert_allclose(model(IMAGES), logits.mean(0), atol=1e-6)
    features = kr.models.feature_extractor(model, "features")(IMAGES)
    alone = [kr.models.feature_extractor(each, "features")(IMAGES) for each in models]
    np.testing.assert_allclose(features, np.concatenate(alone, axis=1), atol=1e-6)
    model.save(tmp_path / "cat.keras")
    loaded = keras.models.load_model(tmp_path / "cat.keras")
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))


def test_a_head_without_bias_counts_as_bias_0():
    def member(use_bias):
        images = keras.Input((3,))
        dense = keras.layers.Dense(2, use_bias=use_bias, bias_initializer="ones")
        return keras.Model(images, dense(images))

    model = kr.ensemble.concatenate([member(True), member(False)])
    np.testing.assert_array_equal(model.get_layer("logits").bias, [0.5, 0.5])


def halves(dataset, split, data_dir=None):
    """Another data set: are the lower halves of the pictures darker? Six times the pictures."""
    generator = np.random.default_rng(3)
    images = generator.integers(0, 256, (120, *dataset.image_shape), "uint8")
    darker = np.arange(120) % 2
    images[darker == 1, 16:] //= 3
    return kr.data.ArrayExamples(dataset, images, darker, dataset.class_names)


HALVES = dataclasses.replace(
    kr.data.DIGITS, name="halves", read=halves, classes=2, class_names=("even", "darker")
)
PROBE = dataclasses.replace(
    noise.recipe,
    dataset=HALVES,
    augment=None,
    trainable=("^logits/",),
    batch_size=40,
    epochs=8,
    learning_rate=1.0,
)


@pytest.mark.slow
def test_a_linear_probe_trains_the_head_alone_on_other_classes(members, tmp_path):
    runs = [str(folder) for folder in members]
    recipe = dataclasses.replace(PROBE, model=partial(kr.ensemble.concatenate, runs))
    results = kr.train(recipe, tmp_path / "probe")
    assert results["test_accuracy"] > 0.9
    model = keras.models.load_model(tmp_path / "probe" / "model.keras")
    for i, folder in enumerate(members):
        trained = keras.models.load_model(folder / "model.keras").get_weights()[:-2]
        for ours, theirs in zip(model.get_layer(f"member{i}").get_weights(), trained, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert model.get_layer("logits").kernel.shape == (8, 2)


@pytest.mark.slow
def test_two_stages_fine_tune_each_alone_and_then_the_head(members, tmp_path):
    alone = dataclasses.replace(PROBE, trainable=None, learning_rate=0.1, epochs=2)
    runs = []
    for i, folder in enumerate(members):
        runs.append(str(tmp_path / f"tuned{i}"))
        kr.train(dataclasses.replace(alone, initial_weights=str(folder)), runs[-1])
    model = partial(kr.ensemble.concatenate, runs)
    start = model(input_shape=(32, 32, 3), classes=2)
    logits = [keras.models.load_model(f"{run}/model.keras")(IMAGES) for run in runs]
    np.testing.assert_allclose(start(IMAGES), np.mean(logits, axis=0), atol=1e-6)
    recipe = dataclasses.replace(PROBE, model=model, epochs=2, learning_rate=0.1)
    results = kr.train(recipe, tmp_path / "probe")
    assert results["test_accuracy"] > 0.9
