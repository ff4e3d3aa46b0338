"""Tables of pictures: CSV files and columns, with classes and with tags."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from PIL import Image

from keras_rescnet import augment, data
from keras_rescnet.data.array_examples import ArrayExamples
from keras_rescnet.data.table_listing import list_table, table_of
from support import tagged
from support.augmenting import digests
from support.pictures import SIZE, crop_middle, picture


def load(dataset, split="train", data_dir=None):
    return data.load(dataset, split, data_dir)


def labels_of(examples):
    (batch,) = data.evaluation_batches(examples, batch_size=len(examples)).as_numpy_iterator()
    return batch["labels"]


def write(folder, text, names=("a.jpg", "b.png", "c.jpg", "d.jpg")):
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(folder / name)
    (folder / "pictures.csv").write_text(text, encoding="utf-8")
    return folder / "pictures.csv"


TAGS = """path,tags,split
b.png,shoe|red,train
c.jpg,,val
a.jpg, red ,train
d.jpg,shoe,test
"""


def test_a_table_of_tags_is_a_dataset(tmp_path, capsys):
    table = data.image_table(write(tmp_path, TAGS), size=SIZE)
    train, test = load(table), load(table, "test")
    assert train.class_names == ("red", "shoe")
    assert train.dataset.multi_label and train.dataset.classes == 2
    assert labels_of(train).tolist() == [[1, 1], [1, 0]]
    assert labels_of(test).tolist() == [[0, 0], [0, 1]]
    pixels = [np.asarray(Image.open(tmp_path / name)) / 255 for name in ("b.png", "a.jpg")]
    mean = np.mean([p.mean((0, 1)) for p in pixels], axis=0)
    np.testing.assert_allclose(train.dataset.mean, mean, atol=1e-3)
    (batch,) = data.evaluation_batches(test, batch_size=2).as_numpy_iterator()
    found = test.dataset.denormalize(batch["images"])[0]
    expected = np.asarray(crop_middle(Image.open(tmp_path / "c.jpg")), "float64")
    assert np.abs(found - expected).max() < 2
    assert capsys.readouterr().out.count("Looking through 4 pictures") == 1
    assert "mean" in json.loads((tmp_path / "pictures.csv.facts.json").read_text())


def test_a_table_of_labels_has_one_class_per_picture(tmp_path):
    text = TAGS.replace("tags", "label").replace("|red", "").replace(",,val", ",shoe,val")
    examples = load(data.image_table(write(tmp_path, text), size=SIZE))
    assert not examples.dataset.multi_label
    assert examples.class_names == ("red", "shoe")
    assert labels_of(examples).tolist() == [[0, 1], [1, 0]]


def test_columns_are_as_good_as_a_file(tmp_path, monkeypatch):
    from_file = load(data.image_table(write(tmp_path, TAGS), size=SIZE))
    columns = {
        "number": [1, 2, 3, 4],
        "path": ["b.png", "c.jpg", "a.jpg", "d.jpg"],
        "tags": [["shoe", "red"], float("nan"), "red", None],
        "split": ["train", "val", "train", "test"],
    }
    for table in (columns, Frame(columns)):
        examples = load(data.image_table(table, root=tmp_path, size=SIZE))
        np.testing.assert_array_equal(labels_of(examples), labels_of(from_file))
        assert examples.dataset.mean == from_file.dataset.mean
    within = data.image_table(columns, size=SIZE)  # paths start from --data_dir
    assert len(load(within, data_dir=tmp_path)) == 2
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert len(load(data.image_table(columns, root=f"~/{tmp_path.name}", size=SIZE))) == 2


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_missing_number_is_no_label(dtype):
    labels = np.array([1, np.nan, 0], dtype)
    with pytest.raises(ValueError, match="must have a label. Received: 'b.png' in row 2"):
        table_of({"path": ["a.png", "b.png", "c.png"], "label": labels})


class Frame:
    """As much of a DataFrame as is used: names in `columns`, and columns by name."""

    def __init__(self, data):
        self._data, self.columns = data, list(data)

    def __iter__(self):
        return iter(self.columns)

    def __getitem__(self, name):
        return np.array(self._data[name], object)


def test_a_path_is_taken_within_data_dir(tmp_path, monkeypatch):
    write(tmp_path / "shoes", TAGS)
    monkeypatch.chdir(tmp_path)
    table = data.image_table("pictures.csv", size=SIZE)
    assert len(load(table, data_dir="shoes")) == 2
    other = data.image_table("shoes/pictures.csv", root="shoes", size=SIZE)
    assert len(load(other)) == 2
    assert other.name == "pictures"


@pytest.mark.parametrize("kind", ["label", "tags"])
def test_a_share_to_test_with_depends_on_the_paths_alone(kind, tmp_path):
    names = [f"{i}.png" for i in range(20)]
    rows = [f"{name},{'ab'[i % 2]}" for i, name in enumerate(names)]
    text = "\n".join([f"path,{kind}", *rows])
    table = data.image_table(write(tmp_path, text, names), size=8, validation_share=0.3)
    train, test = load(table), load(table, "test")
    assert (len(train), len(test)) == (14, 6)
    if kind == "label":
        assert labels_of(test).sum(0).tolist() == [3, 3]  # of each class
    (tmp_path / "pictures.csv").write_text("\n".join([f"path,{kind}", *rows[::-1]]))
    again = data.image_table(tmp_path / "pictures.csv", size=8, validation_share=0.3)
    assert labels_of(load(again, "test")).tolist() == labels_of(test).tolist()[::-1]


def test_a_share_leaves_every_tag_to_train_on(tmp_path):
    names = [f"{i}.png" for i in range(20)]
    write(tmp_path, "", names)
    divided = functools.partial(list_table, root=tmp_path, facts="", validation_share=0.3)
    tags = ["a"] * 20
    tested = divided(table_of({"path": names, "tags": tags})).files["test"]
    for path in tested[:3]:  # `rare` is on two of these, `own` on another
        tags[names.index(path)] = "rare" if path in tested[:2] else "a|own"
    files = divided(table_of({"path": names, "tags": tags})).files
    assert tested[2] in files["train"] and len(files["train"]) == 14 + 2
    assert len({*tested[:2]} & {*files["test"]}) == 1
    assert set(files["test"]) < set(tested)


def test_unreadable_pictures_are_left_out_with_their_labels(tmp_path, capsys):
    file = write(tmp_path, TAGS + "e.jpg,shoe,train\n")
    (tmp_path / "e.jpg").write_bytes(b"no picture")
    examples = load(data.image_table(file, size=SIZE, unreadable_share=0.5))
    assert labels_of(examples).tolist() == [[1, 1], [1, 0]]
    assert "Cannot read" in capsys.readouterr().out


def test_tags_of_names_that_are_given_keep_their_order(tmp_path):
    table = data.image_table(write(tmp_path, TAGS), size=SIZE)
    named = dataclasses.replace(table, class_names=("shoe", "red", "hat"))
    assert load(named, "test").class_names == ("shoe", "red", "hat")
    assert labels_of(load(named, "test")).tolist() == [[0, 0, 0], [1, 0, 0]]


def test_mixed_tags_are_exact_shares():
    """MixUp and CutMix: each label is that of the picture and of the one before it, by share."""
    images, labels = tagged.draw(8, 3)
    batch = {"images": images, "labels": labels}
    other = np.roll(labels, 1, axis=0)
    mixed = augment.MixUp()(batch, (0, 1))
    pixels, before = (np.asarray(array, "float64") for array in (images, np.roll(images, 1, 0)))
    share = ((mixed["images"] - before) * (pixels - before)).numpy().sum()
    share /= ((pixels - before) ** 2).sum()
    expected = share * labels + (1 - share) * other
    np.testing.assert_allclose(mixed["labels"], expected, atol=1e-5)
    assert 0.01 < share < 0.99
    cut = augment.CutMix()(batch, (0, 5))
    same = np.all(cut["images"] == images, axis=-1)
    covered = 1 - same.mean()
    assert 0.01 < covered < 0.99
    expected = (1 - covered) * labels + covered * other
    np.testing.assert_allclose(cut["labels"], expected, atol=1e-2)
    area = cut["labels"].numpy()[(labels == 0) & (other == 1)]
    np.testing.assert_allclose(area, area[0])
    np.testing.assert_allclose(area[0] * 32 * 32, np.round(area[0] * 32 * 32), atol=1e-3)


def test_batches_of_tags_do_not_depend_on_where_they_start_or_on_shards(tmp_path):
    examples = load(data.image_table(tagged.write_csv(tmp_path / "set"), size=32))
    options = {"batch_size": 8, "seed": 3}
    transforms = [augment.RandomResizedCrop(32), augment.MixUp()]
    whole = digests(data.train_batches(examples, transforms, start=0, stop=8, **options))
    late = digests(data.train_batches(examples, transforms, start=5, stop=8, **options))
    assert late == whole[5:]
    shards = [
        list(
            data.train_batches(
                examples, transforms, start=0, stop=2, num_shards=2, shard_index=i, **options
            ).as_numpy_iterator()
        )
        for i in range(2)
    ]
    both = list(data.train_batches(examples, transforms, start=0, stop=2, **options))
    for step, batch in enumerate(both):
        rows = np.concatenate([shard[step]["labels"] for shard in shards])
        np.testing.assert_array_equal(rows, batch["labels"])


def test_the_file_and_the_memory_give_the_same_batches(tmp_path):
    examples = load(data.image_table(tagged.write_csv(tmp_path / "set"), size=32), "test")
    assert isinstance(tagged.read(tagged.dataset, "test"), ArrayExamples)
    np.testing.assert_array_equal(
        labels_of(examples), labels_of(tagged.read(tagged.dataset, "test"))
    )
