"""RandomErasing and Cutout."""

import math

import numpy as np
import pytest

from keras_rescnet import augment, data
from support.augmenting import IMAGES, chi_square, run


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
    """CIFAR-100's setting: squares of 8 to 10 pixels in half of the images, as its scripts say."""
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
