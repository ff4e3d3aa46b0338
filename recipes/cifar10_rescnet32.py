"""ResCNet-32 on CIFAR-10 (a row of the paper's Table 1).

    python train.py --recipe recipes/cifar10_rescnet32.py

Cost and score: about 9.6 hours on two CPU cores (289 images/s); not run.

Its baseline is recipes/cifar10_resnet32.py.
"""

from functools import partial

from keras_rescnet import Recipe, augment
from keras_rescnet.data import CIFAR10
from keras_rescnet.models import CifarResCNet32
from keras_rescnet.optimizers import SGD


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomCrop(padding=4), augment.RandomFlip()]


recipe = Recipe(
    dataset=CIFAR10,
    augment=transforms,
    model=CifarResCNet32,
    optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
    batch_size=128,
    epochs=200,
    learning_rate=0.1,
    warmup_epochs=5,
    reference=93.79,  # % top-1 in the paper
)
