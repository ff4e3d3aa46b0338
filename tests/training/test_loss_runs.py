"""Runs for other losses than the cross-entropy of one class: tags, weights, a teacher."""

import csv
import dataclasses
import functools
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet.training import setup
from keras_rescnet.training.checkpoint import Checkpoints
from keras_rescnet.training.data import RunData
from keras_rescnet.training.engines import Task, make_engine
from keras_rescnet.training.losses import build_losses, build_teacher
from keras_rescnet.training.metrics import ClassMetrics, TagMetrics
from support import ENVIRONMENT, ROOT, noise, tagged

CLASSES = dataclasses.replace(noise.recipe, model=tagged.model, epochs=2)
GENTLE = {"learning_rate": 0.01, "warmup_epochs": 0}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """The file of a model of ten classes."""
    keras.utils.set_random_seed(7)
    file = tmp_path_factory.mktemp("teacher") / "teacher.keras"
    tagged.model((32, 32, 3), 10).save(file)
    return file


def log_softmax(x):
    x = np.asarray(x, "float64")
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def first_batch(recipe, *models):
    """Returns labels and logits of the models of the first step, in float64."""
    batch = next(RunData(recipe).train_batches(0, 1).as_numpy_iterator())
    return batch["labels"].astype("float64"), *[
        np.asarray(model.predict_on_batch(batch["images"]), "float64") for model in models
    ]


def build(recipe):
    """Returns an engine that is ready to run a recipe's first steps, and the models it runs."""
    engine, run_data = make_engine(), RunData(recipe)
    keras.utils.set_random_seed(0)
    with engine.scope():
        model = setup.build_model(recipe, 1)
        optimizer = setup.build_optimizer(recipe, model)
        taught = build_teacher(recipe)
    losses = build_losses(recipe, run_data.train.class_names)
    metrics = (TagMetrics if recipe.dataset.multi_label else ClassMetrics)(losses)
    engine.build(
        Task(
            model,
            optimizer,
            metrics.train_statistics,
            metrics.test_statistics,
            recipe.batch_size,
            recipe.gradient_accumulation_steps,
            taught,
        )
    )
    engine.feed(functools.partial(run_data.train_batches, 0, 5))
    return engine, model, taught


@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_minimizes_the_weighted_loss_of_mixed_tags(parts):
    recipe = dataclasses.replace(tagged.recipe, gradient_accumulation_steps=parts, **GENTLE)
    engine, model, _ = build(recipe)
    labels, logits = first_batch(recipe, model)
    assert ((labels > 0) & (labels < 1)).any()  # mixed
    weights = np.where(np.array(tagged.TAGS) == "rare", 4.0, 1.0)
    present = -weights * labels * -np.logaddexp(0, -logits)
    expected = (present + (1 - labels) * np.logaddexp(0, logits)).mean(1)
    given = logits >= 0
    (sums,) = engine.steps([recipe.learning_rate])
    np.testing.assert_allclose(sums[0], expected.sum(), rtol=1e-5)
    np.testing.assert_allclose(
        sums[1:], [(labels * given).sum(), given.sum(), labels.sum()], rtol=1e-5
    )


def test_a_step_minimizes_the_loss_of_a_teacher_that_does_not_move(teacher):
    loss = kr.losses.Distillation(teacher, temperature=3.0, alpha=0.75)
    recipe = dataclasses.replace(CLASSES, loss=loss, **GENTLE)
    engine, model, taught = build(recipe)
    before = [keras.ops.convert_to_numpy(weight) for weight in taught.weights]
    labels, ours, theirs = first_batch(recipe, model, taught)
    soft = log_softmax(theirs / 3)
    expected = -0.25 * (labels * log_softmax(ours)).sum(1)
    expected += 0.75 * 9 * (np.exp(soft) * (soft - log_softmax(ours / 3))).sum(1)
    np.testing.assert_allclose(
        engine.steps([recipe.learning_rate])[0][0], expected.sum(), rtol=1e-5
    )
    engine.steps([recipe.learning_rate] * 4)
    for weight, array in zip(taught.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), array)
    count = 2 * len(model.trainable_variables) + 2  # velocities, iteration and learning rate
    assert len(engine.variables()) == count


def test_weights_of_classes_are_those_of_their_names():
    recipe = dataclasses.replace(CLASSES, class_weights={"3": 5.0, "7": 0.0}, label_smoothing=0.1)
    losses = build_losses(recipe, tuple("0123456789"))
    labels = np.eye(10, dtype="float32")
    logits = np.random.default_rng(0).normal(size=(10, 10)).astype("float32")
    weights = np.ones(10)
    weights[[3, 7]] = 5, 0
    smooth = 0.9 * labels + 0.01
    expected = -(weights * smooth * log_softmax(logits)).sum(1)
    np.testing.assert_allclose(losses.train(labels, logits), expected, rtol=1e-5)
    plain = -(labels * log_softmax(logits)).sum(1)  # a test is without both
    np.testing.assert_allclose(losses.test(labels, logits), plain, rtol=1e-5)


def files_of(folder):
    names = ("log.csv", "results.json", "model.keras")
    return {name: (pathlib.Path(folder) / name).read_bytes() for name in names[:2]}


@pytest.mark.parametrize("kind", ["tags", pytest.param("teacher", marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_to_the_last_bit(kind, teacher, tmp_path, stop_after):
    precise = {"precision": "mixed_bfloat16", "gradient_accumulation_steps": 2}
    recipe = dataclasses.replace(tagged.recipe, **precise)
    if kind == "teacher":
        recipe = dataclasses.replace(CLASSES, loss=kr.losses.Distillation(teacher))
    whole = kr.train(recipe, tmp_path / "whole")
    stopped = dataclasses.replace(recipe, steps_per_execution=1)
    stop_after(3)
    with pytest.raises(SystemExit):
        kr.train(stopped, tmp_path / "parts")
    assert kr.train(stopped, tmp_path / "parts") == whole
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")
    state, arrays = Checkpoints(tmp_path / "parts" / "checkpoints", chief=False).last()
    assert state.step == 10
    ours = keras.models.load_model(tmp_path / "parts" / "model.keras")
    assert len(arrays) == 2 * len(ours.trainable_variables) + 2  # nothing of the teacher


def test_a_run_on_tags_has_their_metrics_and_thresholds(tmp_path):
    from sklearn import metrics

    results = kr.train(dataclasses.replace(tagged.recipe, ema_momentum=0.5), tmp_path)
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[-1])[2:7] == [
        "train_loss",
        "train_f1",
        "test_loss",
        "test_f1",
        "test_mean_average_precision",
    ]
    model = keras.models.load_model(tmp_path / "model.keras")  # of the averaged weights
    images, labels = tagged.draw(20, 1)
    logits = np.asarray(model.predict_on_batch(tagged.dataset.normalize(images)))
    expected = {
        "mean_average_precision": metrics.average_precision_score(labels, logits, average="macro"),
        "f1": metrics.f1_score(labels, logits >= 0, average="micro"),
        "loss": metrics.log_loss(
            labels.ravel(), 1 / (1 + np.exp(-logits.ravel().astype("float64")))
        ),
    }
    for name, value in expected.items():
        assert results[f"test_ema_{name}"] == pytest.approx(value, rel=1e-5)
        assert float(rows[-1][f"test_ema_{name}"]) == results[f"test_ema_{name}"]
    assert results["best_test_mean_average_precision"] == max(
        float(row["test_mean_average_precision"]) for row in rows
    )
    assert list(results["thresholds"]) == list(tagged.TAGS)
    given = 1 / (1 + np.exp(-logits)) >= np.array(list(results["thresholds"].values()))
    assert results["test_f1_at_thresholds"] == pytest.approx(
        metrics.f1_score(labels, given, average="micro")
    )
    # They are those of the training pictures
    images, labels = tagged.draw(40, 0)
    logits = np.asarray(model.predict_on_batch(tagged.dataset.normalize(images)), "float64")
    chosen = 1 / (1 + np.exp(-logits)) >= np.array(list(results["thresholds"].values()))
    for column in range(4):
        best = max(
            metrics.f1_score(labels[:, column], logits[:, column] >= cut)
            for cut in logits[:, column]
        )
        found = metrics.f1_score(labels[:, column], chosen[:, column])
        assert found == pytest.approx(best, rel=1e-9)


@pytest.fixture(scope="module")
def exam():
    """What the losses give in TensorFlow and in JAX, on one device and on two."""
    found = {}
    for backend in ("tensorflow", "jax"):
        done = subprocess.run(
            [sys.executable, ROOT / "tests" / "support" / "exam_of_losses.py"],
            env={
                **ENVIRONMENT,
                "KERAS_BACKEND": backend,
                "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found[backend] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.release
@pytest.mark.parametrize(
    ("case", "tolerance"),
    [
        ("tags in parts", 1e-6),
        ("focal tags in bfloat16", 1e-2),
        ("loss of keras", 1e-6),
        ("weighted classes", 1e-6),
        ("distillation", 1e-6),
    ],
)
def test_losses_are_alike_on_both_backends_and_on_two_devices(case, tolerance, exam):
    expected = exam["tensorflow"][case][0]
    for backend, devices in (("tensorflow", 1), ("jax", 0), ("jax", 1)):
        found = exam[backend][case][devices]
        np.testing.assert_allclose(found["sums"], expected["sums"], rtol=tolerance)
        assert not found["teacher_moved"]
        assert found["names"] == expected["names"]
        for ours, theirs in zip(found["arrays"], expected["arrays"], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=tolerance)
        assert found["labels"] == expected["labels"]
        np.testing.assert_allclose(found["logits"], expected["logits"], atol=2 * tolerance)
        assert found["test"] == pytest.approx(expected["test"], rel=tolerance)
