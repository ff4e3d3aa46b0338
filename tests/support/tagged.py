"""Pictures with tags in memory and in a CSV file, and small models and recipes for them."""

import csv
import dataclasses
import pathlib

import keras
import numpy as np
from PIL import Image

import keras_rescnet as kr
from keras_rescnet.data.array_examples import ArrayExamples
from support import noise

TAGS = ("blue", "green", "rare", "red")


def draw(count, seed):
    """Returns pictures `(count, 32, 32, 3)` and their tags: colours, and a rare white square."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((count, 4)) < (0.5, 0.5, 0.2, 0.5)).astype("uint8")
    images = generator.integers(0, 120, (count, 32, 32, 3))
    for channel, tag in enumerate(("red", "green", "blue")):
        images[..., channel] += 100 * labels[:, TAGS.index(tag), None, None]
    images[labels[:, TAGS.index("rare")] == 1, :12, :12] = 255
    return images.astype("uint8"), labels


def read(dataset, split, data_dir=None):
    """What a dataset reads in these tests: 40 training and 20 test pictures."""
    images, labels = draw(*{"train": (40, 0), "test": (20, 1)}[split])
    return ArrayExamples(dataset, images, labels, TAGS)


def write_csv(folder, train=40, test=20):
    """Writes pictures and `pictures.csv` into a folder; returns the file."""
    folder = pathlib.Path(folder)
    (folder / "images").mkdir(parents=True)
    rows = [("path", "tags", "split")]
    for split, (count, seed) in {"train": (train, 0), "test": (test, 1)}.items():
        for number, (image, label) in enumerate(zip(*draw(count, seed), strict=True)):
            path = f"images/{split}{number}.png"
            Image.fromarray(image).save(folder / path)
            rows.append((path, "|".join(t for t, y in zip(TAGS, label, strict=True) if y), split))
    with open(folder / "pictures.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "pictures.csv"


def model(input_shape, classes):
    """Without batch normalization and dropout, so that the order of rows decides nothing."""
    inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(8, 4, strides=4, activation="relu")(inputs)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(2)(x))
    return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32")(x))


dataset = kr.data.Dataset(
    name="coloured",
    read=read,
    image_shape=(32, 32, 3),
    classes=4,
    mean=(0.4,) * 3,
    std=(0.25,) * 3,
    class_names=TAGS,
    multi_label=True,
)
recipe = dataclasses.replace(
    noise.recipe,
    dataset=dataset,
    model=model,
    loss=kr.losses.binary_crossentropy,
    class_weights={"rare": 4.0},
    augment=lambda: [kr.augment.RandomChoice([kr.augment.MixUp(), kr.augment.CutMix()])],
    epochs=2,
)
