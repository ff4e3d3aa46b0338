"""A run on pictures with tags, through every command that looks at it."""

import csv
import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn import metrics

import keras_rescnet as kr
from keras_rescnet.analysis.responses import measure
from keras_rescnet.analysis.summary import render_summary
from keras_rescnet.training.pictures import training_pictures
from support import pictures, tagged
from support.commands import answer, run_command

IMAGES, LABELS = tagged.draw(20, 1)  # the test set


@pytest.fixture(scope="module")
def logits(tag_run):
    """What the saved model answers to the test set, as `evaluate` prepares it."""
    model = keras.models.load_model(tag_run / "run" / "model.keras")
    table = kr.data.image_table(tag_run / "shoes" / "pictures.csv", size=32)
    (batch,) = kr.data.evaluation_batches(
        kr.data.load(table, "test"), batch_size=20
    ).as_numpy_iterator()
    return np.asarray(model.predict_on_batch(batch["images"]), "float64")


def test_evaluate_gives_what_scikit_learn_gives(tag_run, logits, tmp_path, capsys):
    run_command("evaluate", f"--workdir={tag_run / 'run'}", f"--json={tmp_path / 'out.json'}")
    measured = json.loads((tmp_path / "out.json").read_text())
    results = json.loads((tag_run / "run" / "results.json").read_text())
    thresholds = list(results["thresholds"].values())
    probabilities = 1 / (1 + np.exp(-logits))
    f1 = metrics.f1_score
    expected = {
        "loss": metrics.log_loss(LABELS.ravel(), probabilities.ravel()),
        "mean_average_precision": metrics.average_precision_score(LABELS, logits),
        "f1": f1(LABELS, logits >= 0, average="micro"),
        "macro_f1": f1(LABELS, logits >= 0, average="macro"),
        "f1_at_thresholds": f1(LABELS, probabilities >= thresholds, average="micro"),
    }
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, rel=1e-5), name
    for name in ("loss", "mean_average_precision", "f1", "f1_at_thresholds"):
        assert measured[name] == pytest.approx(results[f"test_{name}"], rel=1e-6)
    by_tag = metrics.average_precision_score(LABELS, logits, average=None)
    assert list(measured["class_average_precision"].values()) == pytest.approx(by_tag.tolist())
    assert measured["thresholds"] == results["thresholds"]
    assert measured["mean_average_precision"] > 0.8  # it has learned something
    assert kr.evaluate(tag_run / "run") == measured
    out = capsys.readouterr().out
    assert "20 images" in out and "mean average precision" in out and "    rare " in out
    assert measured["images"] == 20


def test_another_loss_can_be_reported(tag_run, logits):
    loss = keras.losses.BinaryFocalCrossentropy(from_logits=True, gamma=2.0)
    measured = kr.evaluate(tag_run / "run", loss=loss)
    p = 1 / (1 + np.exp(-logits * (2.0 * LABELS - 1)))
    assert measured["loss"] == pytest.approx(np.mean((1 - p) ** 2 * -np.log(p)), rel=1e-4)


def test_predict_names_the_tags_above_their_thresholds(tag_run, logits, capsys):
    files = [tag_run / "shoes" / "images" / f"test{i}.png" for i in range(20)]
    run_command("predict", f"--workdir={tag_run / 'run'}", "--json", *files)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    results = json.loads((tag_run / "run" / "results.json").read_text())
    thresholds = np.array([results["thresholds"][name] for name in tagged.TAGS])
    probabilities = 1 / (1 + np.exp(-logits))
    for line, row in zip(lines, probabilities, strict=True):
        above = {name: p for name, p, t in zip(tagged.TAGS, row, thresholds, strict=True) if p >= t}
        assert line["guesses"] == pytest.approx(above, abs=1e-4)
        assert list(line["guesses"].values()) == sorted(line["guesses"].values(), reverse=True)
    run_command("predict", f"--workdir={tag_run / 'run'}", *files)
    out = capsys.readouterr().out
    assert out.count("%") == sum(len(line["guesses"]) for line in lines)
    assert out.count("no tag") == sum(not line["guesses"] for line in lines)


def test_the_saved_model_gives_sigmoids_and_thresholds(tag_run, logits):
    served = tf.saved_model.load(str(tag_run / "run" / "saved_model"))
    files = [tag_run / "shoes" / "images" / f"test{i}.png" for i in range(20)]
    pixels = tf.stack([served.prepare(file.read_bytes()) for file in files])
    np.testing.assert_allclose(served.serve(pixels), 1 / (1 + np.exp(-logits)), atol=1e-5)
    assert [name.decode() for name in served.class_names().numpy()] == list(tagged.TAGS)
    results = json.loads((tag_run / "run" / "results.json").read_text())
    np.testing.assert_allclose(served.thresholds(), list(results["thresholds"].values()), rtol=1e-6)


def test_a_saved_model_of_classes_has_no_thresholds(finished_run):
    served = tf.saved_model.load(str(finished_run / "saved_model"))
    assert not hasattr(served, "thresholds")


def test_the_saved_model_is_written_again_as_it_was(tag_run, tmp_path):
    run = shutil.copytree(tag_run / "run", tmp_path / "run")
    shutil.rmtree(run / "saved_model")
    run_command("export", f"--workdir={run}", "--format=saved_model")
    ours, theirs = (tf.saved_model.load(str(f / "saved_model")) for f in (run, tag_run / "run"))
    np.testing.assert_array_equal(ours.serve(IMAGES), theirs.serve(IMAGES))
    np.testing.assert_array_equal(ours.thresholds(), theirs.thresholds())


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_other_formats_give_sigmoids(format, tag_run, tmp_path, capsys):
    """The file is refused if it differs from the model, whose last layer is what is tested here."""
    run = shutil.copytree(tag_run / "run", tmp_path / "run")
    run_command("export", f"--workdir={run}", f"--format={format}")
    assert "it differs by" in capsys.readouterr().out
    model = keras.models.load_model(run / "model.keras")
    facts = json.loads((run / "run.json").read_text())["data"]
    images = (IMAGES / 255 - facts["mean"]) / facts["std"]
    expected = 1 / (1 + np.exp(-np.asarray(model.predict_on_batch(images), "float64")))
    pixels = IMAGES.astype("float32")
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(run / "model.onnx")
        (found,) = session.run(None, {session.get_inputs()[0].name: pixels})
    else:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(run / "model.tflite"))
        (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.resize_tensor_input(source["index"], pixels.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], pixels)
        interpreter.invoke()
        found = interpreter.get_tensor(target["index"])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_curves_are_drawn_of_f1(tag_run, finished_run, tmp_path):
    assert (tag_run / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    output = tmp_path / "curves.png"
    run_command("curves", tag_run / "run", finished_run, f"--output={output}")
    with open(tmp_path / "curves.csv") as file:
        rows = list(csv.DictReader(file))
    with open(tag_run / "run" / "log.csv") as file:
        log = list(csv.DictReader(file))
    assert [row["test_f1"] for row in rows if row["test_f1"]] == [row["test_f1"] for row in log]
    assert sum(bool(row["test_accuracy"]) for row in rows) == 2


def test_a_picture_counts_once_for_each_of_its_tags_in_responses(tag_run, tmp_path, capsys):
    run_command("responses", f"--workdir={tag_run / 'run'}", f"--output={tmp_path / 'r.png'}")
    assert "20 images" in capsys.readouterr().out
    values = np.random.default_rng(0).normal(size=(20, 3))
    counted = [(i, tag) for i in range(20) for tag in range(4) if LABELS[i, tag]]
    expanded = values[[i for i, _ in counted]]
    classes = np.array([tag for _, tag in counted])
    ours = measure(values, LABELS)
    np.testing.assert_allclose(
        ours.discriminability, measure(expanded, classes).discriminability, rtol=1e-12
    )
    np.testing.assert_array_equal(ours.skewness, measure(values, classes[:20]).skewness)


def test_the_record_is_reported_by_its_precision(tag_run):
    results = json.loads((tag_run / "run" / "results.json").read_text())
    text = render_summary(tag_run / "results")
    assert f"{100 * results['test_mean_average_precision']:.2f} mean average precision" in text


def test_captions_are_the_tags():
    recipe = dataclasses.replace(tagged.recipe, augment=None)
    _, captions = training_pictures(recipe)
    images, labels = tagged.draw(40, 0)
    expected = {
        ", ".join(tag for tag, y in zip(tagged.TAGS, row, strict=True) if y) for row in labels
    }
    assert set(captions) <= expected


def test_what_is_for_one_class_is_refused(tag_run, tmp_path, capsys):
    run = tag_run / "run"
    message = answer("evaluate", f"--workdir={run}", "--confusion=x.png", capsys=capsys)
    assert "--confusion is for pictures of one class each. Received: " in message
    (tmp_path / "red").mkdir()
    Image.fromarray(IMAGES[0]).save(tmp_path / "red" / "1.png")
    message = answer("evaluate", f"--workdir={run}", f"--folder={tmp_path}", capsys=capsys)
    assert "a table: kr.evaluate(workdir, kr.data.image_table(table, size=32))" in message
    pictures.write(tmp_path / "folder", classes=("a", "b", "c", "d"))
    folder = kr.data.image_folder(tmp_path / "folder", size=32)
    with pytest.raises(kr.Mistake, match="must have any number of tags per picture.*label=False"):
        kr.evaluate(run, folder)


def test_damaged_thresholds_are_refused(tag_run, tmp_path):
    run = shutil.copytree(tag_run / "run", tmp_path / "run")
    pattern = "results.json must have the thresholds of the tags"
    for text in ("{", "{}", '{"thresholds": 3}', '{"thresholds": {"red": 0.5}}'):
        (run / "results.json").write_text(text)
        with pytest.raises(kr.Mistake, match=pattern):
            kr.evaluate(run)


def test_a_run_from_python_with_a_loss_of_its_own_needs_it(tag_run, tmp_path):
    run = shutil.copytree(tag_run / "run", tmp_path / "run")
    (run / "recipe.py").unlink()
    table = kr.data.image_table(tag_run / "shoes" / "pictures.csv", size=32)
    with pytest.raises(kr.Mistake, match=r"kr.evaluate\(workdir, loss=...\)"):
        kr.evaluate(run, table)
    measured = kr.evaluate(run, table, loss=kr.losses.binary_crossentropy)
    assert measured == kr.evaluate(tag_run / "run")


def test_a_run_is_measured_on_a_table_of_its_own_without_training_pictures(tag_run):
    """The table may lack a tag, too; mean, standard deviation and tags are those of the run."""
    expected = kr.evaluate(tag_run / "run")
    with open(tag_run / "shoes" / "pictures.csv", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == "test"]
    table = {name: [row[name] for row in rows] for name in ("path", "tags", "split")}
    held_out = kr.data.image_table(table, root=tag_run / "shoes", size=32)
    found = kr.evaluate(tag_run / "run", held_out)
    assert found["images"] == expected["images"]
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert found["class_f1"] == expected["class_f1"]
    lacking = next(iter(expected["class_f1"]))
    table["tags"] = ["|".join(set(tags.split("|")) - {lacking}) for tags in table["tags"]]
    fewer = kr.evaluate(
        tag_run / "run", kr.data.image_table(table, root=tag_run / "shoes", size=32)
    )
    assert fewer["class_average_precision"][lacking] is None
