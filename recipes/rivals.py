"""The RC Layer beside other calibrations, each at the end of every residual branch of one network.

    python train.py --recipe recipes/rivals.py:cifar10-resnet32-eca --set seed=0

Cost and score: docs/choosing.md has both; none of the 64 has been run at full length.

The ResNets are trained as in table1.py, airbench94 as in cifar10_fast.py, with GELU. All
calibrations with a reduction have 4 channels per hidden unit, and are otherwise as their authors
published them; coordinate attention has 8 units at least. Nothing was tuned for any of them.

airbench94 takes 9 epochs, ResNet-8 is for a first look: `--set epochs=5 --set warmup_epochs=1`.
"""

import dataclasses
from functools import partial

from keras_rescnet import Recipe, augment, load_recipe
from keras_rescnet.data import CIFAR10, CIFAR100
from keras_rescnet.layers import (
    CompetitiveSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    EfficientChannelAttention,
    FoldedSqueezeExcite,
    GatedChannelTransformation,
    GatherExcite,
    GaussianContextTransformer,
    MultiScaleRecalibration,
    PairViewSqueezeExcite,
    RCLayer,
    SimAM,
    SqueezeExcite,
    StyleRecalibration,
)
from keras_rescnet.models import CifarResNet8, CifarResNet32
from keras_rescnet.optimizers import SGD


def transforms():
    """Returns what every training batch goes through, in order; pixels are in [0, 255]."""
    return [augment.RandomCrop(padding=4), augment.RandomFlip()]


calibrations = {
    "plain": None,
    "rc": partial(RCLayer, reduction=4),
    "se": partial(SqueezeExcite, reduction=4),
    "eca": EfficientChannelAttention,
    "simam": SimAM,
    "srm": StyleRecalibration,
    "gated-gct": GatedChannelTransformation,
    "gaussian-gct": GaussianContextTransformer,
    "cbam": partial(ConvolutionalBlockAttention, reduction=4),
    "coordinate": CoordinateAttention,
    "gather-excite": GatherExcite,
    "gather-excite-weighted": partial(GatherExcite, weighted=True),
    "cmpe-double-fc": partial(CompetitiveSqueezeExcite, reduction=4),
    "cmpe-2x1": partial(PairViewSqueezeExcite, kernel_width=2, reduction=4),
    "cmpe-1x1": partial(PairViewSqueezeExcite, kernel_width=1, reduction=4),
    "cmpe-3x3": partial(FoldedSqueezeExcite, reduction=4),
    "ms-sar-style": partial(MultiScaleRecalibration, reduction=4),
}
networks = {
    "cifar10-resnet32": (CIFAR10, CifarResNet32),
    "cifar100-resnet32": (CIFAR100, CifarResNet32),
    "cifar10-resnet8": (CIFAR10, CifarResNet8),
}
recipes = {
    f"{network}-{name}": Recipe(
        dataset=dataset,
        augment=transforms,
        model=partial(model, calibration=calibration),
        optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
        batch_size=128,
        epochs=200,
        learning_rate=0.1,
        warmup_epochs=5,
    )
    for network, (dataset, model) in networks.items()
    for name, calibration in calibrations.items()
}
fast = load_recipe("cifar10_fast:gelu")
recipes |= {
    f"cifar10-airbench94-{name}": dataclasses.replace(
        fast, model=partial(fast.model, calibration=calibration)
    )
    for name, calibration in calibrations.items()
    if not name.startswith("cmpe-")  # it has no identity branch
}
columns = {
    "CIFAR-10, ResNet-32": "cifar10-resnet32-*",
    "CIFAR-100, ResNet-32": "cifar100-resnet32-*",
    "CIFAR-10, ResNet-8": "cifar10-resnet8-*",
    "CIFAR-10, airbench94": "cifar10-airbench94-*",
}
