"""The commands around a finished run."""

import csv
import dataclasses
import json
import runpy
import shutil
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_rescnet
from keras_rescnet import __main__ as console
from keras_rescnet import curves, data, predict
from keras_rescnet.analysis.evaluation import calibration_error
from keras_rescnet.analysis.records import read_record
from keras_rescnet.export import __main__ as export
from keras_rescnet.training import __main__ as train_command
from support import noise, pictures

# an import would put the module in the place of the function `keras_rescnet.evaluate`
evaluate = runpy.run_module("keras_rescnet.evaluate")["main"]


def test_evaluate_agrees_with_training(finished_run, capsys, tmp_path):
    files = [f"--json={tmp_path / 'out.json'}", f"--confusion={tmp_path / 'matrix.png'}"]
    evaluate(["evaluate", f"--workdir={finished_run}", *files])
    results = json.loads((finished_run / "results.json").read_text())
    measured = json.loads((tmp_path / "out.json").read_text())
    for name in ("loss", "accuracy", "top5_accuracy"):
        assert measured[name] == pytest.approx(results[f"test_{name}"], rel=1e-5)
    confusion = np.array(measured["confusion"])
    labels = noise.random_pictures(noise.recipe.dataset, "test").labels
    np.testing.assert_array_equal(confusion.sum(1), np.bincount(labels, minlength=10))
    assert np.trace(confusion) == round(20 * measured["accuracy"])
    assert "digits, test: 20 images" in capsys.readouterr().out
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def of_a_folder(tmp_path_factory):
    """A run on a folder of pictures, which is what knows its classes and statistics."""
    folder = tmp_path_factory.mktemp("of_a_folder")
    pictures.write(folder / "pictures")
    (folder / "recipe.py").write_text(
        "import dataclasses\nfrom support import noise\n"
        "from keras_rescnet.data import image_folder\n"
        f"dataset = image_folder(size={pictures.SIZE})\n"
        "recipe = dataclasses.replace(noise.recipe, dataset=dataset, augment=None, epochs=2)\n"
    )
    arguments = [f"--recipe={folder / 'recipe.py'}", f"--data_dir={folder / 'pictures'}"]
    train_command.main(["train", *arguments, f"--workdir={folder / 'run'}"])
    return folder


def loss_of_run(folder, examples, mean, std):
    """Cross-entropy of a run's model on all examples, normalized by other statistics."""
    batch = next(data.evaluation_batches(examples, batch_size=len(examples)).as_numpy_iterator())
    pixels = batch["images"] * examples.dataset.std + examples.dataset.mean
    model = keras.models.load_model(folder / "run" / "model.keras")
    logits = model(((pixels - mean) / std).astype("float32"))
    return float(
        keras.ops.mean(keras.losses.categorical_crossentropy(batch["labels"], logits, True))
    )


def test_other_pictures_are_normalized_as_those_of_the_training(of_a_folder, tmp_path):
    facts = json.loads((of_a_folder / "run" / "run.json").read_text())["data"]
    trained = data.load(data.image_folder(of_a_folder / "pictures", size=pictures.SIZE), "train")
    assert facts["class_names"] == ["cat", "dog"]
    assert (facts["train_images"], facts["test_images"]) == (12, 6)
    np.testing.assert_array_equal(facts["mean"], trained.dataset.mean)
    pictures.write(tmp_path / "dark")
    for file in tmp_path.glob("dark/*/*/*.jpg"):
        Image.eval(Image.open(file), lambda value: value // 4).save(file)
    out = tmp_path / "out.json"
    evaluate(
        [
            "evaluate",
            f"--workdir={of_a_folder / 'run'}",
            f"--folder={tmp_path / 'dark'}",
            f"--json={out}",
        ]
    )
    dark = data.load(data.image_folder(tmp_path / "dark", size=pictures.SIZE), "test")
    expected = loss_of_run(of_a_folder, dark, trained.dataset.mean, trained.dataset.std)
    assert json.loads(out.read_text())["loss"] == pytest.approx(expected, rel=1e-4)


def test_classes_in_another_order_are_refused(of_a_folder, tmp_path, capsys):
    pictures.write(tmp_path)
    (tmp_path / "labels.txt").write_text("dog\ncat\n")
    flags = [f"--workdir={of_a_folder / 'run'}", f"--folder={tmp_path}"]
    capsys.readouterr()
    fails(evaluate, flags, "in the model's order, cat, dog. Received: dog, cat", capsys)


def test_data_of_other_classes_are_refused(of_a_folder, tmp_path, capsys):
    pictures.write(tmp_path, classes=("cat", "cow", "dog"))
    flags = [f"--workdir={of_a_folder / 'run'}", f"--folder={tmp_path}"]
    capsys.readouterr()
    message = f"must have the model's 2 classes. Received: {tmp_path.name} with 3"
    fails(evaluate, flags, message, capsys)


def test_export_hands_over_pixels_of_a_folder(of_a_folder, monkeypatch, capsys):
    handed = {}

    def onnx(model, path, **arguments):
        handed.update(arguments)
        return 0.0

    monkeypatch.setattr(export, "onnx", onnx)
    export.main(
        [
            "export",
            f"--workdir={of_a_folder / 'run'}",
            f"--data_dir={of_a_folder / 'pictures'}",
        ]
    )
    assert "model.onnx; it differs by 0 on 6 pictures." in capsys.readouterr().out
    assert handed["pictures"].shape == (6, pictures.SIZE, pictures.SIZE, 3)
    file = sorted((of_a_folder / "pictures" / "val" / "cat").iterdir())[0]
    expected = np.asarray(pictures.crop_middle(Image.open(file)))
    np.testing.assert_allclose(handed["pictures"][0], expected.astype(int), atol=1.1)


def test_a_run_without_a_saved_model_gets_one(of_a_folder, capsys):
    served = of_a_folder / "run" / "saved_model"
    shape = (3, pictures.SIZE, pictures.SIZE, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    first = tf.saved_model.load(served)
    expected = first.serve(pixels).numpy()
    shutil.rmtree(served)  # as a run on JAX ends
    folders = [f"--workdir={of_a_folder / 'run'}", f"--data_dir={of_a_folder / 'pictures'}"]
    export.main(["export", "--format=saved_model", *folders])
    assert f"Wrote {served}." in capsys.readouterr().out
    again = tf.saved_model.load(served)
    np.testing.assert_array_equal(again.serve(pixels).numpy(), expected)
    assert again.class_names().numpy().tolist() == [b"cat", b"dog"]


def test_calibration_error():
    # bins of 1/15: two guesses at 0.9, one right: |0.9 - 0.5| for 2 of 3; one at 0.3, right
    expected = (2 * abs(0.9 - 0.5) + abs(0.3 - 1.0)) / 3
    assert calibration_error([0.9, 0.9, 0.3], [1, 0, 1]) == pytest.approx(expected)


def fails(main, arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["command", *map(str, arguments)])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_evaluate_refuses_what_is_no_run(finished_run, tmp_path, capsys):
    fails(evaluate, [], "--workdir DIR is missing", capsys)
    fails(evaluate, [f"--workdir={tmp_path}"], "which has no recipe.py", capsys)
    run = f"--workdir={finished_run}"
    fails(evaluate, [run, "--split=dev"], "Received: split='dev'", capsys)
    fails(evaluate, [run, "stray"], "Received: stray", capsys)
    for flag in ("json", "confusion"):
        message = f"--{flag} must lie in an existing folder. Received: /no/such/file"
        fails(evaluate, [run, f"--{flag}=/no/such/file"], message, capsys)


def test_predict_names_pictures(finished_run, tmp_path, capsys):
    pixels = np.full((50, 70, 3), 200, "uint8")
    (tmp_path / "sub").mkdir()
    tf.io.write_file(str(tmp_path / "sub" / "a.png"), tf.io.encode_png(pixels))
    tf.io.write_file(str(tmp_path / "b.jpg"), tf.io.encode_jpeg(pixels))
    predict.main(["predict", f"--model={finished_run}", "--json", str(tmp_path)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["picture"] for line in lines] == [
        str(tmp_path / "b.jpg"),
        str(tmp_path / "sub" / "a.png"),
    ]
    served = tf.saved_model.load(str(finished_run / "saved_model"))
    expected = np.sort(served.serve(np.full((1, 32, 32, 3), 200.0, "float32"))[0])[::-1][:5]
    for line in lines:
        assert list(line["guesses"].values()) == pytest.approx(expected.tolist(), abs=1e-4)


def test_predict_refuses_what_is_no_picture(finished_run, tmp_path, capsys):
    run = f"--model={finished_run}"
    fails(predict.main, ["x.png"], "--model DIR is missing. Received: none.", capsys)
    fails(predict.main, [run], "Name at least one picture. Received: none.", capsys)
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    fails(predict.main, [f"--model={tmp_path / 'other'}", "x.png"], "without class names", capsys)
    fails(predict.main, [run, tmp_path / "no*.png"], "no file", capsys)
    fails(predict.main, [f"--model={tmp_path}", "x.png"], "the folder of a run", capsys)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    fails(predict.main, [run, tmp_path / "broken.png"], "Received: " + str(tmp_path), capsys)


def test_curves_draw_runs_and_write_their_numbers(finished_run, tmp_path, capsys):
    picture = tmp_path / "both.png"
    curves.main(["curves", str(finished_run), f"--output={picture}"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    with open(tmp_path / "both.csv") as ours, open(finished_run / "log.csv") as theirs:
        for row, logged in zip(csv.DictReader(ours), csv.DictReader(theirs), strict=True):
            assert row.pop("run") == "run"
            assert {name: float(text) for name, text in row.items()} == {
                name: float(text) for name, text in logged.items()
            }
    fails(curves.main, [], "Name at least one run's folder", capsys)
    fails(curves.main, [tmp_path], "must hold a log.csv", capsys)
    output = "--output=/no/such/curves.png"
    fails(curves.main, [finished_run, output], "must lie in an existing folder", capsys)


def test_curves_of_runs_of_one_name_are_all_drawn(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")
    runs = [str(finished_run), str(tmp_path / "run")]
    curves.main(["curves", *runs, f"--output={tmp_path / 'both.png'}"])
    with open(tmp_path / "both.csv") as file:
        assert [row["run"] for row in csv.DictReader(file)] == [runs[0]] * 2 + [runs[1]] * 2


def test_a_record_that_was_edited_is_refused(finished_run, tmp_path):
    (file,) = (finished_run.parent / "results").glob("*.json")
    record = read_record(file)
    assert (record["epochs"], record["seed"]) == (2, 0)
    assert record["overrides"] == ["epochs=2"]
    assert record["results"] == json.loads((finished_run / "results.json").read_text())
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{")
    with pytest.raises(ValueError, match="as the run wrote it.*Received: .*damaged.json"):
        read_record(damaged)
    edited = tmp_path / "edited.json"
    edited.write_text(file.read_text().replace('"test_accuracy": ', '"test_accuracy": 1'))
    with pytest.raises(ValueError, match="its checksum differs. Received: .*edited.json"):
        read_record(edited)


def test_console_script_lists_and_calls_commands(monkeypatch, capsys, finished_run):
    monkeypatch.setattr(sys, "argv", ["keras-rescnet"])
    with pytest.raises(SystemExit) as caught:
        console.main()
    assert caught.value.code == 2
    assert "evaluate" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["keras-rescnet", "evalute"])
    with pytest.raises(SystemExit) as caught:
        console.main()
    assert caught.value.code == 2
    expected = "keras-rescnet: There is no such command. Received: evalute. Nearest: evaluate.\n"
    assert capsys.readouterr().err == expected
    monkeypatch.setattr(sys, "argv", ["keras-rescnet", "models", "CifarResNet8"])
    console.main()
    assert "78,042" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["keras-rescnet", "evaluate", f"--workdir={finished_run}"])
    console.main()
    assert "digits, test: 20 images" in capsys.readouterr().out


def test_training_starts_from_initial_weights(finished_run, tmp_path):
    recipe = dataclasses.replace(
        noise.recipe,
        initial_weights=str(finished_run / "model.keras"),
        learning_rate=1e-9,
        warmup_epochs=0,
        epochs=1,
    )
    results = keras_rescnet.train(recipe, tmp_path)
    before = json.loads((finished_run / "results.json").read_text())
    # the weights are those; the moving statistics move on
    ours = keras.models.load_model(tmp_path / "model.keras").trainable_weights
    theirs = keras.models.load_model(finished_run / "model.keras").trainable_weights
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other), atol=1e-6
        )
    assert results["test_loss"] == pytest.approx(before["test_loss"], abs=0.3)
