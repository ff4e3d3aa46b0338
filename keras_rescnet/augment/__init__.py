"""Augmentations of whole batches, each a pure function of the batch and a seed.

A transform is called as `transform(batch, seed)`: `batch` is `{"images": (N, H, W, C) in
[0, 255], "labels": (N, classes)}` and `seed` two integers. The same seed gives the same bytes,
whatever runs beside it. Each image has draws of its own.
"""

from keras_rescnet.augment.random_crop import RandomCrop
from keras_rescnet.augment.random_flip import RandomFlip
