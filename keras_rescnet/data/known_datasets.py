"""Datasets that recipes name."""

import dataclasses

from keras_rescnet.data import digits, tfds_arrays, tfds_encoded
from keras_rescnet.data.dataset import Dataset

# Statistics as the paper's code has them (github.com/tcmyxc/ResCNet).
CIFAR10 = Dataset(
    name="cifar10",
    read=tfds_arrays.read,
    image_shape=(32, 32, 3),
    classes=10,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
)
CIFAR100 = Dataset(
    name="cifar100",
    read=tfds_arrays.read,
    image_shape=(32, 32, 3),
    classes=100,
    mean=(0.5071, 0.4866, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)
SVHN = Dataset(
    name="svhn_cropped",
    read=tfds_arrays.read,
    image_shape=(32, 32, 3),
    classes=10,
    mean=(109.9 / 255, 109.7 / 255, 113.8 / 255),
    std=(50.1 / 255, 50.6 / 255, 50.8 / 255),
)
SVHN_EXTRA = dataclasses.replace(SVHN, train_split="train+extra")
IMAGENET = Dataset(
    name="imagenet2012",
    read=tfds_encoded.read,
    image_shape=(224, 224, 3),
    classes=1000,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    test_split="validation",
)
DIGITS = Dataset(
    name="digits",
    read=digits.read,
    image_shape=(32, 32, 3),
    classes=10,
    mean=(0.3052,) * 3,
    std=(0.3760,) * 3,
    class_names=tuple("0123456789"),
)
