"""What all augmentations have in common, crops and flips, and a whole chain."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_rescnet import augment, data
from keras_rescnet.data import ArrayExamples
from support.augmenting import IMAGES, LABELS, chi_square, digests, repeated, run

TRANSFORMS = [
    augment.RandomCrop(2),
    augment.RandomCrop(2, "reflect"),
    augment.RandomFlip(),
    augment.AutoAugment("cifar10"),
    augment.RandAugment(),
    augment.RandomErasing(),
    augment.RandomErasing(value=(1.5, 2.5, 3.5)),
    augment.Cutout(4),
    augment.ColorJitter(0.4, 0.4, 0.4, 0.1),
    augment.RandomResizedCrop(8),
    augment.MixUp(),
    augment.CutMix(),
    augment.RandomChoice([augment.MixUp(), augment.CutMix()]),
]
IDS = [type(transform).__name__ for transform in TRANSFORMS]


@pytest.mark.parametrize(
    "transform",
    [
        pytest.param(transform, id=name, marks=[pytest.mark.slow] * (name == "AutoAugment"))
        for transform, name in zip(TRANSFORMS, IDS, strict=True)
    ],
)
def test_a_transform_is_a_function_of_batch_and_seed(transform):
    eager = run(transform)
    in_graph, other_seed = repeated(transform, 2, images=IMAGES, labels=LABELS)
    for key, value in eager.items():
        np.testing.assert_array_equal(in_graph[key], value)
    assert not np.array_equal(other_seed["images"], eager["images"])


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint64"])
def test_seeds_may_come_from_a_dataset(dtype):
    """As `Dataset.random` and `batch` make them: of a length that is only found when it runs."""
    seeds = tf.data.Dataset.from_tensor_slices(np.array([3, 4, 5], dtype)).batch(2)
    flip, batch = augment.RandomFlip(), {"images": IMAGES}
    found = iter(seeds.map(lambda seed: flip(batch, seed)["images"]))
    np.testing.assert_array_equal(next(found), flip(batch, (3, 4))["images"])
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"compatible with expected shape \[2\]"
    ):
        next(found)  # of one number


@pytest.mark.parametrize("transform", TRANSFORMS, ids=IDS)
def test_shapes_stay_known(transform):
    batch = {"images": tf.constant(IMAGES), "labels": tf.constant(LABELS)}
    signature = tf.function(transform).get_concrete_function(batch, tf.constant([0, 1]))
    images = signature.structured_outputs["images"].shape
    assert images == (
        (64, 8, 8, 3) if isinstance(transform, augment.RandomResizedCrop) else IMAGES.shape
    )
    assert signature.structured_outputs["labels"].shape == LABELS.shape


KEPT = [
    t
    for t in TRANSFORMS
    if type(t) in (augment.RandomCrop, augment.RandomFlip, augment.Cutout, augment.CutMix)
]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("transform", KEPT, ids=lambda t: type(t).__name__)
def test_dtype_is_kept(transform, dtype):
    images = run(transform, IMAGES.astype(dtype))["images"]
    assert images.dtype == dtype
    np.testing.assert_array_equal(images, run(transform)["images"])


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_random_crop_cuts_windows_of_the_padded_image(mode):
    found = []
    for batch in repeated(augment.RandomCrop(2, mode), 20, images=IMAGES, labels=LABELS):
        for before, after in zip(IMAGES, batch["images"], strict=True):
            padded = np.pad(before, [(2, 2), (2, 2), (0, 0)], mode)
            windows = [
                (y, x)
                for y in range(5)
                for x in range(5)
                if np.array_equal(padded[y : y + 12, x : x + 10], after)
            ]
            assert len(windows) == 1
            found += windows
    assert chi_square([5 * y + x for y, x in found], 25) < 51.2  # 99.9 % of 24 degrees


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5, 1.0])
def test_random_flip_mirrors_its_share(probability):
    flips = []
    for batch in repeated(augment.RandomFlip(probability), 160, images=IMAGES, labels=LABELS):
        flipped = np.all(batch["images"] == IMAGES[:, :, ::-1], axis=(1, 2, 3))
        np.testing.assert_array_equal(batch["images"][~flipped], IMAGES[~flipped])
        flips.append(flipped.mean())
    assert abs(np.mean(flips) - probability) < 0.02  # 10,240 draws: 4 standard deviations


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.RandomCrop(0), "positive integer.*padding=0"),
        (lambda: augment.RandomCrop(1.5), "positive integer.*padding=1.5"),
        (lambda: augment.RandomCrop(2, "edge"), "`padding_mode` must be .*padding_mode='edge'"),
        (lambda: augment.RandomFlip(1.5), r"\[0, 1\].*probability=1.5"),
        (lambda: augment.AutoAugment("cifar"), r"\['cifar10', 'svhn', 'imagenet'\].*'cifar'"),
        (lambda: augment.RandAugment(0), "positive integer.*operations=0"),
        (lambda: augment.RandAugment(2, 31), "from 0 to 30.*magnitude=31"),
        (lambda: augment.RandAugment(2, 9.5), "from 0 to 30.*magnitude=9.5"),
        (lambda: augment.RandomErasing(-0.1), r"\[0, 1\].*probability=-0.1"),
        (lambda: augment.RandomErasing(scale=(0.3, 0.1)), r"`scale`.*\(0.3, 0.1\)"),
        (lambda: augment.RandomErasing(ratio=(0, 1)), r"`ratio`.*\(0, 1\)"),
        (lambda: augment.RandomErasing(value=256), r"`value`.*value=256"),
        (lambda: augment.RandomErasing(value="mean"), r"`value`.*value='mean'"),
        (lambda: augment.Cutout(1), "at least 2.*length=1"),
        (lambda: augment.MixUp(0), "positive.*alpha=0"),
        (lambda: augment.CutMix(-1), "positive.*alpha=-1"),
        (lambda: augment.RandomChoice([]), r"at least one.*Received: \[\]"),
        (lambda: augment.RandomChoice([keras.layers.RandomFlip()]), r"Received: \['RandomFlip'\]"),
        (lambda: augment.RandomResizedCrop(0), "positive integer.*size=0"),
        (lambda: augment.RandomResizedCrop(8, scale=(0.5, 1.5)), r"`scale`.*\(0.5, 1.5\)"),
        (lambda: augment.RandomResizedCrop(8, ratio=(2, 1)), r"`ratio`.*\(2, 1\)"),
        (lambda: augment.ColorJitter(brightness=-1), "brightness=-1"),
        (lambda: augment.ColorJitter(hue=0.6), r"\[0, 0.5\].*hue=0.6"),
        (lambda: augment.ColorJitter(), "must change something"),
    ],
)
def test_arguments_are_checked_when_it_is_made(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_erasing_needs_a_value_for_each_channel():
    with pytest.raises(ValueError, match=r"one value or 3.*value=\[1.0, 2.0\]"):
        run(augment.RandomErasing(value=(1, 2)))


def test_grey_images_are_refused_by_colour_operations():
    with pytest.raises(ValueError, match=r"3 channels.*\(64, 12, 10, 1\)"):
        run(augment.AutoAugment("svhn"), IMAGES[..., :1])


def table3(mean):
    """The transforms of the paper's Table 3."""
    return [
        augment.RandomCrop(padding=4),
        augment.RandomFlip(),
        augment.AutoAugment("cifar10"),
        augment.RandomErasing(
            scale=(0.0625, 0.1), ratio=(0.99, 1.0), value=[255 * m for m in mean]
        ),
        augment.RandomChoice([augment.MixUp(), augment.CutMix()]),
    ]


@pytest.mark.slow
def test_a_long_chain_is_the_same_for_any_parallel_calls():
    pixels = np.random.default_rng(1).integers(0, 256, (320, 32, 32, 3)).astype("uint8")
    names = data.DIGITS.class_names
    examples = ArrayExamples(data.DIGITS, pixels, np.arange(320) % 10, names)

    batches = functools.partial(
        data.train_batches, examples, table3(data.DIGITS.mean), batch_size=32, seed=3, stop=20
    )
    once = digests(batches(start=0, parallel_calls=1))
    assert len(set(once)) == 20
    assert digests(batches(start=7, parallel_calls=8)) == once[7:]


def test_a_reflection_is_smaller_than_the_image():
    with pytest.raises(ValueError, match=r"smaller than the images. Received: padding=10.*12, 10"):
        run(augment.RandomCrop(10, "reflect"))
    assert run(augment.RandomCrop(9, "reflect"))["images"].shape == IMAGES.shape
