"""Augmentations against numpy, Pillow and the paper's code."""

import hashlib
import math
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_rescnet import augment, data
from keras_rescnet.augment import pillow, policies
from keras_rescnet.augment.auto_augment import POLICIES
from keras_rescnet.augment.color_jitter import shift_hue
from keras_rescnet.data.array_examples import ArrayExamples

GOLDEN = np.load(pathlib.Path(__file__).parent / "golden" / "autoaugment_ops.npz")
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (64, 12, 10, 3)).astype("uint8")
LABELS = np.eye(4, dtype="float32")[RNG.integers(0, 4, 64)]

TRANSFORMS = [
    augment.RandomCrop(2),
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


def run(transform, images=IMAGES, labels=LABELS, seed=0):
    batch = {"images": tf.constant(images), "labels": tf.constant(labels)}
    return {key: value.numpy() for key, value in transform(batch, tf.constant([seed, 1])).items()}


def repeated(transform, runs, **batch):
    """The results of many runs, compiled once."""
    batch = {key: tf.constant(value) for key, value in batch.items()}
    compiled = tf.function(lambda seed: transform(batch, seed))
    for seed in range(runs):
        yield {k: v.numpy() for k, v in compiled(tf.constant([seed, 1])).items()}


@pytest.mark.parametrize("transform", TRANSFORMS, ids=IDS)
def test_a_transform_is_a_function_of_batch_and_seed(transform):
    eager = run(transform)
    in_graph, other_seed = repeated(transform, 2, images=IMAGES, labels=LABELS)
    for key, value in eager.items():
        np.testing.assert_array_equal(in_graph[key], value)
    assert not np.array_equal(other_seed["images"], eager["images"])


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


def test_random_crop_cuts_windows_of_the_padded_image():
    found = []
    for batch in repeated(augment.RandomCrop(padding=2), 20, images=IMAGES, labels=LABELS):
        for before, after in zip(IMAGES, batch["images"], strict=True):
            padded = np.pad(before, [(2, 2), (2, 2), (0, 0)])
            windows = [
                (y, x)
                for y in range(5)
                for x in range(5)
                if np.array_equal(padded[y : y + 12, x : x + 10], after)
            ]
            assert len(windows) == 1
            found += windows
    assert chi_square([5 * y + x for y, x in found], 25) < 51.2  # 99.9 % of 24 degrees


def chi_square(draws, outcomes):
    counts = np.bincount(draws, minlength=outcomes)
    expected = len(draws) / outcomes
    return np.sum((counts - expected) ** 2 / expected)


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5, 1.0])
def test_random_flip_mirrors_its_share(probability):
    flips = []
    for batch in repeated(augment.RandomFlip(probability), 160, images=IMAGES, labels=LABELS):
        flipped = np.all(batch["images"] == IMAGES[:, :, ::-1], axis=(1, 2, 3))
        np.testing.assert_array_equal(batch["images"][~flipped], IMAGES[~flipped])
        flips.append(flipped.mean())
    assert abs(np.mean(flips) - probability) < 0.02  # 10,240 draws: 4 standard deviations


@pytest.mark.parametrize(
    ("policy", "golden"), [("cifar10", "policy_CIFAR10Policy"), ("svhn", "policy_SVHNPolicy")]
)
def test_policies_are_the_reference(policy, golden):
    ours = [
        [str(field if not callable(field) else field.__name__) for field in row]
        for row in POLICIES[policy]
    ]
    theirs = [
        [name.replace("X", "_x").replace("Y", "_y") for name in row] for row in GOLDEN[golden]
    ]
    assert ours == theirs


def test_magnitudes_are_the_reference():
    for operation, table in policies.MAGNITUDES.items():
        if table is None:
            continue
        name = operation.__name__.replace("_x", "X").replace("_y", "Y")
        offset = 1 if table is policies.ENHANCEMENT else 0
        np.testing.assert_allclose(table[1], offset + GOLDEN[f"mag_{name}"], atol=1e-12)


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


def erased(images, value):
    """Top, left, rows and columns of what was filled with `value`; checks that it is a box."""
    boxes = []
    for image in images:
        mask = np.all(image == value, axis=-1)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows) == 0:
            continue
        box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert box.all()
        boxes.append((rows[0], columns[0], *box.shape))
    return np.array(boxes).T


def test_random_erasing_takes_the_papers_squares():
    """CIFAR-100's setting: squares of 8 to 10 pixels in half of the images (FACTS of the code)."""
    mean = [255 * m for m in data.CIFAR100.mean]
    images = np.full((10_000, 32, 32, 3), 7, "uint8")
    transform = augment.RandomErasing(scale=(0.0625, 0.1), ratio=(0.99, 1.0), value=mean)
    found = run(transform, images, np.zeros((10_000, 1)))["images"]
    assert found.dtype == "float32"
    top, left, rows, columns = erased(found, np.float32(mean))
    assert abs(len(top) / 10_000 - 0.5) < 0.02
    assert np.all(np.abs(rows - columns) <= 1)
    # sqrt(1024 U(.0625, .1)) rounds to 8, 9 or 10: below 8.5, below 9.5, and the rest.
    edges = (np.array([8.0, 8.5, 9.5, np.sqrt(102.4)]) ** 2 / 1024 - 0.0625) / 0.0375
    shares = np.bincount(rows, minlength=11)[8:] / len(rows)
    np.testing.assert_allclose(shares, np.diff(edges), atol=0.03)
    for start in (top, left):
        nines = start[rows == 9]
        assert chi_square(nines, 24) < 49.7  # 99.9 % of 23 degrees
    np.testing.assert_array_equal(found[np.all(found == 7, axis=(1, 2, 3))], 7)


def test_random_erasing_draws_area_and_aspect():
    images = np.full((10_000, 100, 100, 1), 7, "uint8")
    transform = augment.RandomErasing(1.0, scale=(0.1, 0.2), ratio=(0.5, 2.0))
    found = run(transform, images, np.zeros((10_000, 1)))["images"]
    assert found.dtype == "uint8"
    _, _, rows, columns = erased(found, 0)
    assert len(rows) == 10_000
    share, aspect = rows * columns / 10_000, np.log(rows / columns)
    assert abs(share.mean() - 0.15) < 0.002
    assert abs(share.std() - 0.1 / math.sqrt(12)) < 0.002
    assert abs(aspect.mean()) < 0.02
    assert abs(aspect.std() - math.log(4) / math.sqrt(12)) < 0.01


def test_random_erasing_leaves_out_what_never_fits():
    transform = augment.RandomErasing(1.0, scale=(1.0, 1.0), ratio=(0.2, 0.2))
    np.testing.assert_array_equal(run(transform)["images"], IMAGES)


@pytest.mark.parametrize("length", [8, 5])
def test_cutout_clips_its_square(length):
    images = np.full((10_000, 16, 20, 3), 7, "uint8")
    found = run(augment.Cutout(length), images, np.zeros((10_000, 1)))["images"]
    top, left, rows, columns = erased(found, 0)
    half = length // 2
    seen = set(zip(top.tolist(), left.tolist(), rows.tolist(), columns.tolist(), strict=True))
    expected = {
        (
            max(y - half, 0),
            max(x - half, 0),
            min(y + half, 16) - max(y - half, 0),
            min(x + half, 20) - max(x - half, 0),
        )
        for y in range(16)
        for x in range(20)
    }
    assert seen == expected


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mix_up_blends_with_the_image_before(alpha):
    lams = []
    for batch in repeated(
        augment.MixUp(alpha), 2000, images=IMAGES[:3, :2, :2], labels=np.eye(3, dtype="float32")
    ):
        lam = batch["labels"][0, 0]
        lams.append(lam)
        np.testing.assert_allclose(
            batch["labels"], lam * np.eye(3) + (1 - lam) * np.roll(np.eye(3), 1, 0), atol=1e-6
        )
        images = IMAGES[:3, :2, :2].astype("float64")
        expected = lam * images + (1 - lam) * np.roll(images, 1, axis=0)
        np.testing.assert_allclose(batch["images"], expected, atol=1e-4)
    assert abs(np.mean(lams) - 0.5) < 0.04
    variance = 1 / (4 * (2 * alpha + 1))  # of Beta(alpha, alpha)
    assert abs(np.var(lams) - variance) < 0.012


def test_cut_mix_pastes_a_box_and_counts_it():
    """The box, clipped at the edges, and labels by the share of it that is left."""
    images = np.zeros((4, 12, 20, 3), "uint8") + np.arange(4, dtype="uint8")[:, None, None, None]
    shares, clipped, whole = [], 0, 0
    for batch in repeated(augment.CutMix(), 4000, images=images, labels=np.eye(4, dtype="float32")):
        found, labels = batch["images"], batch["labels"]
        mask = found[0, :, :, 0] != 0
        for i in range(4):
            partner = (i - 1) % 4
            np.testing.assert_array_equal(found[i, :, :, 0], np.where(mask, partner, i))
        share = mask.mean()
        expected = (1 - share) * np.eye(4) + share * np.roll(np.eye(4), 1, axis=0)
        np.testing.assert_allclose(labels, expected, atol=1e-6)
        shares.append(share)
        if mask.any():
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            at_edge = rows[0] == 0 or columns[0] == 0 or rows[-1] == 11 or columns[-1] == 19
            clipped += at_edge
            if not at_edge:  # int(r H) rows and int(r W) columns on either side
                half_rows, half_columns = len(rows) / 2, len(columns) / 2
                assert half_rows == int(half_rows) and half_columns == int(half_columns)
                whole += 1
                assert half_rows / 12 < (half_columns + 1) / 20
                assert half_columns / 20 < (half_rows + 1) / 12
    assert clipped > 500 and whole > 500
    assert abs(np.mean(shares) - reference_share()) < 0.015


def reference_share():
    """Mean share of the box over uniform lam and centre, summed over every case in numpy."""
    r = 0.5 * np.sqrt(1 - (np.arange(2000) + 0.5) / 2000)

    def covered(size):
        half, centre = (r * size).astype(int)[:, None], np.arange(size)
        return (np.minimum(centre + half, size) - np.maximum(centre - half, 0)).mean(1) / size

    return np.mean(covered(12) * covered(20))


def test_random_choice_is_one_for_the_batch():
    transform = augment.RandomChoice([augment.MixUp(), augment.CutMix(), augment.RandomFlip(1.0)])
    chosen = []
    for batch in repeated(transform, 1500, images=IMAGES[:8], labels=LABELS[:8]):
        images = batch["images"]
        assert images.dtype == "float32"
        flipped = np.array_equal(images, IMAGES[:8, :, ::-1])
        cut = np.all((images == IMAGES[:8]) | (images == np.roll(IMAGES[:8], 1, axis=0)))
        chosen.append(2 if flipped else 1 if cut else 0)
    assert chi_square(chosen, 3) < 13.8  # 99.9 % of 2 degrees


def test_color_jitter_draws_factors_and_order():
    """Brightness and contrast of a picture of two greys give away both factors and the order."""
    picture = np.full((4, 4, 3), 40, "uint8")
    picture[:2] = 80
    images = np.repeat(picture[None], 10_000, axis=0)
    transform = augment.ColorJitter(brightness=0.5)
    found = run(transform, images, np.zeros((10_000, 1)))["images"]
    factors = found[:, 0, 0, 0] / 80
    assert 0.48 < factors.min() < 0.51 and 1.48 < factors.max() <= 1.5
    assert abs(factors.mean() - 1 + 0.5 / 80) < 0.012
    both = augment.ColorJitter(brightness=1.0, contrast=(1.0))
    found = run(both, images, np.zeros((10_000, 1)))["images"].astype(int)
    # Contrast last: around the mean grey of the brightened picture. Brightness last: a multiple.
    assert len(np.unique(found[:, 0, 0, 0])) > 150


def test_hue_goes_round_the_circle():
    red = np.zeros((1, 2, 2, 3), "uint8")
    red[..., 0] = 200
    for shift, channel in ((1 / 3, 1), (-1 / 3, 2), (1.0, 0), (0.0, 0)):
        shifted = shift_hue(tf.constant(red), tf.constant([shift], "float64")).numpy()
        expected = np.zeros((1, 2, 2, 3))
        expected[..., channel] = 200
        np.testing.assert_allclose(shifted, expected, atol=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.RandomCrop(0), "positive integer.*padding=0"),
        (lambda: augment.RandomCrop(1.5), "positive integer.*padding=1.5"),
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


def test_a_long_chain_is_the_same_for_any_parallel_calls():
    pixels = np.random.default_rng(1).integers(0, 256, (320, 32, 32, 3)).astype("uint8")
    names = data.DIGITS.class_names
    examples = ArrayExamples(data.DIGITS, pixels, np.arange(320) % 10, names)

    def digests(start, parallel_calls):
        batches = data.train_batches(
            examples,
            table3(data.DIGITS.mean),
            batch_size=32,
            seed=3,
            start=start,
            stop=20,
            parallel_calls=parallel_calls,
        )
        return [
            hashlib.sha256(b["images"].tobytes() + b["labels"].tobytes()).digest()
            for b in batches.as_numpy_iterator()
        ]

    once = digests(0, 1)
    assert len(set(once)) == 20
    assert digests(0, 8) == once
    assert digests(13, 4) == once[13:]
