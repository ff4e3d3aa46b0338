"""MixUp and CutMix blend shares of classes, not the numbers of classes."""

import numpy as np
import pytest
import tensorflow as tf

from keras_rescnet import augment, data
from keras_rescnet.mistake import Mistake
from support.augmenting import IMAGES, run
from support.tiny import tiny

MIXING = [augment.MixUp(), augment.CutMix()]
NAMES = ["MixUp", "CutMix"]
NUMBERS = np.arange(len(IMAGES)) % 4


@pytest.mark.parametrize(
    "labels",
    [
        NUMBERS,
        NUMBERS.astype("float32"),
        NUMBERS[:, None].astype("uint8"),  # as keras.datasets has them
        NUMBERS[:, None].astype("float32"),
        10 * np.eye(4)[NUMBERS],
    ],
    ids=["integers", "floats", "a column", "a column of floats", "not up to 1"],
)
@pytest.mark.parametrize("transform", MIXING, ids=NAMES)
def test_numbers_of_classes_are_refused(transform, labels):
    name = type(transform).__name__
    with pytest.raises(Mistake, match=f"{name} mixes labels, which must be one-hot.*Received: lab"):
        run(transform, IMAGES, labels)


@pytest.mark.parametrize("labels", [NUMBERS, NUMBERS[:, None]], ids=["integers", "a column"])
@pytest.mark.parametrize("transform", MIXING, ids=NAMES)
def test_numbers_of_classes_are_refused_in_a_graph(transform, labels):
    batch = {"images": tf.constant(IMAGES), "labels": tf.constant(labels)}
    with pytest.raises(Mistake, match="must be one-hot"):
        tf.function(transform, autograph=False)(batch, tf.constant([0, 1]))


def test_numbers_of_classes_are_refused_in_the_pipeline():
    """Where a transform of your own has made them."""
    images = np.zeros((4, 4, 4, 3), "uint8")
    examples = data.ArrayExamples(tiny(), images, np.arange(4) % 2, ["even", "odd"])

    def to_numbers(batch, seed):
        return {**batch, "labels": tf.argmax(batch["labels"], axis=1)}

    arguments = {"batch_size": 2, "seed": 0, "start": 0, "stop": 1}
    with pytest.raises(Mistake, match="must be one-hot"):
        data.train_batches(examples, [to_numbers, augment.MixUp()], **arguments)
    with pytest.raises(Mistake, match=r"labels in batches .* \(2, 2\) .*Received: \(2,\)"):
        data.train_batches(examples, [to_numbers], **arguments)


@pytest.mark.parametrize("transform", MIXING, ids=NAMES)
def test_labels_of_several_classes_are_mixed(transform):
    """Multi-hot, one column of 0 and 1 as floats, and any dtype."""
    several = np.random.default_rng(0).integers(0, 2, (len(IMAGES), 5))
    for labels in (several, several.astype("float64"), several[:, :1].astype("float32")):
        mixed = run(transform, IMAGES, labels)["labels"]
        assert mixed.dtype == "float32"
        np.testing.assert_allclose(mixed.sum(0), labels.sum(0), rtol=1e-5)


@pytest.mark.parametrize("transform", MIXING, ids=NAMES)
def test_what_else_a_batch_has_is_kept(transform):
    batch = {"images": IMAGES, "labels": np.eye(4)[NUMBERS], "weights": np.arange(64)}
    np.testing.assert_array_equal(transform(batch, (0, 1))["weights"], np.arange(64))


def test_a_beta_of_a_tiny_alpha_is_a_number():
    """Gamma variables of a small parameter are 0 more often than not."""
    lams = [float(augment.mix_up.beta(0.001, tf.constant([seed, 1]))) for seed in range(50)]
    assert all(0 <= lam <= 1 for lam in lams)
