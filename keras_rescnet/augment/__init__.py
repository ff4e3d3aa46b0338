"""Augmentations of whole batches, each a pure function of the batch and a seed.

`Transform` says what a transform is and how to write one. Those below are called with a seed,
`transform(batch, (0, 1))`, or by `kr.data.train_batches`. The same seed gives the same bytes,
whatever runs beside it. Unless it says otherwise, each image has random numbers of its own.
"""

from typing import Protocol

from keras_rescnet.augment.alternating_flip import AlternatingFlip
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
from keras_rescnet.augment.rows import Rows

__all__ = [
    "AlternatingFlip",
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
    "Rows",
    "Transform",
]


class Transform(Protocol):
    """A function of a batch and its random numbers; subclassing is not needed.

    A batch is `{"images": (N, H, W, C), "labels": (N, classes)}`: pixels in [0, 255], uint8 or
    floats, and one-hot labels, or shares of classes once they are mixed. A transform returns a
    batch of as many rows, and changes nothing but through what it returns. Batches are made
    inside `tf.data`, so it must be written in TensorFlow operations.

    A plain function `transform(batch, seed)` is a transform too. Its `seed` is two integers,
    another pair in every step, for TensorFlow's stateless random numbers. As nothing is known of
    which rows it looks at, it is always given whole batches: of several processes, each then
    makes the whole batch and keeps its own rows.

    A class with the attribute `reach` is called as `transform(batch, rows)` with `Rows`, and may
    be given a part of a batch. `rows.draw` draws the numbers of those rows, the same as in the
    whole batch; `rows.split` gives several independent seeds.

    Attributes:
        reach: How many rows before its own a row of the result depends on: 0 if each image is
            treated by itself; 1 for `MixUp`, which blends it with the image before; `None` for
            any row of the batch.

    Example:

    >>> import tensorflow as tf
    >>> class Darken:
    ...     reach = 0
    ...
    ...     def __call__(self, batch, rows):
    ...         factors = rows.draw((batch["images"].shape[0], 1, 1, 1), 0.5, 1.0)
    ...         return {**batch, "images": tf.cast(batch["images"], "float32") * factors}
    >>> examples = kr.data.load(kr.data.DIGITS, "train")
    >>> batches = kr.data.train_batches(
    ...     examples, [Darken()], batch_size=4, seed=0, start=0, stop=1
    ... )
    >>> next(iter(batches))["images"].shape
    TensorShape([4, 32, 32, 3])
    """

    reach: int | None

    def __call__(self, batch: dict, rows: Rows) -> dict:
        """Returns the changed batch."""
        ...
