"""Loading datasets, and the batches made of them."""

import hashlib
import pathlib
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from keras_rescnet import augment, data
from keras_rescnet.data import ArrayExamples, tfds_arrays, tfds_builder

SHAPE = (4, 4, 3)


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Ten training pictures; every pixel of picture i is i."""

    pkg_dir_path = pathlib.Path(__file__).parent  # TFDS would look for a package
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=SHAPE),
                    "label": tfds.features.ClassLabel(names=["even", "odd"]),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 10), "test": self._generate_examples(10, 13)}

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            yield i, {"image": np.full(SHAPE, i, "uint8"), "label": i % 2}


def tiny(**changes):
    facts = {
        "name": "tiny_pictures",
        "read": tfds_arrays.read,
        "image_shape": SHAPE,
        "classes": 2,
        "mean": (0.5, 0.25, 0.125),
        "std": (0.5, 0.25, 1.0),
    }
    return data.Dataset(**{**facts, **changes})


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    TinyPictures(data_dir=folder).download_and_prepare()
    return folder


def numbered(count, classes=2):
    """Examples whose picture i holds i in every pixel, and whose label is i modulo classes."""
    dataset = tiny(classes=classes, mean=(0.0,) * 3, std=(1 / 255,) * 3)  # normalizes to itself
    images = np.broadcast_to(np.arange(count, dtype="uint8")[:, None, None, None], (count, *SHAPE))
    names = [str(i) for i in range(classes)]
    return ArrayExamples(dataset, np.ascontiguousarray(images), np.arange(count) % classes, names)


def rows_of(batches):
    """The row numbers of `numbered` examples, step by step."""
    return [
        batch["images"][:, 0, 0, 0].astype(int).tolist() for batch in batches.as_numpy_iterator()
    ]


def test_digits_are_scikit_learns():
    digits = load_digits()
    train, test = (data.load(data.DIGITS, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (1442, 355)
    assert train.images.shape == (1442, 32, 32, 3) and train.images.dtype == "uint8"
    zeros = np.flatnonzero(digits.target == 0)
    expected = digits.images[zeros[4::5]] * 255 / 16
    found = test.images[test.labels == 0]
    np.testing.assert_allclose(found[:, ::4, ::4, 0], expected, atol=0.5)
    np.testing.assert_array_equal(found[:, 3::4, 3::4, 2], found[:, ::4, ::4, 0])
    shares = [np.bincount(part.labels) / np.bincount(digits.target) for part in (train, test)]
    np.testing.assert_allclose(shares[0], 0.8, atol=0.01)
    np.testing.assert_allclose(shares[1], 0.2, atol=0.01)
    np.testing.assert_allclose(data.DIGITS.mean, train.images.mean() / 255, atol=5e-5)
    np.testing.assert_allclose(data.DIGITS.std, (train.images / 255).std(), atol=5e-5)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match=r'pip install -e "\.\[quickstart\]"'):
        data.DIGITS.read(data.DIGITS, "train")


def test_load_reads_each_split_once():
    assert data.load(data.DIGITS, "test") is data.load(data.DIGITS, "test")


def test_load_rejects_other_splits():
    with pytest.raises(ValueError, match=r"'train' or 'test'.*split='val'"):
        data.load(data.DIGITS, "val")


def test_tfds_arrays(data_dir):
    train, test = (data.load(tiny(), split, data_dir) for split in ("train", "test"))
    assert (len(train), len(test), train.class_names) == (10, 3, ("even", "odd"))
    pixels = train.images[:, 0, 0, 0]
    assert sorted(pixels) == list(range(10))
    np.testing.assert_array_equal(train.labels, pixels % 2)
    np.testing.assert_array_equal(
        train.images, np.broadcast_to(pixels[:, None, None, None], (10, *SHAPE))
    )


def test_tfds_splits_add_up(data_dir):
    both = data.load(tiny(train_split="train+test"), "train", data_dir)
    assert sorted(both.images[:, 0, 0, 0]) == list(range(13))


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_are_checked(label):
    labels = np.array([0, 1, label])
    with pytest.raises(ValueError, match="from 0 to 1.*1 other labels"):
        ArrayExamples(tiny(), np.zeros((3, *SHAPE), "uint8"), labels, ["even", "odd"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 3}, "must have 3 classes.*2 class names"),
        ({"image_shape": (8, 8, 3)}, r"shape \(10, 8, 8, 3\).*\(10, 4, 4, 3\)"),
        ({"train_split": "train+extra"}, r"split 'extra'.*\['test', 'train'\]"),
        ({"name": "no_such_pictures"}, "TFDS has no dataset 'no_such_pictures'"),
    ],
)
def test_tfds_facts_are_checked(data_dir, changes, message):
    with pytest.raises(ValueError, match=message):
        data.load(tiny(**changes), "train", data_dir)


def test_the_first_use_prepares(tmp_path):
    """What needs no download needs no network either."""
    assert len(data.load(tiny(), "train", tmp_path)) == 10
    assert (tmp_path / "tiny_pictures" / "1.0.0" / "dataset_info.json").exists()


ARCHIVE = bytes(range(10))


class TinyArchive(TinyPictures):
    """The same pictures, out of a file that must be downloaded."""

    url_infos = {
        "https://pictures.invalid/tiny.bin": tfds.download.checksums.UrlInfo(
            size=10, checksum=hashlib.sha256(ARCHIVE).hexdigest(), filename="tiny.bin"
        )
    }

    def _split_generators(self, dl_manager):
        path = dl_manager.download("https://pictures.invalid/tiny.bin")
        return {"train": self._from_archive(path)}

    def _from_archive(self, path):
        for i in path.read_bytes():
            yield i, {"image": np.full(SHAPE, i, "uint8"), "label": i % 2}


def test_the_original_archive_can_be_put_there_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    dataset = tiny(name="tiny_archive")
    with pytest.raises(ValueError, match="put the original tiny.bin in .*/downloads/manual"):
        data.load(dataset, "train", tmp_path)
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    (manual / "tiny.bin").write_bytes(ARCHIVE)
    examples = data.load(dataset, "train", tmp_path)
    assert sorted(examples.images[:, 0, 0, 0]) == list(range(10))


def test_data_dir_must_exist(tmp_path):
    with pytest.raises(ValueError, match="existing folder.*nowhere"):
        data.load(tiny(), "train", tmp_path / "nowhere")


def refuse(*args, **kwargs):
    raise socket.gaierror(-2, "Name or service not known")


def stall(*args, **kwargs):
    time.sleep(30)


@pytest.mark.parametrize(
    ("lookup", "reason"), [(refuse, "Name or service not known"), (stall, "no answer from")]
)
def test_without_network_one_line_says_what_to_do(monkeypatch, tmp_path, lookup, reason):
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(tfds_builder, "PATIENCE", 2)
    for proxy in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
        monkeypatch.delenv(proxy.upper(), raising=False)
    start = time.monotonic()
    with pytest.raises(ValueError, match=reason) as error:
        data.load(data.SVHN, "train", tmp_path)
    assert time.monotonic() - start < 15
    message = str(error.value)
    assert "\n" not in message
    assert "--data_dir" in message
    assert "extra_32x32.mat, test_32x32.mat, train_32x32.mat in" in message
    assert f"{tmp_path}/downloads/manual" in message


def test_imagenet_must_be_downloaded_by_hand(tmp_path):
    with pytest.raises(ValueError, match=r"register on https://image-net\.org") as error:
        data.load(data.IMAGENET, "train", tmp_path)
    assert "\n" not in str(error.value)
    assert f"{tmp_path}/downloads/manual" in str(error.value)


def test_a_damaged_archive_is_one_line(tmp_path):
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    (manual / "cifar-10-binary.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(ValueError, match="could not prepare cifar10.*wrong checksum") as error:
        data.load(data.CIFAR10, "train", tmp_path)
    assert "\n" not in str(error.value)


def test_an_epoch_is_a_permutation_of_its_own():
    batches = data.train_batches(numbered(50), [], batch_size=10, seed=1, start=0, stop=10)
    epochs = np.reshape(rows_of(batches), (2, 50))
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(50))
    assert not np.array_equal(epochs[0], epochs[1])
    other = data.train_batches(numbered(50), [], batch_size=10, seed=2, start=0, stop=5)
    assert not np.array_equal(np.reshape(rows_of(other), 50), epochs[0])


def test_permutations_are_uniform():
    batches = data.train_batches(numbered(20), [], batch_size=20, seed=3, start=0, stop=4000)
    first = np.array(rows_of(batches))[:, 0]
    counts = np.bincount(first, minlength=20)
    chi_square = np.sum((counts - 200) ** 2 / 200)  # 19 degrees of freedom: 99.9 % below 43.8
    assert chi_square < 43.8


def test_the_remainder_is_dropped():
    batches = data.train_batches(numbered(25), [], batch_size=10, seed=1, start=0, stop=2)
    assert len(set(np.ravel(rows_of(batches)))) == 20


def test_a_short_epoch_is_the_head_of_the_long_one():
    arguments = {"batch_size": 10, "seed": 1, "start": 0}
    long = rows_of(data.train_batches(numbered(50), [], stop=10, **arguments))
    short = rows_of(data.train_batches(numbered(50), [], stop=4, steps_per_epoch=2, **arguments))
    assert short == [long[0], long[1], long[5], long[6]]


def test_a_transform_draws_alike_in_short_and_long_epochs():
    def draws(batch, seed):
        pixels = tf.random.stateless_uniform(batch["images"].shape, seed)
        return {**batch, "images": pixels}

    arguments = {"batch_size": 10, "seed": 1, "start": 0}
    long = list(data.train_batches(numbered(50), [draws], stop=6, **arguments))
    short = list(data.train_batches(numbered(50), [draws], stop=3, steps_per_epoch=2, **arguments))
    np.testing.assert_array_equal(long[5]["images"], short[2]["images"])
    assert not np.array_equal(long[4]["images"], long[5]["images"])


@pytest.mark.parametrize("steps_per_epoch", [0, 3])
def test_epochs_longer_than_the_data_are_refused(steps_per_epoch):
    with pytest.raises(ValueError, match=r"1 to 2 batches of 10 of the 25 .*steps_per_epoch="):
        data.train_batches(
            numbered(25),
            [],
            batch_size=10,
            seed=1,
            start=0,
            stop=1,
            steps_per_epoch=steps_per_epoch,
        )


def test_batches_larger_than_the_data_are_refused():
    with pytest.raises(ValueError, match="batch_size=26"):
        data.train_batches(numbered(25), [], batch_size=26, seed=1, start=0, stop=1)


def digests(start=0, parallel_calls=1):
    """A hash of every step of the second epoch of DIGITS."""
    batches = data.train_batches(
        data.load(data.DIGITS, "train"),
        [augment.RandomCrop(padding=4), augment.RandomFlip()],
        batch_size=128,
        seed=7,
        start=11 + start,
        stop=22,
        parallel_calls=parallel_calls,
    )
    return [
        hashlib.sha256(batch["images"].tobytes() + batch["labels"].tobytes()).hexdigest()
        for batch in batches.as_numpy_iterator()
    ]


def test_the_same_bytes_every_time():
    once = digests()
    assert len(set(once)) == 11
    assert digests() == once
    assert digests(parallel_calls=8) == once
    assert digests(start=5, parallel_calls=3) == once[5:]
    elsewhere = subprocess.run(
        [sys.executable, "-c", "import test_data; print(*test_data.digests(parallel_calls=4))"],
        cwd=pathlib.Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.split() == once


def test_batches_are_normalized():
    dataset = tiny()
    images = np.random.default_rng(0).integers(0, 256, (8, *SHAPE)).astype("uint8")
    examples = ArrayExamples(dataset, images, np.arange(8) % 2, ["even", "odd"])
    batch = next(data.evaluation_batches(examples, batch_size=8).as_numpy_iterator())
    expected = (images / 255 - dataset.mean) / dataset.std
    np.testing.assert_allclose(batch["images"], expected, atol=1e-6)
    np.testing.assert_array_equal(batch["labels"], np.eye(2)[np.arange(8) % 2])


def test_shapes_are_static():
    examples = numbered(25, classes=5)
    expected = {
        "images": tf.TensorSpec((10, *SHAPE), tf.float32),
        "labels": tf.TensorSpec((10, 5), tf.float32),
    }
    batches = data.train_batches(examples, [], batch_size=10, seed=1, start=0, stop=1)
    assert batches.element_spec == expected
    expected["weights"] = tf.TensorSpec((10,), tf.float32)
    assert data.evaluation_batches(examples, batch_size=10).element_spec == expected


def test_evaluation_sees_every_image_once():
    batches = list(data.evaluation_batches(numbered(25), batch_size=10).as_numpy_iterator())
    weights = np.concatenate([batch["weights"] for batch in batches])
    rows = np.concatenate([batch["images"][:, 0, 0, 0] for batch in batches])
    assert len(rows) == 30
    assert rows[weights == 1].tolist() == list(range(25))
    assert set(weights[25:]) == {0}


def test_keras_layers_mix_with_ours():
    layer = keras.layers.RandomBrightness(0.2)
    transforms = [augment.RandomFlip(), layer, augment.RandomCrop(padding=1)]
    batches = data.train_batches(numbered(20), transforms, batch_size=10, seed=1, start=0, stop=3)
    assert len(list(batches)) == 3
    assert data.stateful_transforms(transforms) == [layer]
    assert data.stateful_transforms(transforms[:1]) == []
