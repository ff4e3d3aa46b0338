"""Batches as a pure function of the seed and the step."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from keras_rescnet.arguments import check_integer, is_integer
from keras_rescnet.augment.cores import available_cores
from keras_rescnet.augment.rows import Rows, total_reach
from keras_rescnet.data.examples import Examples, check_examples
from keras_rescnet.data.normalization import scale_and_offset
from keras_rescnet.data.transforms import apply_transform, check_transforms
from keras_rescnet.mistake import Mistake, shorten

BATCH_MEMORY = 2**31  # bytes that batches in the making may take, if two do not take more


def train_batches(
    examples: Examples,
    transforms: Sequence[Callable],
    *,
    batch_size: int,
    seed: int,
    start: int,
    stop: int,
    steps_per_epoch: int | None = None,
    as_tuples: bool = False,
    num_shards: int = 1,
    shard_index: int = 0,
    parallel_calls: int | None = None,
) -> tf.data.Dataset:
    """Returns the augmented, normalized batches of steps `start` to `stop - 1`.

    An epoch is a permutation of the examples, cut into batches; the remainder is dropped.
    Step `s` is position `s % steps_per_epoch` of epoch `s // steps_per_epoch`, and what it
    holds depends on `seed`, epoch and position alone: not on `start`, not on
    `parallel_calls` (unless a transform is a Keras layer, see `stateful_transforms`).

    Args:
        examples: What `load` returns.
        transforms: List of transforms, in order: those of `keras_rescnet.augment` and of one's
            own, as `keras_rescnet.augment.Transform` describes them, and keras-cv or Keras
            layers, called as `layer(batch)`, on `{"images": (B, H, W, C) in [0, 255],
            "labels": (B, classes)}`.
        batch_size: Images per batch.
        seed: Integer.
        start: First step.
        stop: Step to stop before.
        steps_per_epoch: Steps that an epoch is cut short to. Defaults to
            `len(examples) // batch_size`.
        as_tuples: Whether to return `(images, labels)`, as `keras.Model.fit` takes them, instead of
            dicts. Defaults to `False`.
        num_shards: Number of shards that the rows of every batch are divided into, for example one
            per process. Defaults to 1.
        shard_index: Which of them to return. Rows are as they are in the whole batch; other rows
            are not even read, unless the `reach` of a transform asks for them. Defaults to 0.
        parallel_calls: Batches made at the same time. By default as many as there are cores and
            2 GiB hold, at least 2. It does not affect results.

    Returns:
        A `tf.data.Dataset` of `{"images", "labels"}`, float32: `(pixels / 255 - mean) / std`
        of shape `(batch_size, H, W, C)`, and `(batch_size, classes)`; of a shard, its rows.

    Raises:
        Mistake: If there are too few examples, transforms change the images' shape, or shards
            do not divide a batch.

    Example:

    >>> examples = kr.data.load(kr.data.DIGITS, "train")
    >>> steps = len(examples) // 128
    >>> batches = kr.data.train_batches(
    ...     examples,
    ...     [kr.augment.RandomCrop(padding=2)],
    ...     batch_size=128,
    ...     seed=0,
    ...     start=0,
    ...     stop=2 * steps,
    ...     as_tuples=True,
    ... )
    >>> model = keras.Sequential(
    ...     [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(10)]
    ... )
    >>> loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    >>> model.compile("sgd", loss, metrics=["accuracy"])
    >>> history = model.fit(batches, epochs=2, steps_per_epoch=steps, shuffle=False, verbose=0)
    >>> len(history.history["loss"])
    2
    """
    check_examples(examples)
    check_integer("batch_size", batch_size, 1)
    check_integer("seed", seed, -(2**63), 2**63 - 1)
    check_integer("start", start, 0)
    check_integer("stop", stop, start)
    check_transforms(transforms)
    full_epoch = len(examples) // batch_size
    if not full_epoch:
        raise Mistake(
            f"`batch_size` must be at most {len(examples)}, the number of training examples of "
            f"{examples.dataset.name}. Received: batch_size={batch_size}."
        )
    steps_per_epoch = full_epoch if steps_per_epoch is None else steps_per_epoch
    if not is_integer(steps_per_epoch) or not 1 <= steps_per_epoch <= full_epoch:
        raise Mistake(
            f"An epoch must have 1 to {full_epoch} batches of {batch_size} of the "
            f"{len(examples)} training examples of {examples.dataset.name}. Received: "
            f"batch_size={batch_size}, steps_per_epoch={shorten(steps_per_epoch)}."
        )
    reach = total_reach(transforms)
    made, kept = _rows_of_shard(batch_size, num_shards, shard_index, reach)
    read_batch, transforms = examples.reader(transforms)
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
        indices = tf.reshape(tf.cast(order, "int64"), (steps_per_epoch, batch_size))
        positions = tf.range(steps_per_epoch, dtype="int64")
        return tf.data.Dataset.from_tensor_slices(
            (tf.fill(positions.shape, epoch), positions, indices)
        )

    def batch_of(epoch, position, indices):
        step_seed = fold_in(fold_in(tf.constant([seed, 0], "int64"), epoch), position)
        if made is not None:
            indices = tf.gather(indices, made)

        def rows_for(number):
            return Rows(batch_size, fold_in(step_seed, number), made, indices, epoch, seed)

        batch = read_batch(indices, rows_for(0))
        for number, transform in enumerate(transforms, start=1):
            batch = apply_transform(transform, batch, rows_for(number))
        batch = {name: batch[name][kept] for name in ("images", "labels")}
        batch = normalize(batch, batch_size // num_shards)
        return (batch["images"], batch["labels"]) if as_tuples else batch

    epochs = tf.data.Dataset.range(start // steps_per_epoch, -(-stop // steps_per_epoch))
    steps = epochs.flat_map(steps_of).skip(start % steps_per_epoch).take(stop - start)
    steps = steps.apply(tf.data.experimental.assert_cardinality(stop - start))
    calls = _parallel_calls(parallel_calls, batch_size // num_shards, examples.dataset)
    return _pipeline(steps, batch_of, calls)


def evaluation_batches(
    examples: Examples,
    *,
    batch_size: int,
    as_tuples: bool = False,
    num_shards: int = 1,
    shard_index: int = 0,
    parallel_calls: int | None = None,
) -> tf.data.Dataset:
    """Returns every example once, in order, in batches of one shape.

    Args:
        examples: What `load` returns.
        batch_size: Images per batch; the last batch is filled up with copies of the first
            example whose weight is 0.
        as_tuples: Whether to return `(images, labels)`, as `keras.Model.evaluate` takes them,
            instead of dicts; the last batch is then not filled up but shorter. Defaults to `False`.
        num_shards: Number of shards that the rows of every batch are divided into. Defaults to 1.
        shard_index: Which of them to return. Defaults to 0.
        parallel_calls: Batches made at the same time. By default as many as there are cores and
            2 GiB hold, at least 2. It does not affect results.

    Returns:
        A `tf.data.Dataset` of `{"images", "labels", "weights"}`, float32, of shapes
        `(batch_size, H, W, C)`, `(batch_size, classes)` and `(batch_size,)`; of a shard, its
        rows.

    Raises:
        Mistake: If `examples` is not what `load` returns, is empty, or lacks a mean, a standard
            deviation or classes; `batch_size` or `parallel_calls` is not a positive integer; shards
            do not divide a batch or have no such index; or what is read has other shapes than the
            dataset says.

    Example:

    >>> examples = kr.data.load(kr.data.DIGITS, "test")
    >>> batches = kr.data.evaluation_batches(examples, batch_size=100)
    >>> [int(np.sum(batch["weights"])) for batch in batches]
    [100, 100, 100, 55]
    """
    check_examples(examples)
    check_integer("batch_size", batch_size, 1)
    count = len(examples)
    if not count:
        raise Mistake(f"`examples` must not be empty. Received: none of {examples.dataset.name}.")
    read_batch, _ = examples.reader([])
    normalize = _normalization(examples.dataset)
    own, _ = _rows_of_shard(batch_size, num_shards, shard_index, 0)
    own = np.arange(batch_size) if own is None else own

    def batch_of(step):
        indices = step * batch_size + own
        inside = indices < count
        rows = Rows(batch_size, tf.zeros((2,), "int64"), own)  # no random numbers are drawn
        batch = normalize(read_batch(tf.where(inside, indices, 0), rows), batch_size // num_shards)
        if as_tuples:
            real = tf.reduce_sum(tf.cast(inside, "int32"))
            return batch["images"][:real], batch["labels"][:real]
        return {**batch, "weights": tf.cast(inside, "float32")}

    steps = tf.data.Dataset.range(-(-count // batch_size))
    calls = _parallel_calls(parallel_calls, batch_size // num_shards, examples.dataset)
    return _pipeline(steps, batch_of, calls)


def _rows_of_shard(batch_size, num_shards, shard_index, reach):
    """Returns the positions of the rows that are made, and a slice of which of them are kept.

    `reach` says how many of the rows before its own a row depends on; `None` if on any. The
    positions are `None` if all rows are made.
    """
    check_integer("num_shards", num_shards, 1)
    check_integer("shard_index", shard_index, 0, num_shards - 1)
    if batch_size % num_shards:
        raise Mistake(
            "`num_shards` must divide `batch_size`. "
            f"Received: num_shards={num_shards}, batch_size={batch_size}."
        )
    count = batch_size // num_shards
    first = shard_index * count
    if num_shards == 1 or reach is None or reach + count >= batch_size:
        return None, slice(first, first + count)
    return np.arange(first - reach, first + count) % batch_size, slice(reach, reach + count)


def _normalization(dataset):
    dataset.check_known()
    height, width, channels = dataset.image_shape
    # Written out for a whole row: broadcasting over three channels is five times slower.
    constants = scale_and_offset(dataset.mean, dataset.std)
    scale, offset = (np.tile(values, width) for values in constants)

    def normalize(batch, batch_size):
        expected = {
            "images": (batch_size, *dataset.image_shape),
            "labels": (batch_size, dataset.classes),
        }
        for name, shape in expected.items():
            if not batch[name].shape.is_compatible_with(shape):
                raise Mistake(
                    f"The {name} in batches of {dataset.name} must have the shape {shape} after "
                    f"all transforms. Received: {tuple(batch[name].shape)}."
                )
        pixels = tf.cast(tf.ensure_shape(batch["images"], expected["images"]), "float32")
        lines = tf.reshape(pixels, (batch_size * height, width * channels))
        return {
            "images": tf.reshape(lines * scale + offset, expected["images"]),
            "labels": tf.cast(tf.ensure_shape(batch["labels"], expected["labels"]), "float32"),
        }

    return normalize


def _parallel_calls(parallel_calls, batch_size, dataset):
    """Returns how many batches to make at the same time."""
    if parallel_calls is not None:
        check_integer("parallel_calls", parallel_calls, 1)
        return parallel_calls
    size = 4 * batch_size * math.prod(dataset.image_shape)
    return max(2, min(available_cores(), BATCH_MEMORY // size))


def _pipeline(steps, batch_of, parallel_calls):
    options = tf.data.Options()
    options.autotune.enabled = False  # deleting an autotuned iterator can block for seconds
    options.deterministic = True
    # AutoGraph would wrap a transform's one-line error in pages of its own.
    batch_of = tf.autograph.experimental.do_not_convert(batch_of)
    batches = steps.map(batch_of, num_parallel_calls=parallel_calls)
    return batches.prefetch(2).with_options(options)
