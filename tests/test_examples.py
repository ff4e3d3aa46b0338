"""The scripts in examples/ run, on a few small pictures."""

import dataclasses
import importlib.util
from functools import partial, partialmethod

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_rescnet as kr
from support import ROOT, noise, tagged


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pictures(tmp_path):
    """A folder of ten pictures of noise, in two classes."""
    for i in range(10):
        folder = tmp_path / "pictures" / ("cat" if i % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (32, 32, 3), "uint8")
        Image.fromarray(noise).save(folder / f"{i}.png")
    return tmp_path / "pictures"


def test_every_example_is_short():
    for path in (ROOT / "examples").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 40, path.name


@pytest.mark.slow
def test_calibrate_resnet50(pictures, monkeypatch):
    eagerly = partialmethod(keras.Model.compile, run_eagerly=True)  # XLA would take minutes
    monkeypatch.setattr(keras.Model, "compile", eagerly)
    model = load("calibrate_resnet50").fine_tune(pictures, weights=None, size=32, epochs=1)
    gates = [weight for weight in model.trainable_weights if weight.name == "gate"]
    assert len(gates) == 16
    assert all(np.any(keras.ops.convert_to_numpy(gate)) for gate in gates)


@pytest.mark.release
def test_fine_tune_recipe(pictures, tmp_path, capsys):
    example = load("fine_tune_recipe")
    recipe = dataclasses.replace(
        example.recipe,
        dataset=dataclasses.replace(example.PICTURES, image_shape=(32, 32, 3)),
        augment=None,
        model=partial(example.network, weights=None),
        batch_size=8,
        epochs=1,
        warmup_epochs=0,
    )
    kr.train(recipe, tmp_path / "run", data_dir=pictures)
    # 14,976,000 of conv5 in keras.applications, 2 x 2049 of the head, and the RC Layers
    assert "trainable of 27," in capsys.readouterr().out
    keras.utils.set_random_seed(recipe.seed)
    first = recipe.model(input_shape=(32, 32, 3), classes=2)
    assert isinstance(first.input, keras.KerasTensor)  # of a list Keras warns at every call
    last = keras.models.load_model(tmp_path / "run" / "model.keras")
    moved = {
        ours.path.partition("_")[0]
        for ours, theirs in zip(first.weights, last.weights, strict=True)
        if not np.array_equal(ours, theirs) and "calibration" not in ours.path
    }
    assert {name.partition("/")[0] for name in moved} == {"conv5", "logits"}


def test_augment_with_fit():
    example = load("augment_with_fit")
    digits = noise.random_pictures(kr.data.DIGITS, "train")
    step, labels = tf.constant(3, "int64"), digits.labels[:8]
    images, shares = example.augmented(step, (digits.images[:8], labels))
    assert np.abs(images).max() == 1 and images.shape == (8, 32, 32, 3)
    again, _ = example.augmented(step, (digits.images[:8], labels))
    np.testing.assert_array_equal(images, again)
    np.testing.assert_allclose(np.sum(shares, axis=1), 1, rtol=1e-6)
    tf.config.run_functions_eagerly(True)  # two steps are not worth a compilation
    try:
        _, history = example.train(digits.images, digits.labels, epochs=1, batch_size=20)
    finally:
        tf.config.run_functions_eagerly(False)
    assert np.isfinite(history.history["loss"]).tolist() == [True]


def test_features_to_scikit_learn(finished_run):
    example = load("features_to_scikit_learn")
    dataset = noise.recipe.dataset
    accuracies = example.compare(finished_run, dataset)
    assert set(accuracies) == {"LogisticRegression", "KNeighborsClassifier"}
    assert all(0 <= accuracy <= 1 for accuracy in accuracies.values())
    model = keras.models.load_model(finished_run / "model.keras")
    examples = noise.random_pictures(dataset, "test")
    network = kr.models.feature_extractor(model, "features")
    found, labels = example.features(network, examples)
    np.testing.assert_array_equal(labels, examples.labels)
    logits = found @ np.asarray(model.layers[-1].kernel) + np.asarray(model.layers[-1].bias)
    np.testing.assert_allclose(
        logits, model(dataset.normalize(examples.images)), rtol=1e-5, atol=1e-5
    )


@pytest.mark.release
def test_tags_from_csv(tmp_path):
    example, table = load("tags_from_csv"), tagged.write_csv(tmp_path / "set")
    size = {"model": kr.models.CifarResNet8, "size": 32, "batch_size": 8, "epochs": 2}
    results = example.train(table, tmp_path / "run", **size)
    assert list(results["thresholds"]) == list(tagged.TAGS)
    found = [
        example.tags_of(tmp_path / "set" / "images" / f"train{i}.png", tmp_path / "run")
        for i in range(40)
    ]
    assert {tag for tags in found for tag in tags} == set(tagged.TAGS)  # each is given somewhere
    classes = kr.data.image_table(table, size=32)
    measured = kr.evaluate(tmp_path / "run", classes, loss=kr.losses.binary_crossentropy)
    assert measured["loss"] == pytest.approx(results["test_loss"], rel=1e-5)


def test_tags_of_a_picture(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2, kernel_initializer="zeros"))  # sigmoid(0) = 1/2
    options = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "multi_label": True}
    names = {"class_names": ("Schuh", "Tür"), "thresholds": (0.6, 0.4)}
    kr.export.saved_model(model, tmp_path / "saved_model", **options, **names)
    Image.fromarray(np.zeros((9, 9, 3), "uint8")).save(tmp_path / "picture.png")
    found = load("tags_from_csv").tags_of(tmp_path / "picture.png", tmp_path)
    assert found == ["Tür"]


def test_resume_fit(tmp_path):
    """The second call finds the first one finished, and returns its history."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (64, 28, 28), "uint8")
    data = ((images, np.arange(64) % 10), (images[:8], np.arange(8)))
    first, second = (load("resume_fit").train(tmp_path / "run", data, epochs=2) for _ in range(2))
    assert first.history == second.history and second.epoch == [0, 1]


def linear(input_shape, classes):
    parts = [keras.layers.AveragePooling2D(4), keras.layers.Flatten(), keras.layers.Dense(classes)]
    return keras.Sequential([keras.Input(input_shape), *parts])


def test_forde(tmp_path):
    """On the digits; the second call finds the first one finished."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    example = load("forde")
    recipe = kr.load_recipe("digits_gclu_resnet8", ["epochs=2", "warmup_epochs=0"])
    recipe = dataclasses.replace(recipe, model=linear, learning_rate=0.01, steps_per_epoch=12)
    tf.config.run_functions_eagerly(True)  # few steps are not worth a compilation
    try:
        first, second = (example.train(recipe, tmp_path / "run", members=2) for _ in range(2))
        plain = dataclasses.replace(recipe, augment=None, epochs=1, steps_per_epoch=1)
        example.train(plain, tmp_path / "plain", members=2)
    finally:
        tf.config.run_functions_eagerly(False)
    rows = kr.ensemble.measure(first.members, recipe.dataset)
    assert rows[-1]["accuracy"] > 0.8 and rows[-1]["disagreement"] > 0
    for ours, theirs in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
