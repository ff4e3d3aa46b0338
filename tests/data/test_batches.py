"""The batches that a run trains on and is judged by."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_rescnet import augment, data
from keras_rescnet.data import ArrayExamples
from support.augmenting import chi_square, digests
from support.tiny import SHAPE, tiny


def numbered(count, classes=2):
    """Examples whose picture i holds i in every pixel, and whose label is i modulo classes."""
    dataset = tiny(classes=classes, mean=(0.0,) * 3, std=(1 / 255,) * 3)  # normalizes to itself
    images = np.broadcast_to(np.arange(count, dtype="uint8")[:, None, None, None], (count, *SHAPE))
    names = [str(i) for i in range(classes)]
    return ArrayExamples(dataset, np.ascontiguousarray(images), np.arange(count) % classes, names)


def rows_of(batches):
    """The row numbers of `numbered` examples, step by step."""
    return [
        batch["images"][:, 0, 0, 0].astype(int).tolist() for batch in batches.as_numpy_iterator()
    ]


def test_an_epoch_is_a_permutation_of_its_own():
    batches = data.train_batches(numbered(50), [], batch_size=10, seed=1, start=0, stop=10)
    epochs = np.reshape(rows_of(batches), (2, 50))
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(50))
    assert not np.array_equal(epochs[0], epochs[1])
    other = data.train_batches(numbered(50), [], batch_size=10, seed=2, start=0, stop=5)
    assert not np.array_equal(np.reshape(rows_of(other), 50), epochs[0])


def test_permutations_are_uniform():
    batches = data.train_batches(numbered(20), [], batch_size=20, seed=3, start=0, stop=4000)
    first = np.array(rows_of(batches))[:, 0]
    assert chi_square(first, 20) < 43.8  # 99.9 % of 19 degrees


def test_the_remainder_is_dropped():
    batches = data.train_batches(numbered(25), [], batch_size=10, seed=1, start=0, stop=2)
    assert len(set(np.ravel(rows_of(batches)))) == 20


def test_a_short_epoch_is_the_head_of_the_long_one():
    arguments = {"batch_size": 10, "seed": 1, "start": 0}
    long = rows_of(data.train_batches(numbered(50), [], stop=10, **arguments))
    short = rows_of(data.train_batches(numbered(50), [], stop=4, steps_per_epoch=2, **arguments))
    assert short == [long[0], long[1], long[5], long[6]]


def test_a_transform_draws_alike_in_short_and_long_epochs():
    def draws(batch, seed):
        pixels = tf.random.stateless_uniform(batch["images"].shape, seed)
        return {**batch, "images": pixels}

    arguments = {"batch_size": 10, "seed": 1, "start": 0}
    long = list(data.train_batches(numbered(50), [draws], stop=6, **arguments))
    short = list(data.train_batches(numbered(50), [draws], stop=3, steps_per_epoch=2, **arguments))
    np.testing.assert_array_equal(long[5]["images"], short[2]["images"])
    assert not np.array_equal(long[4]["images"], long[5]["images"])


@pytest.mark.parametrize("steps_per_epoch", [0, 3])
def test_epochs_longer_than_the_data_are_refused(steps_per_epoch):
    with pytest.raises(ValueError, match=r"1 to 2 batches of 10 of the 25 .*steps_per_epoch="):
        data.train_batches(
            numbered(25),
            [],
            batch_size=10,
            seed=1,
            start=0,
            stop=1,
            steps_per_epoch=steps_per_epoch,
        )


def test_batches_larger_than_the_data_are_refused():
    with pytest.raises(ValueError, match="batch_size=26"):
        data.train_batches(numbered(25), [], batch_size=26, seed=1, start=0, stop=1)


def second_epoch(start=0, parallel_calls=1):
    """A hash of every step of the second epoch of DIGITS."""
    batches = data.train_batches(
        data.load(data.DIGITS, "train"),
        [augment.RandomCrop(padding=4), augment.RandomFlip()],
        batch_size=128,
        seed=7,
        start=11 + start,
        stop=22,
        parallel_calls=parallel_calls,
    )
    return digests(batches)


def test_the_same_bytes_every_time():
    once = second_epoch()
    assert len(set(once)) == 11
    assert second_epoch() == once
    assert second_epoch(parallel_calls=8) == once
    assert second_epoch(start=5, parallel_calls=3) == once[5:]


@pytest.mark.slow
def test_the_same_bytes_in_another_process():
    elsewhere = subprocess.run(
        [
            sys.executable,
            "-c",
            "import test_batches; print(*test_batches.second_epoch(parallel_calls=4))",
        ],
        cwd=pathlib.Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.split() == second_epoch()


def test_batches_are_normalized():
    dataset = tiny()
    images = np.random.default_rng(0).integers(0, 256, (8, *SHAPE)).astype("uint8")
    examples = ArrayExamples(dataset, images, np.arange(8) % 2, ["even", "odd"])
    batch = next(data.evaluation_batches(examples, batch_size=8).as_numpy_iterator())
    expected = (images / 255 - dataset.mean) / dataset.std
    np.testing.assert_allclose(batch["images"], expected, atol=1e-6)
    np.testing.assert_array_equal(batch["labels"], np.eye(2)[np.arange(8) % 2])


def test_shapes_are_static():
    examples = numbered(25, classes=5)
    expected = {
        "images": tf.TensorSpec((10, *SHAPE), tf.float32),
        "labels": tf.TensorSpec((10, 5), tf.float32),
    }
    batches = data.train_batches(examples, [], batch_size=10, seed=1, start=0, stop=1)
    assert batches.element_spec == expected
    expected["weights"] = tf.TensorSpec((10,), tf.float32)
    assert data.evaluation_batches(examples, batch_size=10).element_spec == expected


def test_evaluation_sees_every_image_once():
    batches = list(data.evaluation_batches(numbered(25), batch_size=10).as_numpy_iterator())
    weights = np.concatenate([batch["weights"] for batch in batches])
    rows = np.concatenate([batch["images"][:, 0, 0, 0] for batch in batches])
    assert len(rows) == 30
    assert rows[weights == 1].tolist() == list(range(25))
    assert set(weights[25:]) == {0}


def test_keras_layers_mix_with_ours():
    layer = keras.layers.RandomBrightness(0.2)
    transforms = [augment.RandomFlip(), layer, augment.RandomCrop(padding=1)]
    batches = data.train_batches(numbered(20), transforms, batch_size=10, seed=1, start=0, stop=3)
    assert len(list(batches)) == 3
    assert data.stateful_transforms(transforms) == [layer]
    assert data.stateful_transforms(transforms[:1]) == []
