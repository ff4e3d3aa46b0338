"""Augmentations of whole batches, each a pure function of the batch and a seed.

A transform is called as `transform(batch, seed)`: `batch` is `{"images": (N, H, W, C) in
[0, 255], "labels": (N, classes)}` and `seed` two integers. The same seed gives the same bytes,
whatever runs beside it. Unless it says otherwise, each image has draws of its own.
"""

from keras_rescnet.augment.auto_augment import AutoAugment
from keras_rescnet.augment.color_jitter import ColorJitter
from keras_rescnet.augment.cut_mix import CutMix
from keras_rescnet.augment.cutout import Cutout
from keras_rescnet.augment.mix_up import MixUp
from keras_rescnet.augment.rand_augment import RandAugment
from keras_rescnet.augment.random_choice import RandomChoice
from keras_rescnet.augment.random_crop import RandomCrop
from keras_rescnet.augment.random_erasing import RandomErasing
from keras_rescnet.augment.random_flip import RandomFlip
from keras_rescnet.augment.random_resized_crop import RandomResizedCrop

__all__ = [
    "AutoAugment",
    "ColorJitter",
    "CutMix",
    "Cutout",
    "MixUp",
    "RandAugment",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomResizedCrop",
]
