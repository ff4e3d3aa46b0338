"""`noise`: which batches and loss it takes of a run, and what it writes."""

import csv
import dataclasses

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet.analysis.inherent_noise import ALL
from keras_rescnet.analysis.runs import load_run
from keras_rescnet.training.loss_surface import loss_surface
from support.commands import answer, run_command


def test_the_command_writes_the_noise_of_every_layer_and_batch(finished_run, tmp_path, capsys):
    picture = tmp_path / "noise.png"
    flags = ["--batches=2", "--images=4", "--probes=3", "--learning_rate=0.5"]
    run_command("noise", f"--workdir={finished_run}", *flags, f"--output={picture}")
    printed = capsys.readouterr().out
    assert picture.read_bytes()[:4] == b"\x89PNG"
    with open(picture.with_suffix(".csv")) as file:
        rows = list(csv.DictReader(file))
    kinds = ("in use", "held out")
    found = {(row["batch"], row["number"], row["layer"]): row for row in rows}
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    assert len(found) == len(rows) == 2 * 2 * 4 and layers[-1] == ALL
    assert layers[-2].endswith("logits")
    for row in rows:
        joint, single, penalty = (float(row[name]) for name in ("joint", "single", "penalty"))
        assert penalty == pytest.approx(joint - single, abs=1e-5 * (abs(joint) + abs(single)))
    for kind in kinds:
        for number in "01":
            *parts, whole = (found[kind, number, layer] for layer in layers)
            for column in ("weights", "first_order", "joint", "single"):
                values = [float(row[column]) for row in parts]
                scale = sum(map(abs, values))
                assert float(whole[column]) == pytest.approx(sum(values), abs=1e-5 * scale)
            if kind == "in use":
                assert float(whole["first_order"]) < 0  # - eta |g|^2
    assert f"\n{ALL} " in printed and "batch 2 held out: the step changes the loss by" in printed


@pytest.fixture
def run(finished_run):
    return load_run(finished_run)


def test_batches_and_loss_are_those_of_the_training(run):
    run.__dict__["recipe"] = dataclasses.replace(run.recipe, label_smoothing=0.2, augment=None)
    surface, pairs, eta = loss_surface(run, batches=2)
    assert eta == run.recipe.learning_rate == 0.1
    dataset = run.dataset
    for number, split in enumerate(("train", "test")):
        examples = kr.data.load(dataset, split)
        known = {image.tobytes() for image in dataset.normalize(examples.images)}
        for pair in pairs:
            images, labels = pair[number]
            assert images.shape == (8, 32, 32, 3) and labels.shape == (8, 10)
            assert {image.tobytes() for image in images} <= known
    assert not np.array_equal(pairs[0][0][0], pairs[1][0][0])
    images, labels = pairs[0][0]
    model = run.model
    model.get_layer(index=4).rate = 0.0  # dropout
    state = [variable.value for variable in model.non_trainable_variables]
    weights = [variable.value for variable in model.trainable_variables]
    logits, _ = model.stateless_call(weights, state, images, training=True)
    logits = np.asarray(keras.ops.convert_to_numpy(logits), "float64")
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -np.mean(np.sum((0.8 * labels + 0.02) * logs, 1))
    assert float(surface.loss(surface.weights, (images, labels))) == pytest.approx(
        expected, rel=1e-5
    )


def test_the_noise_is_that_of_the_trained_logits(run):
    plain, pairs, _ = loss_surface(run, images=4)
    run.facts["temperature"] = 2.0  # as `fit_temperature` notes it
    scaled, again, _ = loss_surface(run, images=4)
    np.testing.assert_array_equal(pairs[0][1][0], again[0][1][0])
    assert scaled.layers == plain.layers
    losses = [surface.loss(surface.weights, pairs[0][1]) for surface in (plain, scaled)]
    assert float(losses[0]) == float(losses[1])


def test_runs_in_half_precision_are_measured_in_single(run):
    plain, pairs, _ = loss_surface(run, images=4)
    run.__dict__["recipe"] = dataclasses.replace(run.recipe, precision="mixed_bfloat16")
    wide, again, _ = loss_surface(run, images=4)
    assert keras.config.dtype_policy().name == "float32"
    np.testing.assert_array_equal(pairs[0][1][0], again[0][1][0])
    ones = [plain.loss(plain.weights, pairs[0][0]), wide.loss(wide.weights, again[0][0])]
    assert float(ones[0]) == pytest.approx(float(ones[1]), rel=0.5)  # other masks of dropout
    for one, other in zip(plain.weights, wide.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert plain.layers[-1].endswith("logits")


def test_a_run_without_its_recipe_is_refused(finished_run, tmp_path, capsys):
    run = load_run(finished_run)
    run.__dict__["recipe"] = None
    with pytest.raises(kr.Mistake, match="must have its recipe file.*Received: .*from Python"):
        loss_surface(run)
    line = answer("noise", f"--workdir={finished_run}", "--probes=1", capsys=capsys)
    assert "probes" in line
