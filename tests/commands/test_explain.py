"""`explain`: pictures as the model takes them, their maps, and which class."""

import csv

import keras
import numpy as np
import pytest
from PIL import Image

import keras_rescnet as kr
from keras_rescnet.analysis.pictures import picture_model
from keras_rescnet.analysis.runs import load_run
from support import noise
from support.commands import answer, run_command


def rows_of(picture):
    assert picture.read_bytes()[:4] == b"\x89PNG"
    with open(picture.with_suffix(".csv")) as file:
        return list(csv.DictReader(file))


def map_of(rows, name, kind):
    chosen = [row for row in rows if row["picture"].endswith(name) and row["map"] == kind]
    side = 1 + max(int(row["row"]) for row in chosen)
    return np.array([float(row["value"]) for row in chosen]).reshape(side, -1)


@pytest.fixture
def pictures(tmp_path):
    """Three pictures of the size of the model's, and one that is broken."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    images = noise.random_pictures(kr.data.DIGITS, "test").images[:3]
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"broken")
    return folder, images


def test_maps_are_drawn_and_broken_pictures_named(finished_run, pictures, tmp_path, capsys):
    folder, images = pictures
    output = tmp_path / "maps.png"
    capsys.readouterr()
    line = answer("explain", f"--model={finished_run}", folder, f"--output={output}", capsys=capsys)
    assert "1 of 4 that cannot be read: " in line and "broken.png" in line
    rows = rows_of(output)
    run = load_run(finished_run)
    normalized = run.dataset.normalize(images)
    maps = kr.grad_cam(run.model, normalized)
    logits = keras.ops.convert_to_numpy(run.model(normalized))
    for number in range(3):
        found = map_of(rows, f"{number}.png", "Grad-CAM")
        np.testing.assert_allclose(found, maps[number], rtol=1e-4, atol=1e-5 * maps.max())
        label = next(row["class"] for row in rows if row["picture"].endswith(f"{number}.png"))
        assert label == run.class_names[logits[number].argmax()]
    assert {row["map"] for row in rows} == {"Grad-CAM"}  # the run has no RC Layer


def test_files_take_pixels_or_the_data_of_a_recipe(pictures, tmp_path, capsys):
    folder, images = pictures
    model = kr.models.CifarResNet8(calibration=kr.layers.RCLayer)
    model.save(tmp_path / "mine.keras")
    (tmp_path / "mine.py").write_text("from support import noise\nrecipe = noise.recipe\n")
    words = [f"--model={tmp_path / 'mine.keras'}", folder / "1.png", "--class=4"]
    for flag, given in (
        ("--pixels", images.astype("float32")),
        (f"--recipe={tmp_path / 'mine.py'}", kr.data.DIGITS.normalize(images)),
    ):
        output = tmp_path / "maps.svg"
        options = ["--layer=stage2_block1_out", "--rc_layer=stage1_block1_calibration"]
        run_command("explain", *words, *options, flag, f"--output={output}")
        with open(output.with_suffix(".csv")) as file:
            rows = list(csv.DictReader(file))
        cam = kr.grad_cam(model, given[1:2], 4, "stage2_block1_out")[0]
        gain = kr.rc_maps(model, given[1:2])["stage1_block1_calibration"][0]
        np.testing.assert_allclose(
            map_of(rows, "1.png", "Grad-CAM"), cam, rtol=1e-3, atol=1e-4 * cam.max()
        )
        np.testing.assert_allclose(map_of(rows, "1.png", "RC map"), gain, atol=1e-5)
        assert {row["class"] for row in rows} == {"4"}
    assert "1.png: 4 " in capsys.readouterr().out


def test_pictures_are_prepared_as_those_of_the_tests(folder_run):
    explained = picture_model(folder_run / "run")
    run = load_run(folder_run / "run")
    examples = kr.data.load(run.dataset, "test", run.data_dir)
    files = sorted((folder_run / "pictures" / "val").glob("*/*.jpg"))
    read, pixels, unreadable = explained.read(files)
    assert (read, unreadable) == (files, [])
    batches = kr.data.evaluation_batches(examples, batch_size=len(files), as_tuples=True)
    images = next(batches.as_numpy_iterator())[0]
    np.testing.assert_allclose(explained.normalized(pixels), images, atol=1e-6)
    assert explained.class_names == ("cat", "dog")
