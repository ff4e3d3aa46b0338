"""The shards of a batch that processes make are the rows of the whole."""

import numpy as np
import pytest
import tensorflow as tf

from keras_rescnet import augment, data
from keras_rescnet.data import ArrayExamples
from keras_rescnet.data.encoded_examples import EncodedExamples
from keras_rescnet.mistake import Mistake
from support.augmenting import RNG
from support.tiny import tiny

SIDE = 12
MIX = [augment.MixUp(), augment.CutMix()]
TRANSFORMS = {
    "none": [],
    "crop": [augment.RandomCrop(padding=2)],
    "flip": [augment.RandomFlip()],
    "alternating flip": [augment.AlternatingFlip(), augment.RandomCrop(2, "reflect")],
    "resized crop": [augment.RandomResizedCrop(SIDE)],
    "jitter": [augment.ColorJitter(0.4, 0.4, 0.4, 0.1)],
    "auto": [augment.AutoAugment("cifar10")],
    "rand": [augment.RandAugment()],
    "cutout": [augment.Cutout(4)],
    "erasing": [augment.RandomErasing()],
    "mixup": [augment.MixUp()],
    "cutmix": [augment.CutMix()],
    "choice": [augment.RandomFlip(), augment.RandomChoice(MIX)],
    "both, twice": [augment.RandomCrop(2), *MIX, augment.RandomErasing(), *MIX],
}


def examples(count=48):
    dataset = tiny(classes=4, image_shape=(SIDE, SIDE, 3))
    images = RNG.integers(0, 256, (count, SIDE, SIDE, 3)).astype("uint8")
    return ArrayExamples(dataset, images, np.arange(count) % 4, list("abcd"))


def arrays(batches):
    return list(batches.as_numpy_iterator())


def assert_shards_make_the_whole(make, shards):
    whole = arrays(make(num_shards=1, shard_index=0))
    pieces = [arrays(make(num_shards=shards, shard_index=index)) for index in range(shards)]
    assert len(whole) > 1
    for step, batch in enumerate(whole):
        for name, values in batch.items():
            joined = np.concatenate([piece[step][name] for piece in pieces])
            np.testing.assert_array_equal(joined, values)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in ("auto", "jitter", "rand")))
        for name in TRANSFORMS
    ],
)
def test_shards_of_training_batches(name):
    source = examples()

    def make(**shard):
        transforms = TRANSFORMS[name]
        return data.train_batches(
            source, transforms, batch_size=16, seed=3, start=1, stop=5, **shard
        )

    assert_shards_make_the_whole(make, 2 if name in ("auto", "rand") else 4)  # those compile long


def test_shards_of_evaluation_batches():
    source = examples(40)
    assert_shards_make_the_whole(
        lambda **shard: data.evaluation_batches(source, batch_size=16, **shard), 4
    )


def test_a_transform_of_ones_own_sees_the_whole_batch():
    seen = []

    def darker(batch, seed):
        seen.append(batch["images"].shape[0])
        mean = tf.reduce_mean(tf.cast(batch["images"], "float32"))
        return {**batch, "images": tf.cast(batch["images"], "float32") - mean}

    source = examples()

    def make(**shard):
        return data.train_batches(source, [darker], batch_size=16, seed=3, start=0, stop=3, **shard)

    assert_shards_make_the_whole(make, 2)
    assert set(seen) == {16}


class Darken:
    """A transform as one writes it to be given parts of a batch."""

    reach = 0

    def __init__(self):
        self.seen = []

    def __call__(self, batch, rows):
        count = batch["images"].shape[0]
        self.seen.append(count)
        by_row, by_pixel = rows.split(2)
        factors = by_row.draw((count, 1, 1, 1), 0.5, 1.0)
        noise = by_pixel.draw((SIDE, count), 0, 9, "int32", axis=1)
        noise = tf.cast(tf.transpose(noise), "float32")[:, :, None, None]
        return {**batch, "images": tf.cast(batch["images"], "float32") * factors + noise}


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "in a choice"])
def test_a_transform_of_ones_own_with_a_reach_sees_parts(wrapped):
    source, darken = examples(), Darken()
    transform = augment.RandomChoice([darken, augment.RandomFlip()]) if wrapped else darken

    def make(**shard):
        return data.train_batches(
            source, [transform, augment.MixUp()], batch_size=16, seed=3, start=0, stop=3, **shard
        )

    assert_shards_make_the_whole(make, 4)
    assert darken.seen == [16, 5, 5, 5, 5]  # MixUp needs the row before


def test_a_choice_with_a_function_sees_the_whole_batch():
    source, seen = examples(), []

    def negative(batch, seed):
        assert seed.shape == (2,)
        seen.append(batch["images"].shape[0])
        return {**batch, "images": 255 - batch["images"]}

    def make(**shard):
        choice = augment.RandomChoice([negative, augment.RandomFlip()])
        return data.train_batches(source, [choice], batch_size=16, seed=3, start=0, stop=3, **shard)

    assert_shards_make_the_whole(make, 2)
    assert set(seen) == {16}


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_draw_what_the_whole_batch_would(axis):
    """As `tf.random.stateless_uniform` does for all of them, floats and integers."""
    positions = [6, 7, 0]
    part = augment.Rows(8, seed=(3, 4), positions=positions)
    shape, whole = ((3, 5), (8, 5)) if axis == 0 else ((5, 3), (5, 8))
    for arguments in ((0, None, "float32"), (-1.0, 1.0, "float64"), (0, 7, "int32")):
        expected = tf.random.stateless_uniform(whole, (3, 4), *arguments)
        np.testing.assert_array_equal(
            part.draw(shape, *arguments, axis=axis), np.take(expected, positions, axis)
        )
    seeds = tf.random.split((3, 4), 2).numpy()
    np.testing.assert_array_equal([rows.seed for rows in part.split(2)], seeds)


@pytest.mark.parametrize(
    ("transforms", "rows"),
    [
        ([augment.RandomResizedCrop(SIDE), augment.RandomFlip()], 4),
        ([augment.RandomFlip(), augment.MixUp()], 5),
        ([augment.RandomFlip(), *MIX], 6),
        ([augment.RandomFlip(), lambda batch, seed: batch], 16),
    ],
)
def test_only_the_rows_that_are_needed_are_read(transforms, rows):
    """Of 16 rows, a quarter is 4; each mixing needs one before."""
    source = examples()
    encoded = np.array([tf.io.encode_png(image).numpy() for image in source.images], object)
    read = []

    def fetch(wanted):
        read.append(len(wanted))
        return encoded[wanted], source.labels[wanted].astype("int64")

    pictures = EncodedExamples(source.dataset, 48, fetch, source.class_names)
    batches = data.train_batches(
        pictures, transforms, batch_size=16, seed=0, start=0, stop=2, num_shards=4, shard_index=1
    )
    assert [len(batch["images"]) for batch in arrays(batches)] == [4, 4]
    assert read == [rows, rows]


@pytest.mark.parametrize(
    ("index", "shards", "message"),
    [
        (2, 2, "from 0 to 1. Received: shard_index=2"),
        (-1, 2, "from 0 to 1. Received: shard_index=-1"),
        (0, 3, "must divide .* Received: num_shards=3, batch_size=16"),
    ],
)
def test_shards_that_do_not_fit_are_refused(index, shards, message):
    shard = {"num_shards": shards, "shard_index": index}
    with pytest.raises(Mistake, match=message):
        data.train_batches(examples(), [], batch_size=16, seed=0, start=0, stop=1, **shard)
    with pytest.raises(Mistake, match=message):
        data.evaluation_batches(examples(), batch_size=16, **shard)
