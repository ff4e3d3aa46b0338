"""Datasets and the batches a run trains on and is judged by.

A `Dataset` names pictures, `load` reads one split of them as `Examples`, and `train_batches` and
`evaluation_batches` make `tf.data` batches of those, for `kr.train` or for Keras's own `fit`.
`resumable` makes any `tf.data` batches fit for `kr.ExactResume`.
"""

from keras_rescnet.data.array_examples import ArrayExamples
from keras_rescnet.data.batches import evaluation_batches, train_batches
from keras_rescnet.data.dataset import Dataset, load
from keras_rescnet.data.encoded_examples import EncodedExamples
from keras_rescnet.data.examples import Examples
from keras_rescnet.data.folder import image_folder
from keras_rescnet.data.known_datasets import (
    CIFAR10,
    CIFAR100,
    DIGITS,
    IMAGENET,
    SVHN,
    SVHN_EXTRA,
)
from keras_rescnet.data.resumable import resumable
from keras_rescnet.data.table import image_table
from keras_rescnet.data.transforms import stateful_transforms

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
    "Examples",
    "evaluation_batches",
    "image_folder",
    "image_table",
    "load",
    "resumable",
    "stateful_transforms",
    "train_batches",
]
