"""What the processes do that the trials kill."""

import dataclasses
import functools
import json
import os
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_rescnet as kr
from keras_rescnet import files
from support import noise

FIT_EPOCHS, TRAIN_EPOCHS = 8, 16
TIMEOUT = 120  # seconds that a process waits for another, on a machine that others use too
STEPS, BATCH_SIZE = 8, 64


@functools.cache
def load_digits():
    return kr.data.load(kr.data.DIGITS, "train")


def batches_of(epoch):
    """Returns the batches of an epoch of the digits, in an order of its own.

    Plain `tf.data`: the transforms of `kr.augment` take longer to trace than all steps to run.
    """
    digits = load_digits()
    chosen = np.random.default_rng(epoch).permutation(len(digits))[: STEPS * BATCH_SIZE]
    labels = keras.utils.to_categorical(digits.labels[chosen], 10)
    pictures = kr.data.DIGITS.normalize(digits.images[chosen])
    return tf.data.Dataset.from_tensor_slices((pictures, labels)).batch(BATCH_SIZE)


def network():
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(8, 4, strides=4),
            keras.layers.BatchNormalization(),
            kr.layers.GCLU(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


def fit(folder, resumed):
    """Trains the digits with Keras's `fit`, and leaves all it has come to in `end.npz`.

    Args:
        folder: Where it works.
        resumed: Whether with `ExactResume`, or as Keras does it alone.
    """
    folder = _quiet(folder)
    keras.utils.set_random_seed(1)
    batches, options = kr.data.resumable(batches_of), {}
    callbacks = [
        keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau("loss", patience=1, factor=0.5, min_delta=0.2),
        keras.callbacks.ModelCheckpoint(folder / "best.weights.h5", save_weights_only=True,
                                        save_best_only=True),
        keras.callbacks.CSVLogger(folder / "log.csv"),
    ]  # fmt: skip
    if resumed:
        callbacks.append(kr.ExactResume(folder / "resume", batches, checkpoint_minutes=0))
    else:
        parts = [batches_of(epoch) for epoch in range(FIT_EPOCHS)]
        batches, options = parts[0], {"steps_per_epoch": STEPS}
        for part in parts[1:]:
            batches = batches.concatenate(part)
    test = kr.data.load(kr.data.DIGITS, "test")
    model = network()
    history = model.fit(
        batches,
        epochs=FIT_EPOCHS,
        validation_data=kr.data.evaluation_batches(test, batch_size=120, as_tuples=True),
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
        **options,
    )
    end = {f"{i}": np.array(v) for i, v in enumerate(model.variables + model.optimizer.variables)}
    model.load_weights(folder / "best.weights.h5")
    end |= {f"best {i}": np.array(v) for i, v in enumerate(model.variables)}
    end["words"] = np.array(json.dumps([history.history, (folder / "log.csv").read_text()]))
    with files.write_aside(folder / "end.npz") as path:
        np.savez(path, **end)


def train(folder):
    """Trains a recipe with `kr.train`."""
    folder = _quiet(folder)
    kr.train(dataclasses.replace(noise.recipe, epochs=TRAIN_EPOCHS), folder / "run")


def member(folder, addresses, index):
    """Trains a recipe with `kr.train` as one of two processes."""
    folder = _quiet(folder)
    os.environ["KERAS_DISTRIBUTION_JOB_ADDRESSES"] = addresses
    os.environ["KERAS_DISTRIBUTION_NUM_PROCESSES"] = "2"
    os.environ["KERAS_DISTRIBUTION_PROCESS_ID"] = str(index)
    recipe = dataclasses.replace(noise.recipes["same_everywhere"], epochs=TRAIN_EPOCHS)
    try:
        kr.train(recipe, folder / "run", timeout=TIMEOUT)
    except ConnectionError as error:
        print(error, flush=True)
        os._exit(4)  # as the commands do: an orderly exit waits for the process that is gone


def _quiet(folder):
    """Sends what is printed into a file, so that the trials' own lines can be read."""
    folder = pathlib.Path(folder)
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout.flush()
    return folder
