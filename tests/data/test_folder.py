"""Folders of pictures: what is found in them, and what can be wrong with them."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from PIL import Image

from keras_rescnet import augment, data
from support.augmenting import digests
from support.pictures import SIZE, crop_middle, picture, write


def load(folder, split="train"):
    return data.load(data.image_folder(folder, size=SIZE), split)


def test_a_folder_is_a_dataset(tmp_path, capsys):
    write(tmp_path)
    train, test = load(tmp_path), load(tmp_path, "test")
    assert (len(train), len(test), train.class_names) == (12, 6, ("cat", "dog"))
    assert train.dataset.classes == 2
    assert train.dataset.image_shape == (SIZE, SIZE, 3)
    assert train.dataset.class_names == ("cat", "dog")
    pixels = [np.asarray(Image.open(p)) / 255 for p in sorted(tmp_path.glob("train/*/*.jpg"))]
    mean = np.mean([p.mean((0, 1)) for p in pixels], axis=0)
    square = np.mean([np.square(p).mean((0, 1)) for p in pixels], axis=0)
    np.testing.assert_allclose(train.dataset.mean, mean, atol=1e-3)
    np.testing.assert_allclose(train.dataset.std, np.sqrt(square - mean**2), atol=1e-3)
    assert capsys.readouterr().out.count("Looking through 18 pictures") == 1


def test_data_dir_can_be_the_folder(tmp_path):
    write(tmp_path)
    examples = data.load(data.image_folder(size=SIZE), "train", tmp_path)
    assert examples.dataset.name == tmp_path.name
    with pytest.raises(ValueError, match="its path or --data_dir"):
        data.load(data.image_folder(), "train")


def test_data_dir_takes_the_place_of_the_path(tmp_path):
    write(tmp_path / "path")
    write(tmp_path / "given", train=4)
    dataset = data.image_folder(tmp_path / "path", size=SIZE)
    examples = data.load(dataset, "train", tmp_path / "given")
    assert (len(examples), examples.dataset.name) == (8, "given")
    with pytest.raises(ValueError, match="existing folder. Received: .*missing"):
        data.load(dataset, "train", tmp_path / "missing")


def test_statistics_of_another_set_are_kept(tmp_path):
    dataset = data.image_folder(write(tmp_path), size=SIZE)
    other = dataclasses.replace(dataset, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert data.load(other, "test").dataset.mean == (0.1, 0.2, 0.3)


def test_a_constant_channel_needs_statistics_of_its_own(tmp_path):
    dataset = data.image_folder(write(tmp_path), size=SIZE)
    for file in tmp_path.glob("*/*/*.jpg"):
        blue = np.asarray(Image.open(file)) * np.array([0, 0, 1], "uint8")
        Image.fromarray(blue).save(file.with_suffix(".png"))
        file.unlink()
    cure = r"unless .*: dataclasses.replace\(dataset, mean=..., std=...\). Received: 12 pictures"
    for without_std in (dataset, dataclasses.replace(dataset, mean=(0.5, 0.5, 0.5))):
        with pytest.raises(ValueError, match=cure):
            data.load(without_std, "train")
    own = dataclasses.replace(dataset, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert data.load(own, "train").dataset == dataclasses.replace(
        own, classes=2, class_names=("cat", "dog")
    )


def test_facts_are_kept_until_files_change(tmp_path, capsys):
    write(tmp_path)
    load(tmp_path)
    facts = json.loads((tmp_path / "image_folder.json").read_text())
    assert len(facts["mean"]) == 3
    load(tmp_path)
    assert capsys.readouterr().out.count("Looking") == 1
    picture(77).save(tmp_path / "train" / "cat" / "new.png")
    assert len(load(tmp_path)) == 13
    (tmp_path / "image_folder.json").write_text("{")
    assert len(load(tmp_path)) == 13
    assert capsys.readouterr().out.count("Looking") == 2


def test_every_kind_of_picture(tmp_path):
    write(tmp_path)
    color = picture()
    folder = tmp_path / "val" / "dog"
    for file in folder.iterdir():
        file.unlink()
    color.save(folder / "a.png")
    color.convert("RGBA").save(folder / "b.png")
    color.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "c.png")
    color.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "d.gif")
    color.save(folder / "e.bmp")
    color.convert("CMYK").save(folder / "f.jpg", quality=95)
    color.convert("L").save(folder / "g.jpg", quality=95)
    color.convert("L").save(folder / "h.png")
    test = load(tmp_path, "test")
    assert len(test) == 11
    batch = next(data.evaluation_batches(test, batch_size=11).as_numpy_iterator())
    pixels = 255 * (batch["images"] * test.dataset.std + test.dataset.mean)
    for file, found in zip(sorted(folder.iterdir()), pixels[3:], strict=True):
        expected = np.asarray(crop_middle(Image.open(file).convert("RGB")))
        np.testing.assert_allclose(found, expected, atol=1.1, err_msg=file.name)


def test_streams_resume_to_the_bit(tmp_path):
    examples = load(write(tmp_path))
    transforms = [augment.RandomResizedCrop(SIZE), augment.RandomFlip(), augment.MixUp()]

    batches = functools.partial(
        data.train_batches, examples, transforms, batch_size=4, seed=5, stop=9
    )
    whole = digests(batches(start=0, parallel_calls=1))
    assert len(set(whole)) == 9
    assert digests(batches(start=0, parallel_calls=8)) == whole
    assert digests(batches(start=4)) == whole[4:]


def test_unreadable_pictures_are_named_and_left_out(tmp_path, capsys):
    write(tmp_path, train=100, val=50)
    good = (tmp_path / "train" / "cat" / "7.jpg").read_bytes()
    (tmp_path / "train" / "cat" / "7.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "val" / "dog" / "2.jpg").write_bytes(b"")
    train, test = load(tmp_path), load(tmp_path, "test")
    assert (len(train), len(test)) == (199, 99)
    output = capsys.readouterr().out
    assert f"Cannot read {tmp_path / 'train/cat/7.jpg'}: it is left out." in output
    assert f"Cannot read {tmp_path / 'val/dog/2.jpg'}: it is left out." in output
    assert "2 of 300 pictures are left out." in output
    assert (
        sum(
            b["weights"].sum()
            for b in data.evaluation_batches(test, batch_size=64).as_numpy_iterator()
        )
        == 99
    )
    for i in range(4):
        (tmp_path / "train" / "dog" / f"{i}.jpg").write_text("not a picture")
    with pytest.raises(ValueError, match=r"At most 1%.*6 of 300.*train/cat/7.jpg"):
        load(tmp_path)


def test_a_folder_that_cannot_be_written_still_works(tmp_path, capsys, monkeypatch):
    write(tmp_path)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)
    assert len(load(tmp_path)) == 12
    assert "cannot be written (Permission denied)" in capsys.readouterr().out


def test_labels_txt_gives_the_order(tmp_path):
    write(tmp_path)
    (tmp_path / "labels.txt").write_text("dog\ncat\n")
    examples = load(tmp_path)
    assert examples.class_names == ("dog", "cat")
    labels = next(data.evaluation_batches(examples, batch_size=12).as_numpy_iterator())["labels"]
    np.testing.assert_array_equal(labels.argmax(1), [1] * 6 + [0] * 6)


def test_class_names_that_are_put_in_give_the_order(tmp_path):
    dataset = data.image_folder(write(tmp_path), size=SIZE)
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    named = dataclasses.replace(dataset, class_names=("dog", "cat"))
    examples = data.load(named, "train")
    assert examples.class_names == examples.dataset.class_names == ("dog", "cat")
    labels = next(data.evaluation_batches(examples, batch_size=12).as_numpy_iterator())["labels"]
    np.testing.assert_array_equal(labels.argmax(1), [1] * 6 + [0] * 6)
    for changes, message in [
        (
            {"class_names": ("cat", "cow")},
            "of the dataset, cat, cow. Received: .*train, .* in cow, dog",
        ),
        ({"class_names": ("cat", "dog", "cat")}, "differs in a name twice"),
        ({"classes": 5}, "must have 5 classes. Received: 2 class names"),
    ]:
        with pytest.raises(ValueError, match=message):
            data.load(dataclasses.replace(dataset, **changes), "train")


def test_hidden_folders_are_no_classes(tmp_path):
    write(tmp_path)
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "val" / ".cache").mkdir()
    assert load(tmp_path).class_names == ("cat", "dog")


def remove(folder):
    for file in folder.rglob("*.jpg"):
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda root: (root / "val").rename(root / "tst"),
            r"no folder 'val', but \['train', 'tst'\]",
        ),
        (lambda root: (root / "train").rename(root / "training"), "has no folder 'train'"),
        (
            lambda root: remove(root / "train" / "dog"),
            "must have pictures. Received: none in .*train/dog",
        ),
        (lambda root: (root / "train" / "dog").rename(root / "dog"), r"two classes.*\['cat'\]"),
        (
            lambda root: (root / "val" / "dog").rename(root / "val" / "dgo"),
            r"Received: \['dgo'\] in .*val",
        ),
        (
            lambda root: (root / "labels.txt").write_text("cat\ncow\n"),
            r"differs in \['cow', 'dog'\]",
        ),
        (
            lambda root: (root / "labels.txt").write_text("cat\ndog\ncat"),
            "differs in a class twice",
        ),
    ],
    ids=["no val", "no train", "empty class", "one class", "strange class", "labels", "twice"],
)
def test_what_is_wrong_with_a_folder_is_one_line(tmp_path, damage, message):
    damage(write(tmp_path))
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_crop_of_another_size_is_refused(tmp_path):
    examples = load(write(tmp_path))
    message = r"\(4, 28, 28, 3\) after all transforms.*\(4, 20, 20, 3\)"
    with pytest.raises(ValueError, match=message) as error:
        data.train_batches(
            examples, [augment.RandomResizedCrop(20)], batch_size=4, seed=0, start=0, stop=1
        )
    assert "\n" not in str(error.value)


def test_images_must_be_square(tmp_path):
    write(tmp_path)
    dataset = dataclasses.replace(data.image_folder(tmp_path), image_shape=(28, 32, 3))
    with pytest.raises(ValueError, match=r"must be square.*\(28, 32, 3\)"):
        data.load(dataset, "train")
