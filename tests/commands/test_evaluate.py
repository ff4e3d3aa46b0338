"""`evaluate`, the command and the function: a run measured again, and on other data."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import keras_rescnet as kr
from keras_rescnet import data
from keras_rescnet.analysis.class_folders import evaluate_folder
from keras_rescnet.analysis.evaluation import Calibration, measure
from keras_rescnet.analysis.model_file import load_model
from keras_rescnet.analysis.runs import load_run
from keras_rescnet.analysis.served import find_pictures
from keras_rescnet.data import ArrayExamples
from support import noise, pictures
from support.commands import answer, run_command


def test_evaluate_agrees_with_training(finished_run, capsys, tmp_path):
    files = [f"--json={tmp_path / 'out.json'}", f"--confusion={tmp_path / 'matrix.png'}"]
    run_command("evaluate", f"--workdir={finished_run}", *files)
    results = json.loads((finished_run / "results.json").read_text())
    measured = json.loads((tmp_path / "out.json").read_text())
    for name in ("loss", "accuracy", "top5_accuracy"):
        assert measured[name] == pytest.approx(results[f"test_{name}"], rel=1e-6)
    confusion = np.array(measured["confusion"])
    labels = noise.random_pictures(noise.recipe.dataset, "test").labels
    np.testing.assert_array_equal(confusion.sum(1), np.bincount(labels, minlength=10))
    assert np.trace(confusion) == round(20 * measured["accuracy"])
    assert "digits, test: 20 images" in capsys.readouterr().out
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")


def test_the_function_gives_what_the_command_writes(finished_run, tmp_path):
    run_command("evaluate", f"--workdir={finished_run}", f"--json={tmp_path / 'out.json'}")
    assert kr.evaluate(finished_run) == json.loads((tmp_path / "out.json").read_text())


UNREGISTERED = """
import dataclasses
import keras
from support import noise

class Twice(keras.layers.Layer):
    def call(self, x):
        return x * 2

def steep(x):
    return 2 * keras.ops.relu(x)

def network(input_shape, classes):
    images = keras.Input(input_shape)
    x = Twice()(keras.layers.Conv2D(4, 3, strides=8, activation=steep)(images))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(classes, dtype="float32")(x))

recipe = dataclasses.replace(noise.recipe, model=network)
"""


def test_a_run_knows_what_its_recipe_has_not_registered(tmp_path):
    (tmp_path / "mine.py").write_text(UNREGISTERED)
    results = kr.train(kr.load_recipe(tmp_path / "mine.py"), tmp_path / "run")
    measured = kr.evaluate(tmp_path / "run")
    assert measured["loss"] == pytest.approx(results["test_loss"], rel=1e-6)
    file = shutil.copy(tmp_path / "run" / "model.keras", tmp_path)
    with pytest.raises(ValueError, match="a (class 'Twice'|function 'steep') that Keras does not"):
        load_model(file)


def test_a_model_is_measured_as_keras_does():
    model = kr.models.CifarResNet8()
    dataset = noise.recipe.dataset
    measured = kr.evaluate(model, dataset, batch_size=7)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(5)],
    )
    examples = noise.random_pictures(dataset, "test")
    images = (examples.images / 255.0 - dataset.mean) / dataset.std
    expected = model.evaluate(images.astype("float32"), examples.labels, verbose=0)
    ours = [measured[name] for name in ("loss", "accuracy", "top5_accuracy")]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


class _Counted(ArrayExamples):
    """Examples of 2,000 classes, which would fill memory if all probabilities were kept."""

    def __init__(self, dataset, count):
        images = np.zeros((count, 1, 1, 1), "uint8")
        super().__init__(dataset, images, np.arange(count), list(map(str, range(2000))))


def test_probabilities_are_not_kept(monkeypatch):
    dataset = data.Dataset(
        name="many",
        read=lambda *_: None,
        image_shape=(1, 1, 1),
        classes=2000,
        mean=(0.0,),
        std=(1.0,),
    )
    model = keras.Sequential(
        [keras.Input((1, 1, 1)), keras.layers.Flatten(), keras.layers.Dense(2000, use_bias=False)]
    )
    kept = []
    add = Calibration.add
    monkeypatch.setattr(
        Calibration, "add", lambda self, c, hits: (kept.append(len(c)), add(self, c, hits))
    )
    measured = measure(model, _Counted(dataset, 500), batch_size=100)
    assert kept == [100] * 5  # batch by batch
    assert measured["loss"] == pytest.approx(np.log(2000), rel=1e-6)


def test_a_run_from_python_is_measured(tmp_path):
    """Its recipe is in no file; its dataset is one of this package."""
    recipe = dataclasses.replace(noise.recipe, dataset=data.DIGITS, batch_size=64)
    recipe = dataclasses.replace(recipe, steps_per_epoch=1, epochs=2, warmup_epochs=0)
    results = kr.train(recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.py").exists()
    measured = kr.evaluate(tmp_path / "run")
    assert measured["images"] == 355
    for name in ("loss", "accuracy", "top5_accuracy"):
        assert measured[name] == pytest.approx(results[f"test_{name}"], rel=1e-5)


def test_a_run_from_python_on_other_data_is_measured_on_a_dataset(finished_run, tmp_path, capsys):
    """Its dataset is called as one of this package, digits, but is read by another function."""
    run = shutil.copytree(finished_run, tmp_path / "run")
    (run / "recipe.py").unlink()
    message = answer("evaluate", f"--workdir={run}", capsys=capsys)
    assert "kr.evaluate(workdir, dataset). Received: " in message and "'digits'" in message
    with pytest.raises(kr.Mistake, match="kr.evaluate.workdir, dataset."):
        kr.evaluate(run)
    assert kr.evaluate(run, noise.recipe.dataset) == kr.evaluate(finished_run)


def test_a_run_from_python_on_a_folder_is_measured(folder_run, tmp_path):
    run = shutil.copytree(folder_run / "run", tmp_path / "run")
    (run / "recipe.py").unlink()
    assert kr.evaluate(run) == kr.evaluate(folder_run / "run")


def loss_of_run(folder, examples, mean, std):
    """Cross-entropy of a run's model on all examples, normalized by other statistics."""
    batch = next(data.evaluation_batches(examples, batch_size=len(examples)).as_numpy_iterator())
    pixels = batch["images"] * examples.dataset.std + examples.dataset.mean
    model = keras.models.load_model(folder / "run" / "model.keras")
    logits = model(((pixels - mean) / std).astype("float32"))
    return float(
        keras.ops.mean(keras.losses.categorical_crossentropy(batch["labels"], logits, True))
    )


def test_other_pictures_are_normalized_as_those_of_the_training(folder_run, tmp_path):
    facts = json.loads((folder_run / "run" / "run.json").read_text())["data"]
    trained = data.load(data.image_folder(folder_run / "pictures", size=pictures.SIZE), "train")
    assert facts["class_names"] == ["cat", "dog"]
    assert (facts["train_images"], facts["test_images"]) == (12, 6)
    np.testing.assert_array_equal(facts["mean"], trained.dataset.mean)
    pictures.write(tmp_path / "dark")
    for file in tmp_path.glob("dark/*/*/*.jpg"):
        Image.eval(Image.open(file), lambda value: value // 4).save(file)
    out = tmp_path / "out.json"
    run, folder = f"--workdir={folder_run / 'run'}", f"--folder={tmp_path / 'dark'}"
    run_command("evaluate", run, folder, f"--json={out}")
    dark = data.load(data.image_folder(tmp_path / "dark", size=pictures.SIZE), "test")
    expected = loss_of_run(folder_run, dark, trained.dataset.mean, trained.dataset.std)
    whole = json.loads(out.read_text())
    assert whole["loss"] == pytest.approx(expected, rel=1e-4)
    # the same pictures in one folder per class, without train and val
    run_command("evaluate", run, f"--folder={tmp_path / 'dark' / 'val'}", f"--json={out}")
    assert json.loads(out.read_text()) == whole


def test_pictures_of_a_run_on_arrays_are_not_cropped(finished_run, tmp_path):
    """In files, in a folder by class and in a table, they are what they were in memory."""
    test = noise.random_pictures(noise.recipe.dataset, "test")
    rows = {"path": [], "label": [], "split": []}
    for number, (image, label) in enumerate(zip(test.images, test.labels, strict=True)):
        file = tmp_path / "pictures" / test.class_names[label] / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
        for name, value in zip(rows, (file, file.parent.name, "test"), strict=True):
            rows[name].append(str(value))
    expected = kr.evaluate(finished_run)
    out = tmp_path / "out.json"
    flags = [f"--workdir={finished_run}", f"--folder={tmp_path / 'pictures'}"]
    run_command("evaluate", *flags, f"--json={out}")
    table = data.image_table(rows, root=tmp_path, size=32)
    for measured in (json.loads(out.read_text()), kr.evaluate(finished_run, table)):
        assert measured["images"] == 20
        assert measured["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert measured["confusion"] == expected["confusion"]


def test_hidden_pictures_are_left_out_and_links_are_followed(folder_run, tmp_path):
    there = folder_run / "pictures" / "val"
    shutil.copytree(there, tmp_path / "val")
    cats = tmp_path / "val" / "cat"
    shutil.copytree(cats, cats / ".ipynb_checkpoints")
    shutil.copy(cats / "0.jpg", cats / "._0.jpg")
    (cats / "linked").symlink_to(there / "cat", target_is_directory=True)
    run = load_run(folder_run / "run")
    assert evaluate_folder(run, tmp_path / "val")["images"] == 9
    found = find_pictures([str(tmp_path / "val")])
    assert len(found) == 9 and not any(".ipynb" in str(path) for path in found)
    assert not any(path.name.startswith(".") for path in found)


def test_classes_of_other_names_are_refused(folder_run, tmp_path, capsys):
    pictures.write(tmp_path, classes=("cat", "wolf"))
    flags = [f"--workdir={folder_run / 'run'}", f"--folder={tmp_path}"]
    message = answer("evaluate", *flags, capsys=capsys)
    assert "the model's classes, cat, dog. Received: " in message
    assert "which differs in dog, wolf." in message


class Subclassed(keras.Model):
    """A model whose output shape Keras does not know."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


def test_models_of_unknown_shape_are_measured():
    inner = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])  # without an Input
    measured = kr.evaluate(Subclassed(inner), noise.recipe.dataset)
    assert measured == kr.evaluate(inner, noise.recipe.dataset)
    three = Subclassed(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)]))
    with pytest.raises(kr.Mistake, match="the model's 3 classes. Received: digits with 10"):
        kr.evaluate(three, noise.recipe.dataset)


def test_one_folder_per_class_is_enough(folder_run, tmp_path, capsys):
    cats = tmp_path / "more" / "cat"
    shutil.copytree(folder_run / "pictures" / "val" / "cat", cats)
    (cats / "broken.jpg").write_bytes(b"no picture")
    run = f"--workdir={folder_run / 'run'}"
    run_command("evaluate", run, f"--folder={tmp_path / 'more'}")
    printed = capsys.readouterr().out
    assert "more, test: 3 images" in printed and "dog no images" in printed
    assert f"Cannot read {cats / 'broken.jpg'}: it is left out." in printed
    (tmp_path / "more" / "cow").mkdir()
    message = answer("evaluate", run, f"--folder={tmp_path / 'more'}", capsys=capsys)
    assert "the model's classes, cat, dog. Received: " in message and "with cow" in message
    empty = tmp_path / "empty" / "cat"
    empty.mkdir(parents=True)
    message = answer("evaluate", run, f"--folder={tmp_path / 'empty'}", capsys=capsys)
    assert "which has none that can be read" in message


def test_the_data_are_where_the_run_had_them(folder_run, capsys):
    run_command("evaluate", f"--workdir={folder_run / 'run'}")  # without --data_dir
    results = json.loads((folder_run / "run" / "results.json").read_text())
    assert f"loss               {results['test_loss']:.4f}" in capsys.readouterr().out


def test_other_data_are_where_they_say_themselves(folder_run, tmp_path, monkeypatch):
    """The run was given a `data_dir`, which is not for the folder or the table of another call."""
    other = pictures.write(tmp_path / "other", val=5)
    measured = kr.evaluate(folder_run / "run", kr.data.image_folder(other, size=pictures.SIZE))
    assert measured["images"] == 10
    rows = {"path": ["val/cat/0.jpg", "val/dog/0.jpg"], "label": ["cat", "dog"]}
    table = kr.data.image_table({**rows, "split": ["test"] * 2}, size=pictures.SIZE)
    monkeypatch.chdir(other)
    assert kr.evaluate(folder_run / "run", table)["images"] == 2
    without_path = kr.data.image_folder(size=pictures.SIZE)
    assert kr.evaluate(folder_run / "run", without_path)["images"] == 6
    assert kr.evaluate(folder_run / "run", table, data_dir=other)["images"] == 2


def test_classes_in_another_order_are_refused(folder_run, tmp_path, capsys):
    pictures.write(tmp_path)
    (tmp_path / "labels.txt").write_text("dog\ncat\n")
    flags = [f"--workdir={folder_run / 'run'}", f"--folder={tmp_path}"]
    message = answer("evaluate", *flags, capsys=capsys)
    assert "in the model's order, cat, dog. Received: dog, cat" in message


def test_data_of_other_classes_are_refused(folder_run, tmp_path, capsys):
    pictures.write(tmp_path, classes=("cat", "cow", "dog"))
    flags = [f"--workdir={folder_run / 'run'}", f"--folder={tmp_path}"]
    message = answer("evaluate", *flags, capsys=capsys)
    assert f"must have the model's 2 classes. Received: {tmp_path.name} with 3" in message


def test_data_of_another_size_are_refused(folder_run):
    folder = data.image_folder(folder_run / "pictures", size=40)
    with pytest.raises(kr.Mistake, match=r"\(28, 28, 3\).*`size`. Received: pictures of \(40, 40"):
        kr.evaluate(folder_run / "run", folder)


def test_splits_of_a_folder_are_checked(folder_run, capsys):
    flags = [f"--workdir={folder_run / 'run'}", "--split=all"]
    message = answer("evaluate", *flags, f"--folder={folder_run / 'pictures'}", capsys=capsys)
    assert "must be 'train' or 'test'. Received: split='all'" in message
    flags = [f"--folder={folder_run / 'pictures' / 'val'}", flags[0], "--split=train"]
    message = answer("evaluate", *flags, capsys=capsys)
    assert "must be 'test' of a folder that has no folder train. Received: split='train'" in message


def test_calibration_error():
    # bins of 1/15: two predictions at 0.9, one right: |0.9 - 0.5| for 2 of 3; one at 0.3, right
    expected = (2 * abs(0.9 - 0.5) + abs(0.3 - 1.0)) / 3
    at_once, in_parts = Calibration(), Calibration()
    at_once.add([0.9, 0.9, 0.3], [1, 0, 1])
    assert at_once.error() == pytest.approx(expected)
    in_parts.add([0.9], [1])
    in_parts.add([0.9, 0.3], [0, 1])
    assert in_parts.error() == pytest.approx(expected)
