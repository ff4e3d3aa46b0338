"""A batch of noise, and ways to run a transform on it, for the tests of augmentations."""

import hashlib

import numpy as np
import tensorflow as tf

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (64, 12, 10, 3)).astype("uint8")
LABELS = np.eye(4, dtype="float32")[RNG.integers(0, 4, 64)]


def run(transform, images=IMAGES, labels=LABELS, seed=0):
    batch = {"images": tf.constant(images), "labels": tf.constant(labels)}
    return {key: value.numpy() for key, value in transform(batch, tf.constant([seed, 1])).items()}


def repeated(transform, runs, **batch):
    """The results of many runs, of seeds (0, 1), (1, 1), ..., in one call of one graph."""
    batch = {key: tf.constant(value) for key, value in batch.items()}
    compiled = tf.function(lambda seed: transform(batch, seed))
    seeds = tf.stack([tf.range(runs), tf.ones(runs, "int32")], axis=1)
    outputs = compiled.get_concrete_function(seeds[0]).structured_outputs
    signature = {key: tf.TensorSpec(value.shape, value.dtype) for key, value in outputs.items()}
    runs_of = tf.function(lambda: tf.map_fn(compiled, seeds, fn_output_signature=signature))
    results = runs_of()
    arrays = {key: values.numpy() for key, values in results.items()}
    for run in range(runs):
        yield {key: values[run] for key, values in arrays.items()}


def digests(batches):
    """A hash of every batch."""
    return [
        hashlib.sha256(batch["images"].tobytes() + batch["labels"].tobytes()).hexdigest()
        for batch in batches.as_numpy_iterator()
    ]


def chi_square(draws, outcomes):
    """Pearson's statistic of draws that should be uniform."""
    counts = np.bincount(draws, minlength=outcomes)
    expected = len(draws) / outcomes
    return np.sum((counts - expected) ** 2 / expected)
