"""Table 3 of the paper: tricks of training on CIFAR-100, each added to all before it.

    python train.py --recipe recipes/table3.py:cifar100-rescnet50-cutmix
    python train.py --recipe recipes/table3.py:cifar100-rescnet50-distributed --devices 2

Cost and score: on two CPU cores, a run of 200 epochs takes about 141 hours with ResNet-50 (19.6
images/s) and 160 with ResCNet-50 (17.3 images/s); none of the 18 has been run at full length.

The last row is the one before it on two devices with 128 images each and batch statistics per
device, as in the authors' script; it needs `--devices 2`.

Where the paper is silent or differs from the scripts, this file has:
- The networks from the second row on keep 8 x 8 pixels in their last stage, beside the shortcut of
  ResNet-D, because the authors' only network with that shortcut does.
- From the row "cutmix" on, each batch has either Mixup or Cutmix, with equal probability.
- Random erasing erases squares of 8 to 10 pixels (scale 0.0625-0.1, ratio 0.99-1).
- The minimum learning rate is 1e-6 from "long" on, as in all scripts of 300 epochs.
- The learning rate stays 0.1 for 256 images; mixed precision comes with them.
- The reduction of ResCNet-50 is 16, except in the last row, where it grows with the width, as in
  the only script for that row. Scripts for 256 images exist with both.
"""

import dataclasses
from functools import partial

from keras_rescnet import Recipe, augment
from keras_rescnet.data import CIFAR100
from keras_rescnet.models import (
    CifarResCNet50,
    CifarResCNet50D,
    CifarResCNet50DV2,
    CifarResNet50,
    CifarResNet50D,
)
from keras_rescnet.optimizers import SGD


def cropped_and_flipped():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomCrop(padding=4), augment.RandomFlip()]


def autoaugmented():
    """The CIFAR-10 policy, for CIFAR-100 as well."""
    return [*cropped_and_flipped(), augment.AutoAugment("cifar10")]


def erased():
    """What is erased is 0 after normalization."""
    grey = [255 * mean for mean in CIFAR100.mean]
    squares = {"scale": (0.0625, 0.1), "ratio": (0.99, 1.0)}
    return [*autoaugmented(), augment.RandomErasing(0.5, **squares, value=grey)]


def mixed_up():
    """Every batch is mixed with itself."""
    return [*erased(), augment.MixUp(alpha=1.0)]


def mixed_up_or_cut():
    """Every batch is mixed with itself in one of two ways."""
    return [*erased(), augment.RandomChoice([augment.MixUp(alpha=1.0), augment.CutMix(alpha=1.0)])]


# src/classification/{155_re0.5_c100_train,6_c100,2_c100_train}.sh of github.com/tcmyxc/CV-Tutorial
def tricks(network_d, distributed_network):
    """Returns what each row changes in the one before it."""
    return {
        "baseline": {},
        "resnetd": {"model": network_d},
        "long": {"epochs": 300, "warmup_epochs": 20, "minimum_learning_rate": 1e-6},
        "autoaugment": {"augment": autoaugmented},
        "erasing": {"augment": erased},
        "mixup": {"augment": mixed_up},
        "cutmix": {"augment": mixed_up_or_cut},
        "batch256": {"batch_size": 256, "precision": "mixed_float16"},
        "distributed": {"model": distributed_network, "synchronized_bn": False},
    }


networks = {
    "resnet50": (CifarResNet50, tricks(CifarResNet50D, CifarResNet50D)),
    "rescnet50": (CifarResCNet50, tricks(CifarResCNet50D, CifarResCNet50DV2)),
}
references = {  # the paper's top-1 accuracy in %
    "baseline": {"resnet50": 80.79, "rescnet50": 80.87},
    "resnetd": {"resnet50": 80.91, "rescnet50": 81.91},
    "long": {"resnet50": 82.19, "rescnet50": 82.21},
    "autoaugment": {"resnet50": 83.14, "rescnet50": 82.91},
    "erasing": {"resnet50": 83.58, "rescnet50": 83.25},
    "mixup": {"resnet50": 84.60, "rescnet50": 84.31},
    "cutmix": {"resnet50": 85.81, "rescnet50": 85.73},
    "batch256": {"resnet50": 85.84, "rescnet50": 86.17},
    "distributed": {"resnet50": 85.92, "rescnet50": 86.31},
}
recipes = {}
for name, (model, rows) in networks.items():
    row = Recipe(
        dataset=CIFAR100,
        augment=cropped_and_flipped,
        model=model,
        optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
        batch_size=128,
        epochs=200,
        learning_rate=0.1,
        warmup_epochs=5,
    )
    for trick, changes in rows.items():
        changes = {**changes, "reference": references[trick][name]}
        row = recipes[f"cifar100-{name}-{trick}"] = dataclasses.replace(row, **changes)
columns = {"ResNet-50": "cifar100-resnet50-*", "ResCNet-50": "cifar100-rescnet50-*"}
