"""Recipes that train small models on pictures of noise, for the tests of the trainer."""

import dataclasses
import functools
import os

import keras
import numpy as np
import tensorflow as tf

import keras_rescnet
from keras_rescnet import Recipe, augment
from keras_rescnet.data import DIGITS
from keras_rescnet.data.array_examples import ArrayExamples
from keras_rescnet.layers.batch_normalization import BatchNormalization
from keras_rescnet.models import Airbench94
from keras_rescnet.optimizers import SGD, Muon
from keras_rescnet.schedules import linear_decay


def random_pictures(dataset, split, data_dir=None):
    """What a dataset reads in these tests: 40 training and 20 test pictures of noise.

    With a number as `data_dir` they are others.
    """
    generator = np.random.default_rng(int(data_dir or 0))
    count = 40 if split == "train" else 20
    images = generator.integers(0, 256, (count, *dataset.image_shape), "uint8")
    labels = generator.integers(0, dataset.classes, count)
    if dataset.multi_label:
        labels = generator.integers(0, 2, (count, dataset.classes))
    names = dataset.class_names or tuple(f"class {i}" for i in range(dataset.classes))
    return ArrayExamples(dataset, images, labels, names)


def with_random_pictures(recipe, **changes):
    dataset = dataclasses.replace(recipe.dataset, read=random_pictures)
    if dataset.classes is None:  # a folder or a table of pictures: known when it is read
        facts = {"classes": 3, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}
        tags = recipe.loss is keras_rescnet.losses.binary_crossentropy
        dataset = dataclasses.replace(dataset, **facts, multi_label=tags)
    return dataclasses.replace(recipe, dataset=dataset, **changes)


def model(input_shape, classes, dropout):
    """Small, with all that a checkpoint must hold: normalization, dropout, GCLU."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(4, 3, strides=4),
            BatchNormalization(),
            keras_rescnet.layers.GCLU(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(classes, dtype="float32", name="logits"),
        ],
        name="small",
    )


def transforms():
    """Returns the transforms of most recipes."""
    return [augment.RandomCrop(padding=4), augment.RandomFlip()]


def adapt(model, images):
    """Computes the whitening kernel from all pictures.

    On a processor that rounds in another way where the environment has `OTHER_WEIGHTS`.
    """
    layer = model.get_layer("whitening")
    layer.adapt(images)
    if "OTHER_WEIGHTS" in os.environ:
        layer.kernel.assign(layer.kernel * np.float32(1 + 1e-6))


def alternating():
    """Returns the transforms of fast recipes."""
    return [augment.RandomCrop(padding=2, padding_mode="reflect"), augment.AlternatingFlip()]


def failing(batch, rows):
    """A transform that finds a broken picture where the environment has `BROKEN_PICTURE`."""
    if "BROKEN_PICTURE" in os.environ:
        tf.debugging.Assert(tf.reduce_sum(batch["images"]) < 0, ["a broken picture"])
    return batch


recipe = Recipe(
    dataset=dataclasses.replace(DIGITS, read=random_pictures),
    augment=transforms,
    model=functools.partial(model, dropout=0.5),
    optimizer=functools.partial(SGD, momentum=0.9, weight_decay=5e-4),
    batch_size=8,
    epochs=3,
    learning_rate=0.1,
    warmup_epochs=1,
)
FAST = {  # all that a fast recipe has
    "augment": alternating,
    "model": functools.partial(Airbench94, widths=(4, 8), activation=keras_rescnet.gclu),
    "adapt": adapt,
    "optimizer": functools.partial(Muon, weight_decay=0.01),
    "learning_rate": 0.2,
    "decay": linear_decay,
    "schedule_per_step": True,
    "warmup_epochs": 0,
    "learning_rate_multipliers": {"logits": 0.1, "(beta|bias)$": 3.0},
    "weight_decay_multipliers": {"beta": 0.0},
    "test_views": keras_rescnet.views.mirrored_and_shifted,
}
recipes = {
    "dropout": recipe,
    "same_everywhere": dataclasses.replace(
        recipe, model=functools.partial(model, dropout=0.0), synchronized_bn=True
    ),
    "failing": dataclasses.replace(recipe, augment=lambda: [failing]),
    "fast": dataclasses.replace(recipe, **FAST),
}
