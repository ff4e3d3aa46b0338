"""Trains Fashion-MNIST with Keras's `fit`, which continues exactly where it was stopped.

    python examples/resume_fit.py FOLDER

Stop it at any time, with Ctrl-C, `kill -9` or the power switch, and start it again.
"""

import sys

import keras
import tensorflow as tf

import keras_rescnet as kr


def train(folder, data=None, epochs=10):
    """Returns what `fit` returns, whether or not it was stopped on the way."""
    keras.utils.set_random_seed(0)
    (images, labels), validation = data or keras.datasets.fashion_mnist.load_data()
    rows = tf.data.Dataset.from_tensor_slices((images, labels))
    # The order of an epoch must follow from its number
    batches = kr.data.resumable(lambda epoch: rows.shuffle(len(images), seed=epoch).batch(128))
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    layers += [keras.layers.Dense(128, kr.gclu), keras.layers.Dropout(0.3), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input(images.shape[1:]), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model.fit(
        batches,
        epochs=epochs,
        validation_data=validation,
        callbacks=[keras.callbacks.EarlyStopping(patience=2), kr.ExactResume(folder, batches)],
        shuffle=False,  # which Keras does to arrays alone
    )


if __name__ == "__main__":
    train(sys.argv[1])
