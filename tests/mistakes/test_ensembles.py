"""Arguments of ensembles, temperatures and corruptions that are refused."""

import dataclasses
import json
from functools import partial

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet.ensemble.temperature import best_temperature
from support import noise


def network(size=4, classes=2, head=True):
    images = keras.Input((size,))
    outputs = keras.layers.Dense(classes)(images)
    return keras.Model(images, outputs if head else keras.layers.ReLU()(outputs))


def two_outputs():
    images = keras.Input((4,))
    return keras.Model(images, [images, keras.layers.Dense(2)(images)], name="two")


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


TAGGED = dataclasses.replace(kr.data.DIGITS, read=noise.random_pictures, multi_label=True)
DIGITS = dataclasses.replace(kr.data.DIGITS, read=noise.random_pictures)
ONE = network()


def flat(classes=10):
    layers = [keras.layers.Flatten(), keras.layers.Dense(classes)]
    return keras.Sequential([keras.Input((32, 32, 3)), *layers])


def measure(**options):
    return kr.ensemble.measure([flat()], DIGITS, **options)


CALLS = {
    "no recipe": (lambda: kr.ensemble.train("digits", "x"), "must be a Recipe: .* recipe='digits'"),
    "no folder": (lambda: kr.ensemble.train(noise.recipe, ""), "`workdir` must .*workdir=''"),
    "no members": (lambda: kr.ensemble.train(noise.recipe, "x", 0), "`members` must .*members=0"),
    "half a member": (lambda: kr.ensemble.train(noise.recipe, "x", 1.5), "members=1.5"),
    "true members": (lambda: kr.ensemble.train(noise.recipe, "x", True), "members=True"),
    "last seed": (
        lambda: kr.ensemble.train(dataclasses.replace(noise.recipe, seed=2**31 - 1), "x", 2),
        "`seed` must be .*seed=2147483648",
    ),
    "mean of a text": (lambda: kr.ensemble.mean("runs"), "`members` must be a list .*='runs'"),
    "mean of nothing": (lambda: kr.ensemble.mean([]), "`members` must be a list .*=\\[\\]"),
    "mean of no run": (
        lambda: kr.ensemble.mean(["runs/no"]),
        "finished run. Received: runs/no, which",
    ),
    "mean of numbers": (lambda: kr.ensemble.mean([3]), "A member must be a functional .*: 3"),
    "mean of a subclass": (lambda: kr.ensemble.mean([Subclassed()]), "A member must be a func"),
    "other classes": (
        lambda: kr.ensemble.mean([ONE, network(classes=3)]),
        r"All members must map .*\(None, 2\). Received: .* to \(None, 3\)",
    ),
    "one logit": (
        lambda: kr.ensemble.mean([network(classes=1)]),
        r"give multi_label=True. Received: \w+ to \(None, 1\)",
    ),
    "two outputs": (
        lambda: kr.ensemble.mean([two_outputs()]),
        "one input and one output. Received: two with 1 and 2",
    ),
    "other images": (lambda: kr.ensemble.mean([ONE, network(5)]), r"from \(None, 5\)"),
    "models without data": (lambda: kr.ensemble.measure([ONE]), "`dataset` must .*dataset=None"),
    "tags": (lambda: kr.ensemble.measure([flat()], TAGGED), "one class each. Received: digits"),
    "classes of others": (lambda: kr.ensemble.measure([flat(9)], DIGITS), "model's 9 classes"),
    "severity 0": (
        lambda: kr.ensemble.measure(
            [flat()], DIGITS, corruptions=[kr.corruptions.contrast], severities=[0]
        ),
        "`severity` must be an integer from 1 to 5. Received: severity=0",
    ),
    "a partial corruption": (
        lambda: measure(corruptions=[partial(kr.corruptions.contrast, severity=1)]),
        "`corruptions` must be a list of functions with names.*partial",
    ),
    "a corruption's name": (
        lambda: measure(corruptions=["contrast"]),
        r"`corruptions` must be .* Received: corruptions=\['contrast'\]",
    ),
    "one corruption": (
        lambda: measure(corruptions=kr.corruptions.contrast),
        "`corruptions` must be .* Received: corruptions=<function contrast",
    ),
    "one severity": (
        lambda: measure(corruptions=[kr.corruptions.contrast], severities=1),
        "`severities` must be a list of integers from 1 to 5. Received: severities=1",
    ),
    "one repels nobody": (lambda: kr.ensemble.FoRDE([ONE]), "at least two .*: 1 members"),
    "shared weights": (lambda: kr.ensemble.FoRDE([ONE, ONE]), "4 weights of which 2 differ"),
    "basis of others": (
        lambda: kr.ensemble.FoRDE([ONE, network()], (np.ones(3), np.eye(3))),
        r"`basis` must be .*of 4 dimensions. Received: \[\(3,\), \(3, 3\)\]",
    ),
    "no basis": (lambda: kr.ensemble.FoRDE([ONE, network()], "pca"), "Received: 'pca'"),
    "no head": (lambda: kr.ensemble.concatenate([network(head=False)]), "ends in ReLU"),
    "other shape": (
        lambda: kr.ensemble.concatenate([ONE], input_shape=(32, 32, 3), classes=2),
        r"`input_shape` must be .*\(4,\). Received: input_shape=\(32, 32, 3\)",
    ),
    "no classes": (
        lambda: kr.ensemble.concatenate([ONE], classes=0),
        "`classes` must be a positive integer. Received: classes=0",
    ),
    "no rows": (
        lambda: kr.ensemble.write_csv([], "rows.csv"),
        r"`rows` must be what `measure` returns. Received: rows=\[\]",
    ),
    "temperature of nothing": (
        lambda: kr.ensemble.fit_temperature(None, DIGITS),
        "`run` must be .*run=None",
    ),
    "temperature without data": (
        lambda: kr.ensemble.fit_temperature(flat(), None),
        "`dataset` must .*dataset=None",
    ),
    "temperature of tags": (
        lambda: kr.ensemble.fit_temperature(flat(), TAGGED),
        "one class each. Received: digits",
    ),
    "all right": (
        lambda: best_temperature(np.eye(3), np.eye(3)),
        "not all of them rightly.* 3 pictures, 100 % of them",
    ),
    "all wrong": (
        lambda: best_temperature(-np.eye(3), np.eye(3)),
        "better than by chance.* 3 pictures, 0 % of them",
    ),
    "no numbers": (
        lambda: best_temperature(np.full((3, 3), np.nan), np.eye(3)),
        "finite logits.* 3 pictures",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_ensembles(case, assert_refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, pattern = CALLS[case]
    assert_refused(call, pattern)
    assert not list(tmp_path.iterdir())


OTHERS = {
    "mean": [0.9],
    "std": [0.2],
    "class_names": ["b", "a"],
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("join", [kr.ensemble.mean, kr.ensemble.concatenate, kr.ensemble.measure])
def test_members_of_other_data(name, join, assert_refused, tmp_path):
    facts = {"mean": [0.5], "std": [0.5], "class_names": ["a", "b"]}
    for folder, data in (("a", facts), ("b", {**facts, name: OTHERS[name]})):
        (tmp_path / folder).mkdir()
        ONE.save(tmp_path / folder / "model.keras")
        (tmp_path / folder / "run.json").write_text(json.dumps({"data": data}))
    pattern = f"trained with the first one's `{name}`, .*Received: .*b with .{OTHERS[name][0]!r}"
    assert_refused(lambda: join([tmp_path / "a", tmp_path / "b"]), pattern)
    kr.ensemble.mean([tmp_path / "a", ONE, tmp_path / "a"])


@pytest.mark.parametrize("severity", [0, 6, -1, 2.5, "3", None, True])
@pytest.mark.parametrize("name", kr.corruptions.__all__)
def test_severities(name, severity, assert_refused):
    call = partial(getattr(kr.corruptions, name), np.zeros((4, 4, 3), "uint8"), severity, (0, 1))
    assert_refused(call, "`severity` must be an integer from 1 to 5. Received: severity=")


@pytest.mark.parametrize(
    "image, received",
    [
        (np.zeros((4, 4, 3), "float32"), r"shape \(4, 4, 3\), of float32"),
        (np.zeros((2, 4, 4, 3), "uint8"), r"shape \(2, 4, 4, 3\), of uint8"),
    ],
)
@pytest.mark.parametrize("name", kr.corruptions.__all__)
def test_images_to_corrupt(name, image, received, assert_refused):
    call = partial(getattr(kr.corruptions, name), image, 1, (0, 1))
    assert_refused(call, f"`image` must be of shape .* Received: an image of {received}")


def test_a_jpeg_of_two_channels(assert_refused):
    image = np.zeros((4, 4, 2), "uint8")
    pattern = r"images of 1 or 3 channels. Received: an image of shape \(4, 4, 2\)"
    assert_refused(lambda: kr.corruptions.jpeg_compression(image, 1), pattern)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="FoRDE needs TensorFlow")
def test_forde_with_sample_weights(assert_refused):
    model = kr.ensemble.FoRDE([network(), network()])
    model.compile("sgd", run_eagerly=True)
    x, y = np.ones((3, 4), "float32"), np.eye(2, dtype="float32")[[0, 1, 0]]
    assert_refused(
        lambda: model.fit(x, y, sample_weight=np.ones(3), verbose=0),
        r"leave out `sample_weight` and `class_weight`. Received: weights of shape \(3,\)",
    )


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="FoRDE needs TensorFlow")
def test_forde_with_numbers_for_labels(assert_refused):
    model = kr.ensemble.FoRDE([network(), network()])
    model.compile("sgd", run_eagerly=True)
    assert_refused(
        lambda: model.fit(np.ones((3, 4), "float32"), np.array([0, 1, 0]), verbose=0),
        "Labels must be of the shape of the logits.*one_hot.* Received: labels of shape",
    )


def test_a_backend_without_the_saved_model(assert_refused, monkeypatch, tmp_path):
    ONE.save(tmp_path / "model.keras")
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "saved_model").mkdir()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert_refused(
        lambda: kr.ensemble.fit_temperature(tmp_path, DIGITS),
        "SavedModel .*Keras on TensorFlow. Received: KERAS_BACKEND=jax",
    )


def test_a_backend_without_forde(assert_refused, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert_refused(
        lambda: kr.ensemble.FoRDE([ONE, ONE]), "Keras on TensorFlow. Received: KERAS_BACKEND=jax"
    )
