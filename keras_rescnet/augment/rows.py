"""The rows of a batch that a transform is given, and the random numbers of each."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from keras_rescnet.mistake import Mistake, shorten

_SEEDS = (tf.int32, tf.int64, tf.uint32, tf.uint64)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Which rows of a batch a transform is given, and the seed of their random numbers.

    Random numbers are drawn for the whole batch, and those of other rows dropped: a row gets
    the same ones whether the transform is given the whole batch or a part of it.

    Args:
        batch_size: Number of images in the whole batch.
        seed: Two integers, int32 or int64 `(2,)`.
        positions: Positions of these rows in the whole batch, int `(n,)`; `None` for all. Defaults
            to `None`.
        examples: Indices of these rows among the training examples, int64 `(n,)`; `None` outside of
            `train_batches`. Defaults to `None`.
        epoch: The epoch, counted from 0, likewise. Defaults to `None`.
        run_seed: The seed of `train_batches`, the same in all epochs, likewise. Defaults to `None`.

    Example:

    >>> whole = kr.augment.Rows(batch_size=8, seed=(0, 1))
    >>> part = kr.augment.Rows(batch_size=8, seed=(0, 1), positions=[2, 3])
    >>> bool(np.all(part.draw((2, 5)) == whole.draw((8, 5))[2:4]))
    True
    """

    batch_size: int
    seed: Any
    positions: Any = None
    examples: Any = None
    epoch: Any = None
    run_seed: int | None = None

    def split(self, count: int) -> "list[Rows]":
        """Returns the same rows with `count` seeds that are independent of each other."""
        seeds = tf.unstack(tf.random.split(self.seed, count))
        return [dataclasses.replace(self, seed=seed) for seed in seeds]

    def draw(self, shape, minval=0, maxval=None, dtype="float32", axis=0):
        """Draws uniform numbers for every row.

        Args:
            shape: Shape of the numbers; its `axis` counts these rows.
            minval: Smallest number. Defaults to 0.
            maxval: Upper bound, excluded. Defaults to 1; integers need one.
            dtype: Dtype of the numbers. Defaults to float32.
            axis: Axis of the rows. Defaults to 0.

        Returns:
            A tensor of `shape` and `dtype`, uniform in [`minval`, `maxval`).
        """
        options = {"seed": self.seed, "minval": minval, "maxval": maxval, "dtype": dtype}
        if self.positions is None:
            return tf.random.stateless_uniform(shape, **options)
        shape = (*shape[:axis], self.batch_size, *shape[axis + 1 :])
        numbers = tf.random.stateless_uniform(shape, **options)
        return tf.gather(numbers, self.positions, axis=axis)


def images_and_rows(batch, rows):
    """Returns a batch's images as a tensor and its `Rows`: what every transform begins with.

    Args:
        batch: Dict with `"images"`, `(N, H, W, C)`.
        rows: `Rows`, or the seed of a whole batch: two integers.

    Raises:
        Mistake: If there are no images of a known shape, or the seed is not two integers.
    """
    if not isinstance(batch, dict) or "images" not in batch:
        received = sorted(map(str, batch)) if isinstance(batch, dict) else type(batch).__name__
        raise Mistake(
            'A batch must be a dict {"images": (N, H, W, C), "labels": (N, classes)}. '
            f"Received: batch={received}."
        )
    try:
        images = tf.convert_to_tensor(batch["images"])
    except (TypeError, ValueError):
        raise Mistake(
            "The images of a batch must be one array (N, H, W, C) of numbers. "
            f"Received: images={type(batch['images']).__name__}."
        ) from None
    if images.shape.rank != 4:
        raise Mistake(
            "The images of a batch must have the shape (N, H, W, C); one image is images[None]. "
            f"Received: images of shape {images.shape}."
        )
    if not images.shape.is_fully_defined() or images.dtype in (tf.string, tf.bool):
        raise Mistake(
            "The images of a batch must be numbers of a shape that is known when the transform is "
            "called; `tf.data.Dataset.batch` needs drop_remainder=True. "
            f"Received: images of shape {images.shape}, {images.dtype.name}."
        )
    if isinstance(rows, Rows):
        return images, rows
    try:
        seed = tf.convert_to_tensor(rows)
    except (TypeError, ValueError, OverflowError):
        seed = None
    if seed is None or not seed.shape.is_compatible_with((2,)) or seed.dtype not in _SEEDS:
        raise Mistake(
            f"`seed` must be two integers, such as (0, 1). Received: seed={shorten(rows)}."
        )
    if seed.dtype.is_unsigned:
        seed = tf.cast(seed, "int64")
    return images, Rows(images.shape[0], tf.ensure_shape(seed, (2,)))


def call(transform: Callable, batch, rows: Rows):
    """Calls a transform with `Rows` if it has a `reach`, else with the seed alone."""
    return transform(batch, rows if hasattr(transform, "reach") else rows.seed)


def total_reach(transforms: Iterable) -> int | None:
    """Returns how many rows before its own a row of a list's result depends on.

    `None` if it may depend on any row of the batch: a transform without `reach` does not say.
    """
    total = 0
    for transform in transforms:
        reach = getattr(transform, "reach", None)
        if reach is None:
            return None
        total += reach
    return total
