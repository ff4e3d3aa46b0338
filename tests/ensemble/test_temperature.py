"""Temperature scaling: closed forms, and what a run keeps of it."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet.ensemble.temperature import best_temperature
from support import noise


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("share", [0.55, 0.75, 0.999])
@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_the_temperature_is_that_of_the_closed_form(classes, share, scale):
    """Of logits (a, 0, ..., 0), right in a share p: softmax(a / T) = p."""
    labels = np.eye(classes)[np.where(np.arange(1000) < 1000 * share, 0, 1)]
    logits = np.zeros((1000, classes))
    logits[:, 0] = scale
    expected = scale / np.log(share * (classes - 1) / (1 - share))
    assert best_temperature(logits, labels) == pytest.approx(expected, rel=1e-9)
    assert best_temperature(logits + 1e3, labels) == pytest.approx(expected, rel=1e-6)


def test_the_slope_of_the_likelihood_is_0_at_the_temperature():
    generator = np.random.default_rng(0)
    labels = np.eye(5)[generator.integers(0, 5, 400)]
    logits = 4 * generator.normal(size=(400, 5)) + 3 * labels

    def likelihood(temperature):
        z = logits / temperature
        return np.mean(np.log(np.exp(z).sum(1)) - (z * labels).sum(1))

    found = best_temperature(logits, labels)
    around = [likelihood(found * factor) for factor in (0.99, 0.9999, 1.0001, 1.01)]
    assert min(around) >= likelihood(found) and around[0] > around[1] and around[3] > around[2]
    assert best_temperature(7 * logits, labels) == pytest.approx(7 * found, rel=1e-9)


def test_a_run_keeps_its_temperature_and_all_answers_follow(members, tmp_path, capsys):
    tf = pytest.importorskip("tensorflow", reason="SavedModels are TensorFlow's")
    run = tmp_path / "run"
    shutil.copytree(members[0], run)
    trained = (run / "model.keras").read_bytes()
    dataset = noise.recipe.dataset
    pixels = noise.random_pictures(dataset, "test").images
    model = keras.models.load_model(run / "model.keras")
    logits = np.asarray(model(dataset.normalize(pixels)))
    labels = np.eye(10)[logits.argmax(1)]
    labels[:8] = np.roll(labels[:8], 1, axis=1)  # 12 of 20 are right

    def read(dataset, split, data_dir=None):
        return kr.data.ArrayExamples(dataset, pixels, labels.argmax(1), dataset.class_names)

    held_out = kr.data.Dataset(
        name="held_out", read=read, image_shape=(32, 32, 3), classes=10,
        mean=(0.1,) * 3, std=(0.9,) * 3, class_names=dataset.class_names,
    )  # fmt: skip
    before = kr.evaluate(run, held_out)
    (run / "model.onnx").write_bytes(b"without a temperature")
    temperature = kr.ensemble.fit_temperature(run, held_out)
    assert f"--workdir {run} --format onnx writes it again" in capsys.readouterr().out
    assert temperature == pytest.approx(best_temperature(logits, labels), rel=1e-4)
    assert not 0.9 < temperature < 1.1
    after = kr.evaluate(run, held_out)
    assert after["loss"] < before["loss"] and after["accuracy"] == before["accuracy"] == 0.6
    powers = np.exp(logits / temperature)
    expected = powers / powers.sum(1, keepdims=True)
    served = tf.saved_model.load(run / "saved_model")
    np.testing.assert_allclose(served.serve(pixels), expected, rtol=1e-4)
    assert (run / "model.keras").read_bytes() == trained
    again = kr.ensemble.fit_temperature(run, held_out)  # of the trained logits, not of scaled ones
    assert again == temperature
    recipe = dataclasses.replace(noise.recipe, epochs=2)  # that of the members
    capsys.readouterr()
    kr.train(recipe, run)
    assert "nothing is done again" in capsys.readouterr().out
    shutil.rmtree(run / "saved_model")
    kr.train(recipe, run)  # finished again, from its last checkpoint
    served = tf.saved_model.load(run / "saved_model")
    np.testing.assert_allclose(served.serve(pixels), expected, rtol=1e-4)
