"""The convolution that whitens patches, against its equation in float64."""

import keras
import numpy as np
import pytest

from keras_rescnet.layers import WhiteningConv2D
from keras_rescnet.mistake import Mistake

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.normal(size=(40, 9, 8, 3)).cumsum(axis=1).cumsum(axis=2).astype("float32")


def patches(images, size):
    """The patches `(N, size * size * 3)`, one by one."""
    count, height, width, _ = images.shape
    return np.stack(
        [
            images[n, y : y + size, x : x + size].ravel()
            for n in range(count)
            for y in range(height - size + 1)
            for x in range(width - size + 1)
        ]
    ).astype("float64")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_patches_are_uncorrelated_and_of_equal_size(size):
    layer = WhiteningConv2D(kernel_size=size, epsilon=1e-3)
    layer.adapt(IMAGES)
    found = patches(IMAGES, size)
    depth = found.shape[1]
    y = keras.ops.convert_to_numpy(layer(IMAGES)).reshape(-1, 2 * depth)
    y = y - keras.ops.convert_to_numpy(layer.bias)
    eigenvalues = np.linalg.eigvalsh(found.T @ found / len(found))
    moments = y[:, :depth].T.astype("float64") @ y[:, :depth] / len(y)
    # By the equation E[y_i y_j] = l_i / (l_i + epsilon) for i = j, and 0 otherwise
    expected = np.diag(eigenvalues / (eigenvalues + 1e-3))
    np.testing.assert_allclose(moments, expected, rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(y[:, depth:], -y[:, :depth], rtol=1e-4, atol=1e-4)


def test_batches_give_the_kernel_of_the_whole():
    whole, parts = WhiteningConv2D(), WhiteningConv2D()
    whole.adapt(IMAGES)
    parts.adapt(iter([IMAGES[:10], IMAGES[10:15], IMAGES[15:]]))
    ours, theirs = (keras.ops.convert_to_numpy(layer.kernel) for layer in (parts, whole))
    signs = np.sign(np.sum(ours * theirs, axis=(0, 1, 2)))  # those of eigenvectors are arbitrary
    np.testing.assert_allclose(ours * signs, theirs, rtol=1e-3, atol=1e-4)


def test_the_kernel_is_not_trained_and_the_bias_is():
    layer = WhiteningConv2D()
    layer.build((None, 8, 8, 3))
    assert [weight.name for weight in layer.trainable_weights] == ["bias"]
    assert [weight.name for weight in layer.non_trainable_weights] == ["kernel"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[0], r"must be an array \(N, H, W, C\).*Received: an array of shape \(9, 8, 3\)"),
        ([], r"`images` must not be empty. Received: images=\[\]"),
    ],
)
def test_other_images_are_refused(images, message):
    with pytest.raises(Mistake, match=message):
        WhiteningConv2D().adapt(images)
