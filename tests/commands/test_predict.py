"""`predict`: a run's SavedModel, and pictures prepared as the evaluation prepares them."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_rescnet import data
from keras_rescnet.analysis.evaluation import predictions
from support import pictures
from support.commands import answer, run_command


def guesses_of(capsys):
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {line["picture"]: line["guesses"] for line in lines}


def test_predict_and_evaluate_agree_picture_by_picture(folder_run, capsys):
    run_command("predict", f"--workdir={folder_run / 'run'}", "--json", folder_run / "pictures/val")
    predicted = guesses_of(capsys)
    dataset = data.image_folder(folder_run / "pictures", size=pictures.SIZE)
    model = keras.models.load_model(folder_run / "run" / "model.keras")
    ((logits, _),) = predictions(model, data.load(dataset, "test"))
    expected = tf.nn.softmax(logits).numpy()
    files = sorted((folder_run / "pictures" / "val").rglob("*.jpg"))
    ours = [[predicted[str(file)][name] for name in ("cat", "dog")] for file in files]
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    # Without the margin of 8/7 the answers are others, or this test would say nothing.
    served = tf.saved_model.load(str(folder_run / "run" / "saved_model"))
    whole = [tf.image.resize(tf.io.decode_jpeg(f.read_bytes()), (28, 28)) for f in files]
    assert np.abs(served.serve(tf.stack(whole)) - expected).max() > 1e-2


def test_predict_gives_a_picture_of_the_input_size_its_own_pixels(finished_run, tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), "uint8")
    (tmp_path / "sub").mkdir()
    tf.io.write_file(str(tmp_path / "sub" / "a.png"), tf.io.encode_png(pixels))
    tf.io.write_file(str(tmp_path / "b.bmp"), bitmap(pixels))
    run_command("predict", f"--model={finished_run / 'saved_model'}", "--json", tmp_path)
    predicted = guesses_of(capsys)
    assert list(predicted) == [str(tmp_path / "b.bmp"), str(tmp_path / "sub" / "a.png")]
    served = tf.saved_model.load(str(finished_run / "saved_model"))
    expected = np.sort(served.serve(pixels[None])[0])[::-1][:5]
    for guesses in predicted.values():
        assert list(guesses.values()) == pytest.approx(expected.tolist(), abs=1e-6)


def bitmap(pixels):
    """Returns the bytes of an uncompressed BMP file."""
    height, width, _ = pixels.shape
    size = 54 + pixels.size
    header = b"BM" + np.array([size, 0, 54, 40, width, height], "<u4").tobytes()
    header += np.array([1, 24], "<u2").tobytes() + np.array([0] * 6, "<u4").tobytes()
    return header + pixels[::-1, :, ::-1].tobytes()


def test_one_broken_picture_does_not_end_predict(finished_run, tmp_path, capsys):
    pictures.picture().save(tmp_path / "a.jpg")
    (tmp_path / "b.png").write_bytes(b"no picture")
    pictures.picture(1).save(tmp_path / "c.png")
    with pytest.raises(SystemExit) as caught:
        run_command("predict", f"--workdir={finished_run}", "--json", tmp_path)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    lines = [json.loads(line)["picture"] for line in captured.out.splitlines()]
    assert lines == [str(tmp_path / "a.jpg"), str(tmp_path / "c.png")]
    assert "Received: 1 of 3 that cannot be read: " + str(tmp_path / "b.png") in captured.err
    assert captured.err.count("\n") == 1


def test_pictures_in_batches_have_their_own_answers(finished_run, tmp_path, capsys, monkeypatch):
    """Of nine files in batches of two, one broken in the midst of a batch and one whole batch."""
    monkeypatch.setattr("keras_rescnet.analysis.served.BATCH", 2)
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), "uint8")
    for number, image in enumerate(pixels):
        tf.io.write_file(str(tmp_path / f"{number}.png"), tf.io.encode_png(image))
    for number in (1, 4, 5):
        (tmp_path / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(SystemExit):
        run_command("predict", f"--workdir={finished_run}", "--json", tmp_path)
    predicted = guesses_of(capsys)
    kept = [0, 2, 3, 6, 7, 8]
    assert list(predicted) == [str(tmp_path / f"{number}.png") for number in kept]
    served = tf.saved_model.load(str(finished_run / "saved_model"))
    expected = np.sort(served.serve(pixels[kept]), axis=1)[:, ::-1][:, :5]
    found = [list(guesses.values()) for guesses in predicted.values()]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_predict_refuses_what_is_no_model_of_a_run(finished_run, tmp_path, capsys):
    run = f"--workdir={finished_run}"
    assert "Received: neither" in answer("predict", "x.png", capsys=capsys)
    assert "Received: both" in answer("predict", run, "--model=x", "x.png", capsys=capsys)
    assert "Name at least one picture" in answer("predict", run, capsys=capsys)
    picture = tmp_path / "a.png"
    pictures.picture().save(picture)
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    message = answer("predict", f"--model={tmp_path / 'other'}", picture, capsys=capsys)
    assert "which has no serve and no prepare and no class_names" in message
    assert "names no picture" in answer("predict", run, tmp_path / "no*.png", capsys=capsys)
    message = answer("predict", f"--model={tmp_path}", picture, capsys=capsys)
    assert "must be the folder of a run or a SavedModel" in message
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"\x00damaged")
    message = answer("predict", f"--model={tmp_path / 'damaged'}", picture, capsys=capsys)
    assert "must be one that TensorFlow can load. Received: " in message
