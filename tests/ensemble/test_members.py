"""Members of one recipe, their mean as one model, and the scores of both."""

import csv
import dataclasses
import json
import signal

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet.analysis import runs
from keras_rescnet.ensemble import members as ensemble_members
from keras_rescnet.ensemble.members import stacked
from keras_rescnet.ensemble.scores import Scores
from keras_rescnet.training.signals import StopRequest
from support import noise, tagged

DATASET = noise.recipe.dataset


def weights_of(folder):
    return keras.models.load_model(folder / "model.keras").get_weights()


def softmax(logits):
    powers = np.exp(np.float64(logits) - np.max(logits, -1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_a_member_that_was_stopped_is_the_run_of_its_seed_bit_for_bit(members, finished_run):
    assert [folder.name for folder in members] == ["seed0", "seed1"]
    for ours, theirs in zip(weights_of(members[0]), weights_of(finished_run), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    runs = [json.loads((folder / "run.json").read_text()) for folder in members]
    assert [run["recipe"]["seed"] for run in runs] == [0, 1]
    assert [len(run["starts"]) for run in runs] == [2, 1]
    kernels = [weights_of(folder)[0] for folder in members]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01


def test_a_signal_in_the_last_steps_of_a_member_stops_before_the_next(tmp_path, monkeypatch):
    """A run that is told so late finishes; the signal must not be forgotten."""
    trained = []

    def train(recipe, folder, **options):
        with StopRequest() as stop:
            trained.append(recipe.seed)
            signal.raise_signal(signal.SIGTERM)
            assert stop.requested == signal.SIGTERM

    monkeypatch.setattr(ensemble_members, "train_run", train)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"):
        kr.ensemble.train(noise.recipe, tmp_path, 3)
    assert trained == [0]
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
def test_every_member_of_an_ensemble_is_the_run_of_its_seed(members, tmp_path):
    kr.train(dataclasses.replace(noise.recipe, epochs=2, seed=1), tmp_path / "alone")
    for ours, theirs in zip(weights_of(members[1]), weights_of(tmp_path / "alone"), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_mean_is_a_model_of_the_mean_probabilities(members, tmp_path):
    images = np.random.default_rng(0).normal(size=(6, 32, 32, 3)).astype("float32")
    models = [keras.models.load_model(folder / "model.keras") for folder in members]
    expected = np.mean([softmax(model(images)) for model in models], axis=0)
    mean = kr.ensemble.mean(members)
    np.testing.assert_allclose(softmax(mean(images)), expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(mean(images)), expected, rtol=1e-5)  # log-probabilities
    mean.save(tmp_path / "mean.keras")
    loaded = keras.models.load_model(tmp_path / "mean.keras")
    np.testing.assert_array_equal(loaded(images), mean(images))
    counts = [model.count_params() for model in (mean, *models)]
    assert counts[0] == counts[1] + counts[2]


def test_the_mean_of_tags_is_that_of_their_sigmoids():
    logits = np.array([[[2.0, -3.0, 60.0], [-1.0, 0.5, 90.0]]])
    probabilities = (1 / (1 + np.exp(-logits[..., :2]))).mean(1)
    expected = np.log(probabilities / (1 - probabilities))
    images = keras.Input((1,))
    members = [
        keras.Model(images, images * 0.0 + np.float32(row), name=f"constant{i}")
        for i, row in enumerate(logits[0])
    ]
    found = kr.ensemble.mean(members, multi_label=True)(np.zeros((1, 1)))
    np.testing.assert_allclose(found[:, :2], expected, rtol=1e-5)
    # log(p / (1 - p)) = -log(mean of e^-60 and e^-90), where float32 has 1 for both p
    np.testing.assert_allclose(found[:, 2], [60 + np.log(2)], rtol=1e-6)


def test_runs_on_tags_are_joined_as_such(tmp_path):
    recipe = dataclasses.replace(tagged.recipe, epochs=1, warmup_epochs=0)
    folders = kr.ensemble.train(recipe, tmp_path, 2)
    with pytest.raises(kr.Mistake, match="`multi_label` must be true .*=False, .*seed0"):
        kr.ensemble.mean(folders)
    images = np.random.default_rng(0).normal(size=(6, 32, 32, 3)).astype("float32")
    models = [keras.models.load_model(folder / "model.keras") for folder in folders]
    expected = np.mean([1 / (1 + np.exp(-np.float64(model(images)))) for model in models], axis=0)
    mean = kr.ensemble.mean(folders, multi_label=True)
    np.testing.assert_allclose(1 / (1 + np.exp(-np.float64(mean(images)))), expected, rtol=1e-5)


def test_probabilities_that_float32_rounds_to_nothing_keep_their_logarithm():
    images = keras.Input((3,))
    member = keras.Model(images, images * 1.0)
    mean = kr.ensemble.mean([member, member])
    logits = mean(np.array([[0.0, -200.0, -300.0]], "float32"))
    np.testing.assert_allclose(logits, [[0.0, -200.0, -300.0]], atol=1e-4)


def test_an_ensemble_is_exported_with_its_mean_probabilities(members, tmp_path):
    tf = pytest.importorskip("tensorflow", reason="SavedModels are TensorFlow's")
    facts = {"mean": DATASET.mean, "std": DATASET.std, "class_names": DATASET.class_names}
    kr.export.saved_model(kr.ensemble.mean(members), tmp_path / "served", **facts)
    pixels = noise.random_pictures(DATASET, "test").images[:4]
    folders = [tmp_path / "served", *(folder / "saved_model" for folder in members)]
    archives = [tf.saved_model.load(folder) for folder in folders]
    served, *alone = (archive.serve(pixels) for archive in archives)
    np.testing.assert_allclose(served, np.mean(alone, axis=0), rtol=1e-5)


def test_rows_of_members_are_those_of_evaluate_and_of_numpy(members):
    rows = kr.ensemble.measure(members, DATASET)
    examples = noise.random_pictures(DATASET, "test")
    models = [keras.models.load_model(folder / "model.keras") for folder in members]
    labels = np.eye(10)[examples.labels]
    each = np.stack([softmax(model(DATASET.normalize(examples.images))) for model in models])
    names = ["member 0", "member 1", "ensemble"]
    for row, name, p in zip(rows, names, [*each, each.mean(0)], strict=True):
        assert (row["model"], row["corruption"], row["severity"]) == (name, "none", 0)
        assert row["accuracy"] == np.mean(p.argmax(1) == examples.labels)
        likelihood = -np.log((p * labels).sum(1)).mean()
        np.testing.assert_allclose(row["negative_log_likelihood"], likelihood, rtol=1e-5)
        brier = np.square(p - labels).sum(1).mean()
        np.testing.assert_allclose(row["brier_score"], brier, rtol=1e-5)
    classes = each.argmax(-1)
    assert rows[-1]["disagreement"] == np.mean(classes[0] != classes[1])
    assert rows[0]["disagreement"] is None
    measured = kr.evaluate(members[0], DATASET)
    for ours, theirs in (("calibration_error", "calibration_error"), ("accuracy", "accuracy")):
        np.testing.assert_allclose(rows[0][ours], measured[theirs], rtol=1e-6)
    np.testing.assert_allclose(rows[0]["negative_log_likelihood"], measured["loss"], rtol=1e-5)


def test_disagreement_is_that_of_all_pairs():
    images = keras.Input((1, 1, 2))
    flat = keras.layers.Flatten()(images)

    def member(*signs):
        return keras.Model(images, flat * np.array(signs, "float32"))

    facts = {"image_shape": (1, 1, 2), "classes": 2, "mean": (0.0, 0.0), "std": (1.0, 1.0)}
    pixels = np.array([[200, 0], [0, 200], [200, 0], [200, 0]], "uint8").reshape(4, 1, 1, 2)

    def read(dataset, split, data_dir=None):
        return kr.data.ArrayExamples(dataset, pixels, np.array([0, 1, 0, 1]), ("a", "b"))

    dataset = kr.data.Dataset(name="two", read=read, **facts)
    rows = kr.ensemble.measure([member(1, 1), member(1, 1), member(-1, -1)], dataset)
    assert rows[-1]["disagreement"] == pytest.approx(2 / 3)  # of three pairs, two always
    assert [row["accuracy"] for row in rows[:3]] == [0.75, 0.75, 0.25]
    assert kr.ensemble.measure([member(1, 1)], dataset)[-1]["disagreement"] == 0


def test_scores_of_probabilities_of_0_are_finite():
    scores = Scores()
    scores.add(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    assert scores.results() == {
        "accuracy": 0.0,
        "negative_log_likelihood": pytest.approx(-np.log(np.finfo("float32").tiny)),
        "brier_score": 2.0,
        "calibration_error": 1.0,
    }


def test_the_command_measures_what_is_trained_and_writes_every_number(members, capsys, monkeypatch):
    from keras_rescnet.ensemble.__main__ import main

    monkeypatch.setattr(kr.corruptions, "__all__", ["contrast", "impulse_noise"])
    folder = members[0].parent
    arguments = [f"--recipe={noise.__file__}:dropout", "--set=epochs=2", f"--workdir={folder}"]
    main(["ensemble", *arguments, "--members=2", "--corruptions"])
    lines = capsys.readouterr().out.splitlines()
    assert sum("nothing is done again" in line for line in lines) == 2
    printed = [line.split() for line in lines if line.startswith(("clean", "severity"))]
    assert [line[0] for line in printed] == ["clean"] * 2 + ["severity"] * 10
    with open(folder / "ensemble.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (1 + 2 * 5) * 3
    ensemble = [row for row in rows if row["model"] == "ensemble"]
    assert printed[1][2] == f"{100 * float(ensemble[0]['accuracy']):.2f}"
    worst = [float(row["brier_score"]) for row in ensemble if row["severity"] == "5"]
    assert len(worst) == 2 and printed[-1][6] == f"{np.mean(worst):.4f}"
    (folder / "ensemble.csv").unlink()


def test_the_command_measures_the_pictures_of_its_data_dir(members, capsys):
    from keras_rescnet.ensemble.__main__ import main

    folder = members[0].parent
    arguments = [f"--recipe={noise.__file__}:dropout", "--set=epochs=2", f"--workdir={folder}"]
    main(["ensemble", *arguments, "--members=2", "--data_dir=7"])
    with open(folder / "ensemble.csv", newline="") as file:
        found = [float(row["brier_score"]) for row in csv.DictReader(file)]
    (folder / "ensemble.csv").unlink()
    expected = kr.ensemble.measure(members, data_dir="7")
    assert found == [row["brier_score"] for row in expected]


def test_members_in_half_precision_are_averaged_in_float32():
    images = keras.Input((2,))
    member = keras.Model(images, keras.layers.Dense(2, dtype="mixed_float16")(images))
    assert member.outputs[0].dtype == "float16"
    assert stacked([member, member]).outputs[0].dtype == "float32"


@pytest.mark.parametrize("join", [kr.ensemble.mean, kr.ensemble.concatenate])
def test_an_ensemble_with_a_member_twice_is_saved_and_loaded(join, tmp_path):
    """A member of double weight."""
    first, second = (
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(3)])
        for _ in range(2)
    )
    second = keras.Model(second.inputs[0], second.outputs[0], name=first.name)
    model = join([first, first, second])
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        *(keras.ops.convert_to_numpy(each(x)) for each in (loaded, model))
    )


def test_the_statistics_are_those_of_the_first_run_wherever_it_stands(members):
    model = keras.models.load_model(members[0] / "model.keras")
    raw = dataclasses.replace(DATASET, mean=(0.0,) * 3, std=(1.0,) * 3)
    one, other = (
        kr.ensemble.measure(pair, raw) for pair in ([model, members[1]], [members[1], model])
    )
    for ours, theirs in zip(one, [other[1], other[0], other[2]], strict=True):
        for metric in ("accuracy", "negative_log_likelihood", "brier_score"):
            np.testing.assert_allclose(ours[metric], theirs[metric], rtol=1e-6)
    measured = kr.evaluate(members[1], raw)
    np.testing.assert_allclose(one[1]["negative_log_likelihood"], measured["loss"], rtol=1e-5)


@pytest.mark.parametrize("of_run", [True, False])
def test_views_are_those_of_evaluate(of_run, members, monkeypatch):
    if of_run:
        monkeypatch.setattr(runs.FinishedRun, "views", property(lambda _: kr.views.mirrored))
    options = {} if of_run else {"views": kr.views.mirrored}
    row = kr.ensemble.measure(members[:1], DATASET, **options)[0]
    measured = kr.evaluate(members[0], DATASET, views=kr.views.mirrored)
    np.testing.assert_allclose(row["negative_log_likelihood"], measured["loss"], rtol=1e-5)
    assert row["accuracy"] == measured["accuracy"]
    assert measured["loss"] != kr.evaluate(members[0], DATASET, views=_alone)["loss"]


def _alone(images):
    return [(1.0, images)]
