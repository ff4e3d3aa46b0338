"""Training methods beside calibration, each in a small network on scikit-learn's digits.

    python train.py --recipe recipes/methods.py:digits-advanced-dropout

Cost and score: none of the 4 has been run at full length.

They show how a method goes into a recipe; nothing was tuned. `digits-style-gradients` is in the
style of population gradients: a step has the mean gradient of four networks around the weights.
"""

import dataclasses
from functools import partial

import keras

from keras_rescnet import Recipe, augment, gclu
from keras_rescnet.callbacks import EarlyStopping
from keras_rescnet.data import DIGITS
from keras_rescnet.layers import AdvancedDropout, RegionMask, WeightNoise
from keras_rescnet.optimizers import SGD


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomCrop(padding=2)]


def dropout_network(input_shape, classes):
    """Dense layers with Advanced Dropout before each, as its authors place it."""
    inputs = keras.Input(input_shape)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(inputs))
    for name in ("first", "second"):
        x = AdvancedDropout(name=f"{name}_advanced_dropout")(x)
        x = keras.layers.Dense(128, activation=gclu, name=name)(x)
    x = AdvancedDropout(name="logits_advanced_dropout")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32", name="logits")(x))


def network(input_shape, classes, mask=None):
    """Two convolutions, and perhaps a mask over the regions of their map."""
    inputs = x = keras.Input(input_shape)
    for filters in (16, 32):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.Activation(gclu)(keras.layers.BatchNormalization()(x))
    x = x if mask is None else mask()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32", name="logits")(x))


def noisy_network(input_shape, classes):
    """The network above, every part of a batch with other weights around those that are trained."""
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, WeightNoise(network(input_shape, classes), noise=0.02)(inputs))


plain = Recipe(
    dataset=DIGITS,
    augment=transforms,
    model=network,
    optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
    batch_size=32,
    epochs=20,
    learning_rate=0.05,
    warmup_epochs=2,
)
recipes = {
    "digits-advanced-dropout": dataclasses.replace(
        plain,
        model=dropout_network,
        learning_rate_multipliers={"advanced_dropout": 1e-3},
    ),
    "digits-region-mask": dataclasses.replace(
        plain, model=partial(network, mask=partial(RegionMask, regularization=1e-2))
    ),
    "digits-style-gradients": dataclasses.replace(
        plain, model=noisy_network, gradient_accumulation_steps=4
    ),
    "digits-early-stopping": dataclasses.replace(
        plain, callbacks=lambda: [EarlyStopping("train_loss", patience=3)]
    ),
}
