"""ResNet-8 with GCLU on CIFAR-10 (a row of the paper's Table 5).

    python train.py --recipe recipes/cifar10_gclu_resnet8.py

Cost and score: about 2.2 hours on two CPU cores (1,279 images/s); not run at full length. 5 epochs
(`--set epochs=5 --set warmup_epochs=1`) took 12 minutes beside other work and gave 69.86 %, seed 0.
"""

from functools import partial

from keras_rescnet import Recipe, augment, gclu
from keras_rescnet.data import CIFAR10
from keras_rescnet.models import CifarResNet8
from keras_rescnet.optimizers import SGD


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomCrop(padding=4), augment.RandomFlip()]


recipe = Recipe(
    dataset=CIFAR10,
    augment=transforms,
    model=partial(CifarResNet8, activation=gclu),
    optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
    batch_size=128,
    epochs=200,
    learning_rate=0.1,
    warmup_epochs=5,
    reference=88.38,  # % top-1 in the paper
)
