"""ResCNet-32 on CIFAR-10 with keras-cv's augmentations.

    python train.py --recipe recipes/cifar10_kerascv_rescnet32.py

Cost and score: about 9.6 hours on two CPU cores (289 images/s) and the time of the transforms; not
run.

The paper does not use these. They show keras-cv layers in a recipe, where they may stand in one
list with transforms of keras_rescnet.augment. keras-cv draws from its own generators, so a run
cannot be repeated bit for bit, and says so.
"""

from functools import partial

import keras_cv

from keras_rescnet import Recipe
from keras_rescnet.data import CIFAR10
from keras_rescnet.models import CifarResCNet32
from keras_rescnet.optimizers import SGD


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [
        keras_cv.layers.RandomFlip("horizontal"),
        keras_cv.layers.RandAugment(value_range=(0, 255), augmentations_per_image=2, magnitude=0.3),
        keras_cv.layers.RandomCrop(28, 28),
        keras_cv.layers.Resizing(32, 32),
        keras_cv.layers.RandomChoice(
            [keras_cv.layers.CutMix(), keras_cv.layers.MixUp()], batchwise=True
        ),
    ]


recipe = Recipe(
    dataset=CIFAR10,
    augment=transforms,
    model=CifarResCNet32,
    optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
    batch_size=128,
    epochs=200,
    learning_rate=0.1,
    warmup_epochs=5,
)
