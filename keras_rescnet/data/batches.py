"""Batches as a pure function of the seed and the step."""

import keras
import numpy as np
import tensorflow as tf

from keras_rescnet.augment.rows import part_of, reach
from keras_rescnet.mistake import Mistake


def train_batches(
    examples,
    transforms,
    *,
    batch_size,
    seed,
    start,
    stop,
    steps_per_epoch=None,
    part=(0, 1),
    parallel_calls=2,
):
    """Returns the augmented, normalized batches of steps `start` to `stop - 1`.

    An epoch is a permutation of the examples, cut into batches; the remainder is dropped.
    Step `s` is position `s % steps_per_epoch` of epoch `s // steps_per_epoch`, and what it
    holds depends on `seed`, epoch and position alone: not on `start`, not on
    `parallel_calls` (unless a transform is a Keras layer, see `stateful_transforms`).

    Args:
        examples: What `load` returns.
        transforms: List of transforms, in order: those of `keras_rescnet.augment`, called as
            `transform(batch, seed)`, and keras-cv or Keras layers, called as `layer(batch)`,
            on `{"images": (B, H, W, C) in [0, 255], "labels": (B, classes)}`.
        batch_size: Images per batch.
        seed: Integer.
        start: First step.
        stop: Step to stop before.
        steps_per_epoch: Steps an epoch is cut short to. Defaults to
            `len(examples) // batch_size`.
        part: `(i, n)` for the i-th n-th of the rows of every batch, as it is in the whole. Other
            rows are not even read, unless a transform may need them: the transforms of
            `keras_rescnet.augment` need none but `MixUp` and `CutMix`, which need the one before.
        parallel_calls: Batches made at the same time.

    Returns:
        A `tf.data.Dataset` of `{"images", "labels"}`, float32: `(pixels / 255 - mean) / std`
        of shape `(batch_size, H, W, C)`, and `(batch_size, classes)`; with `part` an n-th of the
        rows.

    Raises:
        ValueError: if there are too few examples, transforms change the images' shape, or `part`
            does not divide a batch.
    """
    full_epoch = len(examples) // batch_size
    steps_per_epoch = full_epoch if steps_per_epoch is None else steps_per_epoch
    if not 1 <= steps_per_epoch <= full_epoch:
        raise Mistake(
            f"An epoch must have 1 to {full_epoch} batches of {batch_size} of the "
            f"{len(examples)} training examples of {examples.dataset.name}. Received: "
            f"batch_size={batch_size}, steps_per_epoch={steps_per_epoch}."
        )
    own, made = _rows(batch_size, part, reach(transforms))
    read, transforms = examples.reading(transforms)
    normalize = _normalization(examples.dataset)
    fold_in = tf.random.experimental.stateless_fold_in

    def steps_of(epoch):
        # Not index_shuffle, which needs no sorting: its permutations are far from uniform.
        keys = tf.random.stateless_uniform(
            (len(examples),),
            tf.stack([tf.constant(seed, "int64"), epoch]),
            minval=None,
            maxval=None,
            dtype="int64",
        )
        order = tf.argsort(keys)[: steps_per_epoch * batch_size]
        rows = tf.reshape(order, (steps_per_epoch, batch_size))
        positions = tf.range(steps_per_epoch, dtype="int64")
        return tf.data.Dataset.from_tensor_slices(
            (tf.fill(positions.shape, epoch), positions, rows)
        )

    def batch_of(epoch, position, rows):
        step_seed = fold_in(fold_in(tf.constant([seed, 0], "int64"), epoch), position)
        with part_of(batch_size, made):
            batch = read(tf.gather(rows, made), fold_in(step_seed, 0))
            for index, transform in enumerate(transforms, start=1):
                if isinstance(transform, keras.layers.Layer):
                    # In a tf.function: some keras-cv layers need AutoGraph, off in `_pipeline`.
                    floats = {**batch, "images": tf.cast(batch["images"], "float32")}
                    batch = tf.function(transform)(floats)
                else:
                    batch = transform(batch, fold_in(step_seed, index))
        batch = {name: batch[name][own] for name in ("images", "labels")}
        return normalize(batch, batch_size // part[1])

    epochs = tf.data.Dataset.range(start // steps_per_epoch, -(-stop // steps_per_epoch))
    steps = epochs.flat_map(steps_of).skip(start % steps_per_epoch).take(stop - start)
    return _pipeline(steps, batch_of, parallel_calls)


def _rows(batch_size, part, before):
    """Returns what to keep of the rows that are made, a slice, and which rows those are.

    `before` says how many of the rows before its own a row depends on; `None` if on any.
    """
    index, parts = part
    if not 0 <= index < parts or batch_size % parts:
        raise Mistake(
            "`part` must be (i, n), 0 <= i < n, of a `batch_size` that n divides. "
            f"Received: part={part}, batch_size={batch_size}."
        )
    count = batch_size // parts
    first = index * count
    if parts == 1 or before is None or before + count >= batch_size:
        return slice(first, first + count), np.arange(batch_size)
    return slice(before, before + count), np.arange(first - before, first + count) % batch_size


def evaluation_batches(examples, *, batch_size, part=(0, 1), parallel_calls=2):
    """Returns every example once, in order, in batches of one shape.

    Args:
        examples: What `load` returns.
        batch_size: Images per batch; the last batch is filled up with copies of the first
            example whose weight is 0.
        part: `(i, n)` for the i-th n-th of the rows of every batch.
        parallel_calls: Batches made at the same time.

    Returns:
        A `tf.data.Dataset` of `{"images", "labels", "weights"}`, float32, of shapes
        `(batch_size, H, W, C)`, `(batch_size, classes)` and `(batch_size,)`; with `part` an n-th
        of the rows.
    """
    count = len(examples)
    read, _ = examples.reading([])
    normalize = _normalization(examples.dataset)
    _, own = _rows(batch_size, part, 0)

    def batch_of(step):
        rows = step * batch_size + own
        inside = rows < count
        batch = normalize(read(tf.where(inside, rows, 0), [0, 0]), batch_size // part[1])
        return {**batch, "weights": tf.cast(inside, "float32")}

    return _pipeline(tf.data.Dataset.range(-(-count // batch_size)), batch_of, parallel_calls)


def stateful_transforms(transforms):
    """Returns the keras-cv and Keras layers among `transforms`.

    They draw from a generator of their own, in whatever order parallel calls reach it, and it
    is not part of a checkpoint: a run that uses one is not reproducible to the bit.
    """
    return [transform for transform in transforms if isinstance(transform, keras.layers.Layer)]


def _normalization(dataset):
    height, width, channels = dataset.image_shape
    # Written out for a whole row: broadcasting over three channels is five times slower.
    mean, std = (np.tile(np.array(v, "float64"), width) for v in (dataset.mean, dataset.std))
    scale, offset = (1 / (255 * std)).astype("float32"), (mean / std).astype("float32")

    def normalize(batch, batch_size):
        shape = (batch_size, *dataset.image_shape)
        if not batch["images"].shape.is_compatible_with(shape):
            raise Mistake(
                f"Batches of {dataset.name} must have the shape {shape} after all transforms. "
                f"Received: {tuple(batch['images'].shape)}."
            )
        pixels = tf.cast(tf.ensure_shape(batch["images"], shape), "float32")
        rows = tf.reshape(pixels, (batch_size * height, width * channels))
        labels = tf.ensure_shape(batch["labels"], (batch_size, dataset.classes))
        return {
            "images": tf.reshape(rows * scale - offset, shape),
            "labels": tf.cast(labels, "float32"),
        }

    return normalize


def _pipeline(steps, batch_of, parallel_calls):
    options = tf.data.Options()
    options.autotune.enabled = False  # deleting an autotuned iterator can block for seconds
    options.deterministic = True
    # AutoGraph would wrap a transform's one-line error in pages of its own.
    batch_of = tf.autograph.experimental.do_not_convert(batch_of)
    batches = steps.map(batch_of, num_parallel_calls=parallel_calls)
    return batches.prefetch(parallel_calls).with_options(options)
