"""ResNet-32 on CIFAR-10 (the ReLU row of ResNet-32 in the paper's Table 5: 93.72 %).

    python train.py --recipe recipes/cifar10_resnet32.py

Cost and score: about 6.9 hours on two CPU cores (404 images/s); not run.

Its calibrated twin is recipes/cifar10_rescnet32.py.
"""

from functools import partial

from keras_rescnet import Recipe, augment
from keras_rescnet.data import CIFAR10
from keras_rescnet.models import CifarResNet32
from keras_rescnet.optimizers import SGD


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomCrop(padding=4), augment.RandomFlip()]


recipe = Recipe(
    dataset=CIFAR10,
    augment=transforms,
    model=CifarResNet32,
    optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
    batch_size=128,
    epochs=200,
    learning_rate=0.1,
    warmup_epochs=5,
    reference=93.72,  # % top-1 in the paper
)
