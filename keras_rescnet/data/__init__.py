"""Datasets and the batches a run trains on and is judged by."""

from keras_rescnet.data.array_examples import ArrayExamples
from keras_rescnet.data.batches import evaluation_batches, stateful_transforms, train_batches
from keras_rescnet.data.dataset import (
    CIFAR10,
    CIFAR100,
    DIGITS,
    IMAGENET,
    SVHN,
    SVHN_EXTRA,
    Dataset,
    load,
)
from keras_rescnet.data.encoded_examples import EncodedExamples
from keras_rescnet.data.folder import image_folder

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "DIGITS",
    "IMAGENET",
    "SVHN",
    "SVHN_EXTRA",
    "ArrayExamples",
    "Dataset",
    "EncodedExamples",
    "evaluation_batches",
    "image_folder",
    "load",
    "stateful_transforms",
    "train_batches",
]
