"""Does AlexNet fail with GELU because of GELU's slope at 0?

    python train.py --recipe recipes/alexnet_slopes.py:gelu-steep

Cost and score: 15 minutes on one of two CPU cores; none of the 6 has been run at full length.

In Table 5 of the paper AlexNet on CIFAR-100 ends at 57.65 % with ReLU, 62.33 % with GCLU, and
1.23 %, which is chance, with GELU. AlexNet does not normalize, and its initial weights make small
responses. To the left and right of 0, activations have slopes a and b, so that small responses are
multiplied by about sqrt((a^2 + b^2) / 2), seven times over: with ReLU by 0.71, with GELU by 0.5,
with GCLU by 1.12. Three of these recipes have the activation of another one's slope: `relu-steep`
and `gelu-steep` are multiples with the 1.12 of GCLU, `gclu-flat` is one with the 0.5 of GELU. If
slopes decide, these three end as what they were made like.

The network is a narrower AlexNet (3.2 of 57.2 million parameters), and 20 epochs take the place of
200. All else is Table 5's.
"""

import math
from functools import partial

import keras

from keras_rescnet import Recipe, augment, gclu, gelu
from keras_rescnet.data import CIFAR100
from keras_rescnet.models import AlexNet
from keras_rescnet.optimizers import SGD


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomCrop(padding=4), augment.RandomFlip()]


@keras.saving.register_keras_serializable("alexnet_slopes")
def relu_steep(x):
    """ReLU with the slopes of GCLU at 0, in the root mean square."""
    return math.sqrt(2.5) * keras.ops.relu(x)


@keras.saving.register_keras_serializable("alexnet_slopes")
def gelu_steep(x):
    """GELU with the slopes of GCLU at 0, in the root mean square."""
    return math.sqrt(5) * gelu(x)


@keras.saving.register_keras_serializable("alexnet_slopes")
def gclu_flat(x):
    """GCLU with the slopes of GELU at 0, in the root mean square."""
    return gclu(x) / math.sqrt(5)


activations = {
    "relu": "relu",
    "gelu": gelu,
    "gclu": gclu,
    "relu-steep": relu_steep,
    "gelu-steep": gelu_steep,
    "gclu-flat": gclu_flat,
}
recipes = {
    name: Recipe(
        dataset=CIFAR100,
        augment=transforms,
        model=partial(AlexNet, widths=(32, 96, 192, 128, 128), hidden=512, activation=activation),
        optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
        batch_size=128,
        epochs=20,
        learning_rate=0.1,
        warmup_epochs=5,
    )
    for name, activation in activations.items()
}
