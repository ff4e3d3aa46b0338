"""MixUp, CutMix and the choice between them."""

import numpy as np
import pytest

from keras_rescnet import augment
from support.augmenting import IMAGES, LABELS, chi_square, repeated


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
    before = np.roll(images[..., 0], 1, axis=0)
    shares, clipped, whole = [], 0, 0
    for batch in repeated(augment.CutMix(), 4000, images=images, labels=np.eye(4, dtype="float32")):
        found, labels = batch["images"], batch["labels"]
        mask = found[0, :, :, 0] != 0
        assert np.array_equal(found[..., 0], np.where(mask, before, images[..., 0]))
        share = mask.mean()
        expected = (1 - share) * np.eye(4) + share * np.roll(np.eye(4), 1, axis=0)
        assert np.abs(labels - expected).max() < 1e-6
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


def test_random_choice_leaves_what_else_a_batch_has():
    transform = augment.RandomChoice([augment.MixUp(), augment.RandomFlip()])
    numbers, names = np.array([2**24 + 1, 2, 3, 4]), np.array(list("abcd"))
    batch = {"images": IMAGES[:4], "labels": LABELS[:4], "number": numbers, "name": names}
    found = transform(batch, (0, 1))
    np.testing.assert_array_equal(found["number"], numbers)
    np.testing.assert_array_equal(np.asarray(found["name"]).astype(str), names)


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
