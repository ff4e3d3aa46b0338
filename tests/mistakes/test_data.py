"""What is wrong with datasets, examples, batches, transforms and folders is one line."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_rescnet import augment, data
from support.pictures import picture
from support.tiny import SHAPE, tiny

IMAGES = np.zeros((4, *SHAPE), "uint8")
LABELS = np.array([0, 1, 0, 1])
NAMES = ["even", "odd"]
BATCH = {"images": IMAGES, "labels": np.eye(2)[LABELS]}
SEED = (0, 1)


def examples():
    return data.ArrayExamples(tiny(), IMAGES, LABELS, NAMES)


def arrays(images=IMAGES, labels=LABELS, names=NAMES):
    return data.ArrayExamples(tiny(), images, labels, names)


def encoded(dataset, count=4, labels=(0, 1)):
    def fetch(indices):
        return np.array([b"", b""], object), np.array(labels)

    return data.EncodedExamples(dataset, count, fetch, NAMES)


def train(transforms=(), source=None, **changes):
    arguments = {"batch_size": 2, "seed": 0, "start": 0, "stop": 2, **changes}
    return data.train_batches(source or examples(), list(transforms), **arguments)


def evaluate(**changes):
    return data.evaluation_batches(**{"examples": examples(), "batch_size": 2, **changes})


def flip(batch=BATCH, seed=SEED):
    return augment.RandomFlip()(batch, seed)


def batch(**changes):
    return {**BATCH, **changes}


def unloaded():
    found = examples()
    found.dataset = dataclasses.replace(found.dataset, mean=None)
    return found


class Unhashable:
    __hash__ = None

    def __call__(self, dataset, split, data_dir):
        return examples()


DATASETS = {
    "a list of one number for mean": (lambda: tiny(mean=[0.5]), r"`mean` must be a tuple of 3"),
    "a number for mean": (lambda: tiny(mean=0.5), r"`mean` .* per channel. Received: mean=0.5"),
    "names for std": (lambda: tiny(std=("a", "b", "c")), r"`std` must be a tuple of 3 numbers"),
    "mean of pixels": (lambda: tiny(mean=(125, 123, 114)), r"in \[0, 1\]: .* divided by 255"),
    "std of pixels": (lambda: tiny(std=(62.9, 62.1, 66.7)), "at most 1: pixels are divided"),
    "std of 0": (lambda: tiny(std=(0.5, 0, 0.5)), "positive and at most 1"),
    "mean not a number": (lambda: tiny(mean=(0.5, float("nan"), 0.5)), "3 numbers.*nan"),
    "negative mean": (lambda: tiny(mean=(0.5, -0.1, 0.5)), r"`mean` must be in \[0, 1\]"),
    "two numbers for a shape": (lambda: tiny(image_shape=(32, 32)), "`image_shape` must be height"),
    "one number for a shape": (lambda: tiny(image_shape=32), r"\(32, 32, 3\). Received: .*=32"),
    "a side of 0": (lambda: tiny(image_shape=(0, 32, 3)), r"Received: image_shape=\(0, 32, 3\)"),
    "a shape of floats": (lambda: tiny(image_shape=(32.0, 32, 3)), r"Received: .*\(32.0, 32, 3\)"),
    "one class": (lambda: tiny(classes=1), "`classes` must be an integer, at least 2.*classes=1"),
    "classes as text": (lambda: tiny(classes="10"), "`classes` must be an integer.*='10'"),
    "three names for two classes": (lambda: tiny(class_names=["a", "b", "c"]), "2 class"),
    "names as one text": (lambda: tiny(class_names="ab"), "`class_names` must be a tuple.*'ab'"),
    "numbers for names": (lambda: tiny(class_names=(0, 1)), r"a tuple of names.*\(0, 1\)"),
    "no name": (lambda: tiny(name=""), "`name` must be a name. Received: name=''"),
    "a split that is no text": (lambda: tiny(train_split=None), "`train_split` must be a name"),
    "read is a path": (lambda: tiny(read="train.npz"), "`read` must be a function.*'train.npz'"),
    "read is not hashable": (lambda: tiny(read=Unhashable()), "`read` must be hashable"),
    "statistics before loading": (
        lambda: data.image_folder("somewhere").normalize(IMAGES),
        'must be known.*load\\(dataset, "train"\\).dataset. Received: mean=None',
    ),
}
LOADS = {
    "load by name": (lambda: data.load("digits", "train"), "must be a Dataset.*dataset='digits'"),
    "load a class": (lambda: data.load(data.Dataset, "train"), "`dataset` must be a Dataset"),
    "load another split": (lambda: data.load(data.DIGITS, "val"), "'train' or 'test'.*'val'"),
    "load a list of splits": (lambda: data.load(data.DIGITS, ["train"]), r"split=\['train'\]"),
    "load from a number": (lambda: data.load(data.DIGITS, "train", 3), "must be a folder.*=3"),
    "load from nowhere": (lambda: data.load(tiny(), "train", "/no/such"), "existing folder.*/no/s"),
    "a name that TFDS cannot parse": (
        lambda: data.load(tiny(name="a b"), "train", "."),
        "TFDS cannot open a dataset: .*Received: name='a b', data_dir='.'",
    ),
    "a version that TFDS lacks": (
        lambda: data.load(tiny(name="cifar10:9.9.9"), "train", "."),
        "TFDS cannot open a dataset: .*Received: name='cifar10:9.9.9'",
    ),
    "a name that TFDS lacks": (
        lambda: data.load(tiny(name="no_such_pictures"), "train", "."),
        "`name` must be that of a dataset of TFDS.*name='no_such_pictures'",
    ),
    "read returns nothing": (
        lambda: data.load(tiny(read=lambda *arguments: None), "train"),
        "`read` of tiny_pictures must return Examples.*Received: NoneType",
    ),
}
EXAMPLES = {
    "one-hot labels": (lambda: arrays(labels=np.eye(2)[LABELS]), r"argmax\(axis=1\).*\(4, 2\)"),
    "a column of labels": (lambda: arrays(labels=LABELS[:, None]), r"labels\[:, 0\].*\(4, 1\)"),
    "labels as floats": (lambda: arrays(labels=LABELS / 1.0), "integers.*float64 of shape"),
    "labels as text": (lambda: arrays(labels=["a", "b", "a", "b"]), "integers.*Received: <U1"),
    "a label too large": (lambda: arrays(labels=[0, 1, 2, 7]), "from 0 to 1. Received: 2 other"),
    "a negative label": (lambda: arrays(labels=[0, 1, -1, 0]), "1 other labels, such as -1"),
    "images of two sizes": (
        lambda: arrays([IMAGES[0], IMAGES[1, :2], *IMAGES[2:]]),
        "images of tiny_pictures must be one array.*a list of 4 that differ in shape",
    ),
    "labels of two lengths": (
        lambda: arrays(labels=[[0], [0, 1], [1], [0]]),
        "labels of tiny_pictures must be one array.*a list of 4 that differ in shape",
    ),
    "no examples": (lambda: arrays(IMAGES[:0], LABELS[:0]), r"int64 of shape \(0,\)"),
    "more labels than images": (lambda: arrays(IMAGES[:3]), r"\(4, 4, 4, 3\).*\(3, 4, 4, 3\)"),
    "one image": (lambda: arrays(IMAGES[0], [0]), r"uint8 of shape \(1, 4, 4, 3\), pixels"),
    "images as floats": (lambda: arrays(IMAGES / 255), "from 0 to 255. Received: float64"),
    "images of another size": (lambda: arrays(IMAGES[:, :2]), r"Received: uint8 .*\(4, 2, 4, 3\)"),
    "channels first": (lambda: arrays(np.moveaxis(IMAGES, 3, 1)), r"\(4, 3, 4, 4\)"),
    "three names": (lambda: arrays(names=["a", "b", "c"]), "2 classes. Received: 3 class"),
    "names that are none": (lambda: arrays(names=None), "`class_names` must be a tuple"),
    "classes that read has not put in": (
        lambda: data.ArrayExamples(tiny(classes=None), IMAGES, LABELS, NAMES),
        r"dataclasses.replace\(dataset, classes=...\). Received: classes=None of tiny_pictures",
    ),
    "classes that read has not put in, encoded": (
        lambda: encoded(tiny(classes=None)),
        "must put their number into the dataset",
    ),
    "labels of no class, encoded": (
        lambda: encoded(tiny(), labels=[0, 5])._fetch_checked(np.arange(2)),
        "must be from 0 to 1. Received: 5",
    ),
    "a count of nothing": (lambda: encoded(tiny(), count=0), "positive integer.*count=0"),
    "encoded oblong images": (lambda: encoded(tiny(image_shape=(4, 8, 3))), "must be square"),
    "encoded grey images": (
        lambda: encoded(tiny(image_shape=(4, 4, 1), mean=(0.5,), std=(0.5,))),
        "with 3 channels",
    ),
}
BATCHES = {
    "batches of a dataset": (lambda: train(source=data.DIGITS), "what kr.data.load"),
    "evaluation of arrays": (lambda: evaluate(examples=IMAGES), "what kr.data.load.*examples=arr"),
    "batch_size of 0": (lambda: train(batch_size=0), "positive integer.*batch_size=0"),
    "batch_size as a float": (lambda: train(batch_size=2.0), "positive integer.*batch_size=2.0"),
    "evaluation with batch_size 0": (lambda: evaluate(batch_size=0), "positive integer.*size=0"),
    "batches larger than the data": (lambda: train(batch_size=5), "at most 4, .*batch_size=5"),
    "too many steps per epoch": (lambda: train(steps_per_epoch=3), "1 to 2 batches.*epoch=3"),
    "half a step per epoch": (lambda: train(steps_per_epoch=0.5), "Received: .*per_epoch=0.5"),
    "a seed of two": (lambda: train(seed=(0, 1)), r"`seed` must be an integer.*\(0, 1\)"),
    "a seed too large": (
        lambda: train(seed=2**63),
        "`seed` must be an integer.*9223372036854775808",
    ),
    "a seed of text": (lambda: train(seed="1"), "`seed` must be an integer.*'1'"),
    "a negative start": (lambda: train(start=-1), "`start` must be an integer, at least 0"),
    "stop before start": (lambda: train(start=4, stop=2), "`stop` must be .* at least 4.*stop=2"),
    "shards that do not divide": (lambda: train(num_shards=3), "must divide `batch_size`"),
    "a shard too far": (lambda: train(num_shards=2, shard_index=2), "from 0 to 1.*index=2"),
    "no shards": (lambda: evaluate(num_shards=0), "positive integer.*num_shards=0"),
    "parallel_calls of 0": (lambda: evaluate(parallel_calls=0), "positive.*parallel_calls=0"),
    "transforms as one": (
        lambda: data.train_batches(
            examples(), augment.RandomFlip(), batch_size=2, seed=0, start=0, stop=1
        ),
        r"a list of transforms, such as",
    ),
    "a transform by name": (lambda: train(["flip"]), "a list of transforms.*Received: 'flip'"),
    "a transform that is a class": (lambda: train([augment.MixUp]), "Received: <class .*MixUp"),
    "a transform for 0 to 1": (
        lambda: train([augment.RandAugment(value_range=(0, 1))]),
        r"\[0, 255\].*RandAugment with value_range=\(0, 1\)",
    ),
    "a layer for 0 to 1": (
        lambda: train([keras.layers.RandomBrightness(0.1, value_range=(0, 1))]),
        "RandomBrightness with value_range=",
    ),
    "a transform that returns nothing": (
        lambda: train([lambda batch, seed: None]),
        'must return a batch {"images", "labels"}. Received: NoneType from <lambda>',
    ),
    "a transform that returns a pair": (
        lambda: train([lambda batch, seed: (batch["images"], batch["labels"])]),
        "Received: tuple from <lambda>",
    ),
    "a transform that loses labels": (
        lambda: train([lambda batch, seed: {"images": batch["images"]}]),
        r"Received: \['images'\] from <lambda>",
    ),
    "statistics that are not known": (
        lambda: train(source=unloaded()),
        "`mean` of tiny_pictures must be known",
    ),
    "a crop to another size": (
        lambda: train([augment.RandomResizedCrop(8)]),
        r"\(2, 4, 4, 3\) after all transforms. Received: \(2, 8, 8, 3\)",
    ),
    "labels made numbers": (
        lambda: train([lambda b, seed: {**b, "labels": tf.argmax(b["labels"], 1)}]),
        r"labels in batches .*\(2, 2\).* Received: \(2,\)",
    ),
}
TRANSFORMS = {
    "padding of 0": (lambda: augment.RandomCrop(0), "positive integer.*padding=0"),
    "padding of True": (lambda: augment.RandomCrop(True), "positive integer.*padding=True"),
    "a probability of 2": (lambda: augment.RandomFlip(2), r"\[0, 1\].*probability=2"),
    "a probability of text": (lambda: augment.RandomFlip("half"), r"\[0, 1\].*'half'"),
    "a probability not a number": (lambda: augment.RandomFlip(float("nan")), r"\[0, 1\].*nan"),
    "a policy of lists": (lambda: augment.AutoAugment(["svhn"]), r"`policy` .*policy=\['svhn'\]"),
    "another policy": (lambda: augment.AutoAugment("cifar"), "'imagenet'.*policy='cifar'"),
    "half an operation": (lambda: augment.RandAugment(0.5), "positive integer.*operations=0.5"),
    "a magnitude of 31": (lambda: augment.RandAugment(2, 31), "from 0 to 30.*magnitude=31"),
    "a range of one number": (lambda: augment.RandAugment(value_range=1), "`value_range` must be"),
    "a range upside down": (lambda: augment.ColorJitter(0.1, value_range=(1, 0)), r"\(1, 0\)"),
    "one scale": (lambda: augment.RandomErasing(scale=0.3), "`scale` must be two.*scale=0.3"),
    "a falling ratio": (lambda: augment.RandomResizedCrop(8, ratio=(2, 1)), "`ratio` must be two"),
    "a value above its range": (
        lambda: augment.RandomErasing(value=124, value_range=(0, 1)),
        r"in \[0, 1\]. Received: value=124",
    ),
    "a side as text": (lambda: augment.Cutout("16"), "`length` must be an integer.*'16'"),
    "alpha of text": (lambda: augment.MixUp("0.2"), "`alpha` must be a positive number.*'0.2'"),
    "endless alpha": (lambda: augment.CutMix(float("inf")), "positive number.*alpha=inf"),
    "brightness as a range": (
        lambda: augment.ColorJitter(brightness=(0.8, 1.2)),
        r"`brightness` must be a number.*\(0.8, 1.2\)",
    ),
    "a choice of nothing": (lambda: augment.RandomChoice([]), r"at least one.*Received: \[\]"),
    "a choice of one": (lambda: augment.RandomChoice(augment.MixUp()), "a list.*Received: MixUp"),
    "a choice of classes": (lambda: augment.RandomChoice([augment.MixUp]), r"Received: \['type'\]"),
    "a choice of layers": (
        lambda: augment.RandomChoice([keras.layers.RandomFlip()]),
        r"Received: \['RandomFlip'\]",
    ),
    "one image to flip": (lambda: flip(batch(images=IMAGES[0])), r"images\[None\].*\(4, 4, 3\)"),
    "images to flip, alone": (lambda: flip(IMAGES), "must be a dict.*batch=ndarray"),
    "a batch under other names": (lambda: flip({"x": IMAGES}), r"dict.*Received: batch=\['x'\]"),
    "images as text": (lambda: flip(batch(images="cat.png")), r"\(N, H, W, C\).*Received: images"),
    "images of several sizes": (
        lambda: flip(batch(images=[np.zeros((2, 2, 3)), np.zeros((3, 3, 3))])),
        "one array .*Received: images=list",
    ),
    "one number for a seed": (lambda: flip(seed=3), "two integers.*seed=3"),
    "a seed of floats": (lambda: flip(seed=(0.0, 1.0)), r"two integers.*seed=\(0.0, 1.0\)"),
    "no seed": (lambda: flip(seed=None), "two integers.*seed=None"),
    "labels as numbers": (
        lambda: augment.MixUp()(batch(labels=LABELS), SEED),
        "MixUp mixes labels, which must be one-hot",
    ),
    "no labels to mix": (lambda: augment.CutMix()({"images": IMAGES}, SEED), "without labels"),
    "labels of another batch": (
        lambda: augment.MixUp()(batch(labels=np.eye(2)), SEED),
        r"labels of shape \(2, 2\), float64, for 4 images",
    ),
    "images from 0 to 1": (
        lambda: augment.RandAugment()(batch(images=np.random.rand(4, *SHAPE)), SEED),
        r"needs images in \[0, 255\].*Received: images from 0",
    ),
    "grey images": (
        lambda: augment.AutoAugment("svhn")(batch(images=IMAGES[..., :1]), SEED),
        r"AutoAugment needs images of 3 channels.*\(4, 4, 4, 1\)",
    ),
}
ALL = {**DATASETS, **LOADS, **EXAMPLES, **BATCHES, **TRANSFORMS}


@pytest.mark.parametrize("name", ALL)
def test_what_is_wrong_is_one_line(name, assert_refused):
    assert_refused(*ALL[name])


FOLDERS = {
    "no folder": ("", {}, "must be an existing folder.*nowhere"),
    "size of 0": (None, {"size": 0}, "positive integer.*size=0"),
    "a share above 1": (None, {"validation_share": 2}, r"\[0, 1\].*validation_share=2"),
    "a share of all": (None, {"validation_share": 1}, "between 0 and 1.*validation_share=1"),
    "a share as text": (None, {"unreadable_share": "1%"}, r"\[0, 1\].*unreadable_share='1%'"),
    "a share beside val": ("train/a val/a", {"validation_share": 0.1}, "without pictures to val"),
    "no train": ("val/a val/b", {}, "no folder 'train', but .'val'"),
    "no val": ("train/a train/b", {}, "no folder 'val', but .'train'.*|validation_share=0.1"),
    "one class": ("train/a val/a", {}, "two classes or more.*'a'"),
    "an empty class": ("train/a train/b/ val/a", {}, "must have pictures. Received: none in .*b"),
    "nothing to test with": ("train/a train/b val/a/", {}, "pictures to test with. Received: none"),
    "a class of val alone": ("train/a train/b val/c", {}, r"must be in train too.*\['c'\]"),
    "a share of one picture": ("train/a train/b", {"validation_share": 0.5}, "1 pictures of 'a'"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_wrong_with_a_folder_is_one_line(name, tmp_path, assert_refused):
    classes, options, pattern = FOLDERS[name]
    root = tmp_path if classes else tmp_path / "nowhere"
    for path in (classes or "").split():
        (root / path).mkdir(parents=True)
        if not path.endswith("/"):
            picture(1, 8, 8).save(root / path / "1.png")
    assert_refused(lambda: data.load(data.image_folder(root, **options), "train"), pattern)
