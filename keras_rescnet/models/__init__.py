"""Builders: functions that return a `keras.Model` from images to float32 logits."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_rescnet.models.airbench import Airbench94
    from keras_rescnet.models.alexnet import AlexNet
    from keras_rescnet.models.cait import CaiT, CaiTXXS24
    from keras_rescnet.models.features import feature_extractor
    from keras_rescnet.models.preactivation import (
        CifarResNet164,
        CifarWideResNet,
        CifarWideResNet16x8,
        CifarWideResNet22x10,
        CifarWideResNet28x10,
        PreActivationResNet,
    )
    from keras_rescnet.models.residual_blocks import basic_block, bottleneck_block
    from keras_rescnet.models.resnet import (
        ResCNet18,
        ResCNet34,
        ResCNet50,
        ResCNet101,
        ResCNet152,
        ResNet,
        ResNet18,
        ResNet18D,
        ResNet34,
        ResNet34D,
        ResNet50,
        ResNet50D,
        ResNet101,
        ResNet152,
        SENet18,
        SENet34,
        SENet50,
        SENet101,
        SENet152,
    )
    from keras_rescnet.models.resnet_cifar import (
        CifarResCNet32,
        CifarResCNet50,
        CifarResCNet50D,
        CifarResCNet50DV2,
        CifarResCNet56,
        CifarResNet8,
        CifarResNet32,
        CifarResNet50,
        CifarResNet50D,
        CifarResNet56,
        CifarSENet32,
        CifarSENet50,
        CifarSENet56,
    )
    from keras_rescnet.models.stems import deep_stem
    from keras_rescnet.models.swin import Swin, SwinTiny
    from keras_rescnet.models.vgg import VGG, VGG16
    from keras_rescnet.models.vit import ViT, ViTTiny
    from keras_rescnet.models.weights import pretrained

_MODULES = {
    "airbench": ("Airbench94",),
    "alexnet": ("AlexNet",),
    "cait": (
        "CaiT",
        "CaiTXXS24",
    ),
    "features": ("feature_extractor",),
    "preactivation": (
        "CifarResNet164",
        "CifarWideResNet",
        "CifarWideResNet16x8",
        "CifarWideResNet22x10",
        "CifarWideResNet28x10",
        "PreActivationResNet",
    ),
    "residual_blocks": ("basic_block", "bottleneck_block"),
    "resnet": (
        "ResCNet18",
        "ResCNet34",
        "ResCNet50",
        "ResCNet101",
        "ResCNet152",
        "ResNet",
        "ResNet18",
        "ResNet18D",
        "ResNet34",
        "ResNet34D",
        "ResNet50",
        "ResNet50D",
        "ResNet101",
        "ResNet152",
        "SENet18",
        "SENet34",
        "SENet50",
        "SENet101",
        "SENet152",
    ),
    "resnet_cifar": (
        "CifarResCNet32",
        "CifarResCNet50",
        "CifarResCNet50D",
        "CifarResCNet50DV2",
        "CifarResCNet56",
        "CifarResNet8",
        "CifarResNet32",
        "CifarResNet50",
        "CifarResNet50D",
        "CifarResNet56",
        "CifarSENet32",
        "CifarSENet50",
        "CifarSENet56",
    ),
    "stems": ("deep_stem",),
    "swin": (
        "Swin",
        "SwinTiny",
    ),
    "vgg": (
        "VGG",
        "VGG16",
    ),
    "vit": (
        "ViT",
        "ViTTiny",
    ),
    "weights": ("pretrained",),
}
__all__ = [name for names in _MODULES.values() for name in names]


def __getattr__(name: str) -> object:  # the command of this package must not wait for Keras
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
