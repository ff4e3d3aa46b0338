"""AutoAugment and RandAugment: what they draw, and how often."""

import math

import numpy as np
import pytest
import tensorflow as tf

from keras_rescnet import augment
from keras_rescnet.augment import pillow, policies
from keras_rescnet.augment.auto_augment import POLICIES
from support.augmenting import run

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("policy", "name"), [("cifar10", "policy_CIFAR10Policy"), ("svhn", "policy_SVHNPolicy")]
)
def test_policies_are_the_reference(policy, name, golden):
    arrays = golden("autoaugment_ops")
    ours = [
        [str(field if not callable(field) else field.__name__) for field in row]
        for row in POLICIES[policy]
    ]
    theirs = [
        [entry.replace("X", "_x").replace("Y", "_y") for entry in row] for row in arrays[name]
    ]
    assert ours == theirs


def test_magnitudes_are_the_reference(golden):
    arrays = golden("autoaugment_ops")
    for operation, table in policies.MAGNITUDES.items():
        if table is None:
            continue
        name = operation.__name__.replace("_x", "X").replace("_y", "Y")
        offset = 1 if table is policies.ENHANCEMENT else 0
        np.testing.assert_allclose(table[1], offset + arrays[f"mag_{name}"], atol=1e-12)


@pytest.mark.parametrize("policy", ["cifar10", "svhn", "imagenet"])
def test_auto_augment_draws_what_its_policy_says(policy):
    """10,000 copies of one picture: how often each of the policy's outcomes comes out."""
    picture = RNG.integers(0, 256, (8, 8, 3)).astype("uint8")
    images = np.repeat(picture[None], 10_000, axis=0)
    found = run(augment.AutoAugment(policy), images, np.zeros((10_000, 1)))["images"]
    counts = {}
    for image in found:
        counts[image.tobytes()] = counts.get(image.tobytes(), 0) + 1
    expected = {}
    for p1, first, level1, p2, second, level2 in POLICIES[policy]:
        for probability1, image1 in outcomes(picture, p1, first, level1):
            for probability2, image2 in outcomes(image1, p2, second, level2):
                key = image2.tobytes()
                expected[key] = expected.get(key, 0) + probability1 * probability2 / 25
    assert counts.keys() <= expected.keys()
    assert math.isclose(sum(expected.values()), 1)
    for key, probability in expected.items():
        deviation = math.sqrt(10_000 * probability * (1 - probability))
        assert abs(counts.get(key, 0) - 10_000 * probability) < 4.5 * deviation + 1


def outcomes(image, probability, operation, level):
    """Probabilities and pictures after one step of a sub-policy."""
    yield 1 - probability, image
    table = policies.MAGNITUDES[operation]
    for sign in (0, 1):
        arguments = [] if table is None else [tf.constant(table[sign, level : level + 1])]
        yield probability / 2, operation(tf.constant(image[None]), *arguments).numpy()[0]


def test_rand_augment_draws_fourteen_operations_alike():
    picture = RNG.integers(0, 256, (8, 8, 3)).astype("uint8")
    images = np.repeat(picture[None], 14_000, axis=0)
    transform = augment.RandAugment(operations=1, magnitude=15)
    found = run(transform, images, np.zeros((14_000, 1)))["images"]
    half = {  # torchvision's table at bin 15 of 31
        pillow.shear_x: 0.15,
        pillow.shear_y: 0.15,
        pillow.translate_x: 75 / 331,
        pillow.translate_y: 75 / 331,
        pillow.rotate: 15.0,
        pillow.brightness: (0.55, 1.45),
        pillow.color: (0.55, 1.45),
        pillow.contrast: (0.55, 1.45),
        pillow.sharpness: (0.55, 1.45),
        pillow.posterize: (6.0, 6.0),
        pillow.solarize: (127.5, 127.5),
        pillow.autocontrast: None,
        pillow.equalize: None,
    }
    expected = {picture.tobytes(): 1 / 14}
    for operation, magnitude in half.items():
        pair = magnitude if isinstance(magnitude, tuple) else (magnitude, -(magnitude or 0))
        for value in pair:
            arguments = [] if magnitude is None else [tf.constant([value], "float64")]
            key = operation(tf.constant(picture[None]), *arguments).numpy().tobytes()
            expected[key] = expected.get(key, 0) + 1 / 28
    counts = {}
    for image in found:
        counts[image.tobytes()] = counts.get(image.tobytes(), 0) + 1
    assert counts.keys() == expected.keys()
    for key, probability in expected.items():
        deviation = math.sqrt(14_000 * probability)
        assert abs(counts[key] - 14_000 * probability) < 4.5 * deviation


def test_rand_augment_applies_several():
    images = np.repeat(RNG.integers(0, 256, (1, 8, 8, 3)).astype("uint8"), 5000, axis=0)
    for count in (1, 2):  # doing nothing, and equalizing 64 pixels, changes nothing
        found = run(augment.RandAugment(count, 20), images, np.zeros((5000, 1)))["images"]
        unchanged = np.mean(np.all(found == images, axis=(1, 2, 3)))
        assert abs(unchanged - (2 / 14) ** count) < 0.015
