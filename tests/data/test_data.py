"""Loading datasets, with and without a network."""

import dataclasses
import hashlib
import logging
import pathlib
import socket
import sys
import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from keras_rescnet import data
from keras_rescnet.data import ArrayExamples, tfds_builder, tfds_encoded
from keras_rescnet.mistake import Mistake
from support.tiny import SHAPE, TinyPictures, tiny


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    TinyPictures(data_dir=folder).download_and_prepare()
    return folder


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
    with pytest.raises(ValueError, match=r'pip install "keras_rescnet\[quickstart\]"'):
        data.DIGITS.read(data.DIGITS, "train")


def test_what_load_returns_is_examples():
    examples = data.load(data.DIGITS, "test")
    assert isinstance(examples, data.Examples)
    assert not isinstance(data.DIGITS, data.Examples)


def test_normalizing_is_undone_to_the_pixel():
    pixels = np.arange(256).repeat(3).reshape(1, 16, 16, 3).astype("uint8")
    images = data.SVHN.normalize(pixels)
    assert images.dtype == "float32"
    expected = (pixels / 255 - data.SVHN.mean) / data.SVHN.std
    np.testing.assert_allclose(images, expected, atol=1e-6)
    np.testing.assert_array_equal(data.SVHN.denormalize(images).round(), pixels)


@pytest.mark.parametrize("backend, calls", [("jax", [([], "GPU")]), ("tensorflow", [])])
@pytest.mark.parametrize("late", [False, True])
def test_tensorflow_leaves_the_gpus_to_jax(backend, calls, late, monkeypatch):
    found = []

    def hide(*arguments):
        found.append(arguments)
        if late:
            raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    monkeypatch.setattr(tf.config, "set_visible_devices", hide)
    data.load(data.DIGITS, "test")
    assert found == calls


def test_load_reads_each_split_once():
    assert data.load(data.DIGITS, "test") is data.load(data.DIGITS, "test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": [0.1, 0.2]}, r"`mean` must be a tuple of 3.*Received: mean=\(0.1, 0.2\)"),
        ({"mean": "0.1"}, r"`mean` must be a tuple of 3.*Received: mean='0.1'"),
        ({"mean": (125, 123, 114)}, r"`mean` must be in \[0, 1\]: .*mean=\(125, 123, 114\)"),
        ({"std": np.array([0.1, 0.2])}, r"`std` must be a tuple of 3.*Received: std=\(0.1, 0.2\)"),
        ({"std": (62.9, 62.1, 66.7)}, r"`std` must be positive and at most 1.*std=\(62.9"),
        ({"std": (0.1, 0.2, float("nan"))}, r"`std` must be a tuple of 3 numbers.*nan"),
        ({"std": (0.1, 0.2)}, r"`std` must be a tuple of 3.*Received: std=\(0.1, 0.2\)"),
        ({"std": (0.1, 0.2, 0)}, r"`std` must be positive.*Received: std=\(0.1, 0.2, 0\)"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(data.DIGITS, **changes)


def test_lists_and_arrays_become_tuples():
    """So that `load` can look up what it has read."""
    names = list("0123456789")
    dataset = dataclasses.replace(
        data.DIGITS,
        image_shape=[32, 32, 3],
        class_names=names,
        mean=[0.1, 0.2, 0.3],
        std=np.array([0.5, 0.25, 1]),
    )
    assert (dataset.image_shape, dataset.class_names) == ((32, 32, 3), tuple(names))
    assert (dataset.mean, dataset.std) == ((0.1, 0.2, 0.3), (0.5, 0.25, 1.0))
    assert data.load(dataset, "test") is data.load(dataset, "test")


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


@pytest.mark.parametrize("split", ["train", "test", "train+test", "train[2:5]"])
def test_tfds_arrays_are_in_the_order_of_tfds(data_dir, split, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("absl"), "propagate", True)
    read = data.load(tiny(train_split=split), "train", data_dir)
    original = list(tfds.load("tiny_pictures", split=split, data_dir=data_dir).as_numpy_iterator())
    np.testing.assert_array_equal(read.images, [example["image"] for example in original])
    np.testing.assert_array_equal(read.labels, [example["label"] for example in original])
    assert read.images.dtype == "uint8"
    assert not caplog.records  # a user would read TFDS's warnings at every start


@pytest.fixture(scope="module")
def data_dir_of_shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    config = tfds.download.DownloadConfig(num_shards=3)
    TinyPictures(data_dir=folder).download_and_prepare(download_config=config)
    return folder


@pytest.mark.parametrize("split", ["train", "train+test", "train[2:5]", "test[:1]+train[50%:]"])
def test_tfds_files_are_read_by_random_access(data_dir_of_shards, split):
    """In the order of the files, which for several of them is not that of `tfds.load`."""
    dataset = tiny(train_split=split, read=tfds_encoded.read)
    read = data.load(dataset, "train", data_dir_of_shards)
    source = tfds.load("tiny_pictures", split=split, data_dir=data_dir_of_shards)
    originals = {int(e["image"][0, 0, 0]): int(e["label"]) for e in source.as_numpy_iterator()}
    pictures, labels = read.fetch(np.arange(len(read)))
    decoded = [tf.io.decode_png(picture).numpy() for picture in pictures]
    assert {int(p[0, 0, 0]): int(label) for p, label in zip(decoded, labels, strict=True)} == (
        originals
    )
    assert len(read) == len(originals)
    backwards = read.fetch(np.arange(len(read))[::-1])[1]
    np.testing.assert_array_equal(backwards, labels[::-1])


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
        ({"train_split": "train+extra"}, r"Unknown split 'extra'.*splits \['test', 'train'\]"),
        ({"train_split": "train[:ten]"}, r"Error parsing split 'train\[:ten\]'.*splits \['test'"),
        ({"train_split": "train[:11]"}, r"slice \[:11\] incompatible with 10 examples.*splits"),
        ({"train_split": "train[:0]"}, r"in the split 'train\[:0\]': there are none.*splits"),
        (
            {"name": "no_such_pictures"},
            "must be that of a dataset of TFDS.*name='no_such_pictures'",
        ),
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


class TinyScans(tfds.core.GeneratorBasedBuilder):
    """Pictures of several sizes, and numbers that are no classes."""

    pkg_dir_path = pathlib.Path(__file__).parent  # TFDS would look for a package
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, version="1.0.0") for name in ("sizes", "numbers")
    ]

    def _info(self):
        labels = {"sizes": tfds.features.ClassLabel(num_classes=2), "numbers": np.int64}
        features = {"image": tfds.features.Image(), "label": labels[self.builder_config.name]}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(2):
            yield i, {"image": np.full((4 + i, 6, 3), 90 * i, "uint8"), "label": i}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("sizes", r"one size to be held in memory; kr.data.IMAGENET's `read` .*\(None, None, 3\)"),
        ("numbers", r"features 'image' and 'label', a ClassLabel;.*\['image', 'label'\]"),
    ],
)
def test_what_does_not_fit_into_arrays_is_refused(tmp_path, config, message):
    with pytest.raises(Mistake, match=message):
        data.load(tiny(name=f"tiny_scans/{config}"), "train", tmp_path)


def test_a_set_of_tfds_is_prepared_as_imagenet_and_its_one_split_divided(tmp_path):
    scans = dataclasses.replace(
        data.IMAGENET,
        name="tiny_scans/sizes",
        image_shape=(8, 8, 3),
        classes=2,
        train_split="train[:1]",
        test_split="train[1:]",
    )
    grey = []
    for split in ("train", "test"):
        examples = data.load(scans, split, tmp_path)
        assert len(examples) == 1
        (batch,) = data.evaluation_batches(examples, batch_size=1)
        grey.append(int(scans.denormalize(batch["images"].numpy()).mean().round()))
        assert batch["labels"].numpy().argmax() == grey[-1] // 90
    assert sorted(grey) == [0, 90]


def test_data_dir_must_exist(tmp_path):
    with pytest.raises(ValueError, match="existing folder.*nowhere"):
        data.load(tiny(), "train", tmp_path / "nowhere")


def refuse(*args, **kwargs):
    raise socket.gaierror(-2, "Name or service not known")


def stall(*args, **kwargs):
    time.sleep(30)
    refuse()


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


def test_a_server_that_speaks_no_http_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"what?\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        problem = tfds_builder.no_answer(f"http://127.0.0.1:{server.getsockname()[1]}/file")
    assert problem == "127.0.0.1: what?"


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
