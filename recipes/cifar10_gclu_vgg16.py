"""VGG-16 with GCLU on CIFAR-10 (Table 5 of the paper: 94.15 %).

    python train.py --recipe recipes/cifar10_gclu_vgg16.py

Cost and score: about 32 hours on two CPU cores (86.1 images/s); not run.

Numbers that the paper leaves open (weight decay, linear warm-up from 1 %) are those of the
authors' scripts. They do not clip gradients; this recipe does, to a norm of 5, so that short runs
without a warm-up survive: at the full learning rate the published recipe diverges within ten
steps, here and in PyTorch. recipes/table5.py has it as published.
"""

from functools import partial

from keras_rescnet import Recipe, augment, gclu
from keras_rescnet.data import CIFAR10
from keras_rescnet.models import VGG16
from keras_rescnet.optimizers import SGD


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomCrop(padding=4), augment.RandomFlip()]


recipe = Recipe(
    dataset=CIFAR10,
    augment=transforms,
    model=partial(VGG16, activation=gclu),
    optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
    batch_size=128,
    epochs=200,
    learning_rate=0.1,
    warmup_epochs=5,
    global_clipnorm=5.0,
    reference=94.15,  # % top-1 in the paper
)
