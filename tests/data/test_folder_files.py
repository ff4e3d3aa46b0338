"""Which files of a folder are its pictures, and for which split."""

import os
import shutil
import threading
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from keras_rescnet import data
from keras_rescnet.data import folder_facts
from keras_rescnet.data.folder_listing import list_pictures
from keras_rescnet.mistake import Mistake
from support.pictures import SIZE, picture, write


def load(folder, split="train", **options):
    return data.load(data.image_folder(folder, size=SIZE, **options), split)


def test_files_that_are_not_named_like_pictures_do_not_count(tmp_path, capsys):
    write(tmp_path)
    for name in ("Thumbs.db", "desktop.ini", "labels.txt", "notes.md"):
        (tmp_path / "train" / "cat" / name).write_bytes(b"no picture")
    picture(5).save(tmp_path / "train" / "lost.png")  # in no class
    assert len(load(tmp_path)) == 12
    assert "5 files (train/cat/Thumbs.db, train/cat/desktop.ini" in capsys.readouterr().out


def test_suffixes_of_pictures_may_be_capitals(tmp_path):
    write(tmp_path)
    picture(5).save(tmp_path / "train" / "cat" / "IMG_1.JPG", "jpeg")
    picture(6).save(tmp_path / "train" / "cat" / "a.webp", lossless=True)
    assert len(load(tmp_path)) == 14


def test_names_that_are_not_utf8_are_read(tmp_path, capsys):
    write(tmp_path)
    folder = os.fsencode(tmp_path / "train" / "cat")
    shutil.copy(folder + b"/1.jpg", folder + b"/K\xe4tzchen.jpg")
    with open(folder + b"/z\xe4.jpg", "wb") as file:
        file.write(b"broken")
    examples = load(tmp_path, unreadable_share=0.1)
    assert len(examples) == 13
    printed = capsys.readouterr().out
    assert r"train/cat/z\udce4.jpg': it is left out." in printed
    printed.encode()  # can be printed on any terminal
    assert len(load(tmp_path, unreadable_share=0.1)) == 13  # from image_folder.json
    assert "Looking" not in capsys.readouterr().out
    os.rename(folder, folder + b"\xff")
    with pytest.raises(Mistake, match=r"printable UTF-8. Received: 'cat\\udcff' in "):
        load(tmp_path)


def test_pictures_in_folders_of_a_class_are_of_that_class(tmp_path):
    write(tmp_path)
    inside = tmp_path / "train" / "dog" / "puppies" / "small"
    inside.mkdir(parents=True)
    picture(1).save(inside / "a.png")
    (inside / "round").symlink_to(tmp_path / "train" / "dog")  # leads back: walked once
    listing = list_pictures(tmp_path)
    assert "train/dog/puppies/small/a.png" in listing.files["train"]
    assert listing.labels["train"] == [0] * 6 + [1] * 7


def test_order_is_that_of_classes_and_then_of_names(tmp_path):
    write(tmp_path, classes=("cat", "cat-2"), train=2, val=1)
    assert list_pictures(tmp_path).files["train"] == [
        "train/cat/0.jpg",
        "train/cat/1.jpg",
        "train/cat-2/0.jpg",
        "train/cat-2/1.jpg",
    ]


def test_labels_txt_takes_any_name_of_a_folder(tmp_path):
    """Spaces around it, a byte order mark and Windows's ends of lines included."""
    write(tmp_path, classes=(" a", "b ", "c d"))
    (tmp_path / "labels.txt").write_bytes("\ufeffc d\r\n a\r\nb \r\n".encode())
    assert load(tmp_path).class_names == ("c d", " a", "b ")
    (tmp_path / "labels.txt").write_bytes("c d\n a\nb \xe4".encode("latin1"))
    with pytest.raises(Mistake, match="must be a text file in UTF-8.*not UTF-8"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["validation", "valid", "test"])
def test_the_second_folder_may_have_another_name(tmp_path, name):
    (write(tmp_path) / "val").rename(tmp_path / name)
    assert len(load(tmp_path, "test")) == 6


def test_test_is_left_alone_if_there_is_val(tmp_path):
    write(tmp_path)
    shutil.copytree(tmp_path / "val", tmp_path / "test")
    assert list_pictures(tmp_path).files["test"][0].startswith("val/")


@pytest.mark.parametrize("layout", ["train", "flat"])
def test_a_share_of_each_class_is_taken_to_validate(tmp_path, layout):
    write(tmp_path / "all", train=20)
    shutil.rmtree(tmp_path / "all" / "val")
    root = tmp_path / "all" if layout == "train" else tmp_path / "all" / "train"
    listing = list_pictures(root, 0.2)
    assert [listing.labels[split].count(0) for split in ("train", "test")] == [16, 4]
    assert [listing.labels[split].count(1) for split in ("train", "test")] == [16, 4]
    assert len(set(listing.files["train"]) | set(listing.files["test"])) == 40
    picture(1).save(tmp_path / "all" / "train" / "cat" / "new.png")
    later = list_pictures(root, 0.2)
    assert len(set(later.files["test"]) ^ set(listing.files["test"])) <= 2
    train, test = (load(root, split, validation_share=0.2) for split in ("train", "test"))
    assert (len(train), len(test)) == (33, 8)
    # Statistics are of the pictures that are trained on, so of another share others.
    assert load(root, validation_share=0.5).dataset.mean != train.dataset.mean


def test_a_share_is_refused_where_there_is_val(tmp_path):
    with pytest.raises(Mistake, match="without pictures to validate with.*val"):
        load(write(tmp_path), validation_share=0.1)


def test_a_share_must_leave_pictures_to_train_on(tmp_path):
    write(tmp_path, train=1)
    shutil.rmtree(tmp_path / "val")
    with pytest.raises(Mistake, match="validation_share=0.1 of 1 pictures of 'cat'"):
        load(tmp_path, validation_share=0.1)


def test_a_class_that_cannot_be_tested_is_named(tmp_path, capsys):
    write(tmp_path)
    shutil.rmtree(tmp_path / "val" / "dog")
    load(tmp_path)
    assert "No picture to test with" not in capsys.readouterr().out
    assert load(tmp_path, "test").class_names == ("cat", "dog")
    assert "No picture to test with in" in (printed := capsys.readouterr().out)
    assert "of: ['dog']." in printed


def test_the_share_of_unreadable_pictures_is_an_argument(tmp_path):
    write(tmp_path, train=10, val=5)
    (tmp_path / "train" / "cat" / "3.jpg").write_bytes(b"broken")
    with pytest.raises(Mistake, match="At most 1%.*`unreadable_share`.*1 of 30 in"):
        load(tmp_path)
    assert len(load(tmp_path, unreadable_share=0.05)) == 19
    for file in (tmp_path / "train" / "cat").iterdir():
        file.write_bytes(b"broken")
    with pytest.raises(Mistake, match=r"that can be read. Received: none of \['cat'\]"):
        load(tmp_path, unreadable_share=0.5)


def test_a_split_needs_a_picture_that_can_be_read(tmp_path):
    for file in write(tmp_path).glob("val/*/*"):
        file.write_bytes(b"broken")
    assert len(load(tmp_path, unreadable_share=0.5)) == 12
    with pytest.raises(Mistake, match="pictures for test that can be read. Received: 6 in"):
        load(tmp_path, "test", unreadable_share=0.5)


def test_pictures_of_one_color_are_refused(tmp_path):
    for split in ("train", "val"):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (40, 40), (1, 2, 3)).save(tmp_path / split / name / "1.png")
    with pytest.raises(Mistake, match=r"different pixels.*std="):
        load(tmp_path)


def test_facts_of_several_divisions_are_kept(tmp_path, capsys):
    write(tmp_path)
    shutil.rmtree(tmp_path / "val")
    found = [load(tmp_path, validation_share=share).dataset.mean for share in (0.2, 0.5, 0.2, 0.5)]
    assert found[:2] == found[2:] and found[0] != found[1]
    assert capsys.readouterr().out.count("Looking through") == 2


def test_damaged_facts_are_computed_again(tmp_path):
    write(tmp_path)
    for text in ("[]", "{}", '{"files": 3}', '{"before": 3}', '{"before": [3]}', "\x00"):
        (tmp_path / "image_folder.json").write_text(text)
        assert len(load(tmp_path)) == 12


def test_moments_are_those_of_all_levels(tmp_path):
    """Each of 256 levels as often as the others: sums of n and of n^2 have closed forms."""
    level = np.arange(2**15).reshape(256, 128) % 256
    picture = np.stack([level, 255 - level, np.full_like(level, 51)], axis=-1)
    Image.fromarray(picture.astype("uint8")).save(tmp_path / "1.png")
    mean, square = folder_facts._moments(tmp_path / "1.png")
    assert mean.tolist() == [0.5, 0.5, 51 / 255]
    assert square.tolist() == [511 / (6 * 255)] * 2 + [51**2 / 255**2]


def test_large_pictures_take_bounded_memory(tmp_path):
    """A small PNG file of many pixels: beside its pixels themselves hardly anything is needed."""
    Image.new("RGB", (3000, 2000), (10, 20, 30)).save(tmp_path / "bomb.png")
    tracemalloc.start()  # which sees numpy's memory; the pixels, 18 MB, are TensorFlow's
    mean, square = folder_facts._moments(tmp_path / "bomb.png")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6
    np.testing.assert_allclose(mean * 255, [10, 20, 30], rtol=1e-12)
    np.testing.assert_allclose(square * 255**2, [100, 400, 900], rtol=1e-12)


def test_large_pictures_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    write(tmp_path)
    running, most = [], []
    moments_of = folder_facts._moments_of

    def slowly(encoded):
        running.append(threading.get_ident())
        most.append(len(running))
        time.sleep(0.01)
        running.remove(threading.get_ident())
        return moments_of(encoded)

    monkeypatch.setattr(folder_facts, "_moments_of", slowly)
    monkeypatch.setattr(folder_facts, "available_cores", lambda: 4)
    load(tmp_path)
    assert max(most) > 1
    (tmp_path / "image_folder.json").unlink()
    most.clear()
    monkeypatch.setattr(folder_facts, "LARGE", 1000)
    load(tmp_path)
    assert max(most) == 1


@pytest.mark.parametrize("form", ["png", "jpeg", "gif", "bmp", "webp"])
def test_the_head_of_a_file_tells_its_pixels(tmp_path, form):
    picture(1, 30, 50).save(tmp_path / "file", form)
    pixels = folder_facts._pixels((tmp_path / "file").read_bytes())
    assert pixels == (1500 if form != "webp" else 2**28)  # WebP is not looked into
