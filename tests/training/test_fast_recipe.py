"""What fast recipes are made of: a schedule per step, an adapted layer, and views in tests."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet.data import evaluation_batches
from keras_rescnet.mistake import Mistake
from keras_rescnet.schedules import learning_rate_at_step, linear_decay
from support import DIGITS_RECORD, noise
from support.commands import run_command

FAST = noise.recipes["fast"]
STEPS = 5


def test_the_learning_rate_changes_with_every_step():
    recipe = dataclasses.replace(FAST, warmup_epochs=1, learning_rate=0.6)
    rates = [learning_rate_at_step(step, STEPS, recipe) for step in range(3 * STEPS)]
    warm = 0.6 * (0.01 + 0.99 * np.arange(5) / 5)
    falling = 0.6 * (1 - np.arange(10) / 10)
    np.testing.assert_allclose(rates, [*warm, *falling], rtol=1e-12)


def test_every_step_has_its_rate(monkeypatch, tmp_path):
    """SGD on a weight whose gradient is always 1: it has moved by the sum of all rates."""

    def model(input_shape, classes):
        inputs = keras.Input(input_shape)
        return keras.Model(inputs, Ramp(classes)(inputs))

    recipe = dataclasses.replace(
        noise.recipe,
        model=model,
        optimizer=kr.optimizers.SGD,
        decay=linear_decay,
        schedule_per_step=True,
        warmup_epochs=0,
        learning_rate=0.5,
    )
    kr.train(recipe, tmp_path)
    (weight,) = keras.models.load_model(tmp_path / "model.keras").trainable_weights
    expected = -sum(0.5 * (1 - step / 15) for step in range(15))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, rtol=1e-5)
    log = (tmp_path / "log.csv").read_text().splitlines()
    column = log[0].split(",").index("learning_rate")
    rates = [float(line.split(",")[column]) for line in log[1:]]
    np.testing.assert_allclose(rates, [0.5 * (1 - step / 15) for step in (4, 9, 14)], rtol=1e-6)


@keras.saving.register_keras_serializable(package="tests")
class Ramp(keras.layers.Layer):
    """Equal logits, and a penalty that is the layer's one weight."""

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes

    def build(self, input_shape):
        self.weight = self.add_weight(shape=(), initializer="zeros", name="weight")

    def call(self, inputs):
        self.add_loss(1.0 * self.weight)
        return keras.ops.zeros((keras.ops.shape(inputs)[0], self.classes))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.classes)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fast") / "run"
    file = f"{noise.__file__}:fast"
    return folder, kr.train(kr.load_recipe(file), folder)


def means_over_views(model, test):
    """Loss and accuracy of logits that are averaged by hand, in float64."""
    losses, hits = [], []
    for batch in evaluation_batches(test, batch_size=20):
        images = np.asarray(batch["images"])
        padded = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], "reflect")
        moved = [padded[:, :-2, :-2], padded[:, 2:, 2:]]
        shifts = [(0.5, images), *((0.25, view) for view in moved)]
        logits = sum(
            weight / 2 * np.asarray(model(view), "float64")
            for weight, shifted in shifts
            for view in (shifted, shifted[:, :, ::-1])
        )
        truth = np.asarray(batch["labels"]).argmax(1)
        log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        losses += (-log[np.arange(len(truth)), truth]).tolist()
        hits += (logits.argmax(1) == truth).tolist()
    return np.mean(losses), np.mean(hits)


def test_tests_average_the_logits_of_all_views(finished):
    folder, results = finished
    model = keras.models.load_model(folder / "model.keras")
    test = noise.random_pictures(FAST.dataset, "test")
    loss, accuracy = means_over_views(model, test)
    np.testing.assert_allclose(results["test_loss"], loss, rtol=1e-5)
    assert results["test_accuracy"] == accuracy
    measured = kr.evaluate(folder)
    np.testing.assert_allclose(measured["loss"], loss, rtol=1e-5)
    assert measured["accuracy"] == accuracy
    plain = kr.evaluate(folder, views=lambda images: [(1.0, images)])
    assert abs(plain["loss"] - loss) > 1e-4  # or there would be nothing to see


@pytest.mark.parametrize("shape", [(None, 5, 7, 1), (None, None, None, 1)], ids=str)
def test_views_are_those_of_numpy_where_the_size_is_not_known(shape):
    images = np.random.default_rng(0).random((2, 5, 7, 1)).astype("float32")
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    shifted = padded[:, :5, :7], padded[:, 2:, 2:]
    expected = [view for each in (images, *shifted) for view in (each, each[:, :, ::-1])]
    inputs = keras.Input(batch_shape=shape)
    views = [view for _, view in kr.views.mirrored_and_shifted(inputs)]
    for found, view in zip(keras.Model(inputs, views)(images), expected, strict=True):
        np.testing.assert_array_equal(found, view)


def test_the_command_evaluates_with_the_views_of_the_recipe(finished, tmp_path, capsys):
    folder, results = finished
    run_command("evaluate", f"--workdir={folder}", f"--json={tmp_path / 'measured.json'}")
    measured = json.loads((tmp_path / "measured.json").read_text())
    np.testing.assert_allclose(measured["loss"], results["test_loss"], rtol=1e-5)


@pytest.mark.slow
def test_a_run_from_python_is_evaluated_with_views_that_are_named(tmp_path):
    results = kr.train(dataclasses.replace(FAST, epochs=1), tmp_path)
    dataset = FAST.dataset
    with pytest.raises(Mistake, match="measured with them: .*views=.*Received: ") as caught:
        kr.evaluate(tmp_path, dataset)
    assert "\n" not in str(caught.value)
    measured = kr.evaluate(tmp_path, dataset, views=kr.views.mirrored_and_shifted)
    np.testing.assert_allclose(measured["loss"], results["test_loss"], rtol=1e-5)


def test_a_model_is_adapted_once_to_images_that_are_not_augmented(finished):
    folder, _ = finished
    model = keras.models.load_model(folder / "model.keras")
    train = noise.random_pictures(FAST.dataset, "train")
    pixels = (train.images / 255 - FAST.dataset.mean) / FAST.dataset.std
    layer = kr.layers.WhiteningConv2D()
    layer.adapt(pixels.astype("float32"))
    ours = keras.ops.convert_to_numpy(model.get_layer("whitening").kernel)
    theirs = keras.ops.convert_to_numpy(layer.kernel)
    signs = np.sign(np.sum(ours * theirs, axis=(0, 1, 2)))
    np.testing.assert_allclose(ours * signs, theirs, rtol=1e-3, atol=1e-3)


def test_what_adapt_raises_is_one_line(tmp_path):
    def adapt(model, images):
        raise RuntimeError("no such layer")

    with pytest.raises(Mistake, match="`adapt` failed in .*RuntimeError: no such layer") as caught:
        kr.train(dataclasses.replace(FAST, adapt=adapt), tmp_path)
    assert "\n" not in str(caught.value)


def test_recipes_without_later_fields_keep_their_digest():
    """That of the record, which an earlier version made."""
    digest = json.loads(DIGITS_RECORD.read_text())["results"]["recipe_digest"]
    recipe = kr.load_recipe("digits_gclu_resnet8")
    assert recipe.digest() == digest
    for changes in (
        {"schedule_per_step": True},
        {"test_views": kr.views.mirrored},
        {"adapt": lambda model, images: None},
        {"learning_rate_multipliers": {"a": 1.0, "b": 2.0}},
        {"weight_decay_multipliers": {"a": 1.0}},
    ):
        assert dataclasses.replace(recipe, **changes).digest() != digest


def test_the_order_of_multipliers_counts():
    one = dataclasses.replace(FAST, learning_rate_multipliers={"a": 1.0, "b": 2.0})
    other = dataclasses.replace(FAST, learning_rate_multipliers={"b": 2.0, "a": 1.0})
    assert one.digest() != other.digest()


def test_a_later_field_that_changes_is_named(finished):
    folder, _ = finished
    recipe = kr.load_recipe(f"{noise.__file__}:fast", ["schedule_per_step=False"])
    with pytest.raises(Mistake, match="another recipe: `schedule_per_step` was True"):
        kr.train(recipe, folder)
