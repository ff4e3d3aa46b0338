"""Batches and their pictures are made on all cores, and come out the same."""

import numpy as np
import pytest
import tensorflow as tf

from keras_rescnet import augment, data
from keras_rescnet.augment import Rows, cores
from keras_rescnet.data import batches
from support.tiny import tiny


@pytest.mark.parametrize(
    ("available", "batch_size", "image_shape", "calls"),
    [
        (2, 128, (32, 32, 3), 2),
        (1, 128, (32, 32, 3), 2),
        (128, 128, (32, 32, 3), 128),
        (128, 256, (224, 224, 3), 13),  # 154 MB each: 2 GiB
        (128, 2048, (224, 224, 3), 2),  # each with 128 pictures at a time
    ],
)
def test_as_many_batches_as_cores_and_memory_allow(
    monkeypatch, available, batch_size, image_shape, calls
):
    monkeypatch.setattr(batches, "available_cores", lambda: available)
    dataset = tiny(image_shape=image_shape)
    assert batches._parallel_calls(None, batch_size, dataset) == calls
    assert batches._parallel_calls(3, batch_size, dataset) == 3


def encoded_examples():
    pictures = np.random.default_rng(0).integers(0, 256, (16, 20, 24, 3)).astype("uint8")
    encoded = np.array([tf.io.encode_png(picture).numpy() for picture in pictures], object)
    return data.EncodedExamples(
        tiny(image_shape=(8, 8, 3)),
        16,
        lambda indices: (encoded[indices], indices % 2),
        ["even", "odd"],
    )


@pytest.mark.parametrize("transforms", [[], [augment.RandomResizedCrop(8)]], ids=["middle", "crop"])
def test_as_many_pictures_as_cores_are_decoded_at_a_time(monkeypatch, transforms):
    monkeypatch.setattr(cores, "available_cores", lambda: 96)
    read_batch, _ = encoded_examples().reader(transforms)
    traced = tf.function(lambda indices: read_batch(indices, Rows(16, tf.constant([0, 1]))))
    graph = traced.get_concrete_function(tf.TensorSpec((16,), "int64")).graph
    loops = [op for op in graph.get_operations() if op.type in ("While", "StatelessWhile")]
    assert [loop.get_attr("parallel_iterations") for loop in loops] == [96]


def test_cores_decide_no_number(monkeypatch):
    def made():
        found = data.train_batches(
            encoded_examples(),
            [augment.RandomResizedCrop(8), augment.RandomFlip()],
            batch_size=8,
            seed=1,
            start=0,
            stop=6,
        )
        return np.stack([batch["images"] for batch in found.as_numpy_iterator()])

    one = made()
    monkeypatch.setattr(cores, "available_cores", lambda: 64)
    monkeypatch.setattr(batches, "available_cores", lambda: 64)
    np.testing.assert_array_equal(made(), one)


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {3, 5, 7}, raising=False)
    assert cores.available_cores() == 3
    monkeypatch.delattr(cores.os, "sched_getaffinity")
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 12)
    assert cores.available_cores() == 12
