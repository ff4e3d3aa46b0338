"""Images that are mirrored in every other epoch."""

import numpy as np
import pytest

from keras_rescnet import augment, data
from keras_rescnet.data import ArrayExamples
from keras_rescnet.mistake import Mistake
from support.tiny import tiny

COUNT, BATCH = 96, 16
STEPS = COUNT // BATCH


def examples():
    """Images whose number stands in every pixel, and in the left column whether it is there."""
    images = np.zeros((COUNT, 2, 3, 3), "uint8")
    images[..., 1] = np.arange(COUNT)[:, None, None]
    images[:, :, 0, 0] = 255
    dataset = tiny(classes=4, image_shape=(2, 3, 3))
    return ArrayExamples(dataset, images, np.arange(COUNT) % 4, list("abcd"))


def mirrored(epoch, seed=5, batch_size=BATCH, **shard):
    """Returns whether each image is mirrored in an epoch, by its number; -1 if it is not there."""
    source = examples()
    dataset, steps = source.dataset, COUNT // batch_size
    batches = data.train_batches(
        source,
        [augment.AlternatingFlip()],
        batch_size=batch_size,
        seed=seed,
        start=epoch * steps,
        stop=(epoch + 1) * steps,
        **shard,
    )
    found = np.full(COUNT, -1)
    for batch in batches.as_numpy_iterator():
        pixels = np.round((batch["images"] * dataset.std + dataset.mean) * 255).astype(int)
        found[pixels[:, 0, 0, 1]] = pixels[:, 0, 2, 0] == 255
    return found


def test_every_image_is_mirrored_in_every_other_epoch():
    first = mirrored(0)
    assert set(first) == {0, 1}
    np.testing.assert_array_equal(mirrored(1), 1 - first)
    np.testing.assert_array_equal(mirrored(2), first)
    np.testing.assert_array_equal(mirrored(7), 1 - first)


def test_the_first_state_is_a_draw_of_the_seed_alone():
    first = mirrored(0)
    assert abs(first.mean() - 0.5) < 4 * 0.5 / np.sqrt(COUNT)
    np.testing.assert_array_equal(mirrored(0, batch_size=48), first)
    other = mirrored(0, seed=6)
    assert abs(np.mean(other != first) - 0.5) < 4 * 0.5 / np.sqrt(COUNT)
    assert set(mirrored(0, seed=-(2**63))) == {0, 1}


def test_shards_mirror_as_the_whole_does():
    first, parts = mirrored(0), [mirrored(0, num_shards=2, shard_index=i) for i in (0, 1)]
    assert all((part == -1).sum() == COUNT // 2 for part in parts)
    np.testing.assert_array_equal(np.maximum(*parts), first)


def test_a_batch_by_itself_is_refused():
    batch = {"images": np.zeros((4, 2, 3, 3), "uint8"), "labels": np.eye(4)}
    with pytest.raises(Mistake, match="AlternatingFlip must be .*Received: a batch by itself"):
        augment.AlternatingFlip()(batch, (0, 1))
