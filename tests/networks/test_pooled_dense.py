"""PooledDense against the pooling and the matrix product that it joins."""

import keras
import numpy as np
import pytest

from keras_rescnet.layers.pooled_dense import PooledDense


def adaptive_pool(x, size):
    """PyTorch's `AdaptiveAvgPool2d`, by its definition."""
    height, width = x.shape[1:3]
    pooled = np.empty((len(x), size, size, x.shape[3]))
    for p in range(size):
        rows = slice(p * height // size, -(-(p + 1) * height // size))
        for q in range(size):
            columns = slice(q * width // size, -(-(q + 1) * width // size))
            pooled[:, p, q] = x[:, rows, columns].mean((1, 2))
    return pooled


# Repeats (VGG's and AlexNet's), uneven repeats, both at once, nothing, true averages.
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (4, 4), (3, 7), (6, 6), (7, 7), (13, 9)])
def test_output_is_dense_on_pooled_maps(shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, *shape, 3)).astype("float32")
    layer = PooledDense(4, pool_size=6, bias_initializer="normal")
    y = layer(x)
    features = adaptive_pool(x.astype("float64"), 6).reshape(5, -1)
    expected = features @ np.asarray(layer.kernel).reshape(-1, 4) + np.asarray(layer.bias)
    assert layer.kernel.shape == (6, 6, 3, 4)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_the_plain_product():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 2, 2, 3)).astype("float32")
    target = rng.normal(size=(5, 4)).astype("float32")
    model = keras.Sequential([keras.Input((2, 2, 3)), PooledDense(4, pool_size=6)])
    before = [np.asarray(weight, "float64") for weight in model.weights]
    model.compile(keras.optimizers.SGD(1.0), keras.losses.MeanSquaredError())
    model.train_on_batch(x, target)
    features = adaptive_pool(x.astype("float64"), 6).reshape(5, -1)
    error = features @ before[0].reshape(-1, 4) + before[1] - target
    kernel = before[0] - (features.T @ error * 2 / error.size).reshape(6, 6, 3, 4)
    np.testing.assert_allclose(model.weights[0], kernel, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.weights[1], before[1] - error.sum(0) * 2 / error.size, 1e-4)


def test_dropout_drops_repeats_one_by_one():
    # Each of the 36 copies of a feature has its own fate, so the mean of kept ones varies.
    layer = PooledDense(1, pool_size=6, dropout=0.5, kernel_initializer="ones")
    x = np.ones((2000, 1, 1, 1), "float32")
    np.testing.assert_allclose(layer(x), 36.0)
    kept = np.asarray(layer(x, training=True)) / 2.0
    assert abs(kept.mean() - 18.0) < 4 * 3.0 / np.sqrt(2000)
    assert abs(kept.std() - 3.0) < 0.2  # Binomial(36, 1/2)


def test_mixed_precision_and_config():
    layer = PooledDense(4, pool_size=3, dropout=0.25, dtype="mixed_bfloat16", name="fc1")
    y = layer(np.ones((2, 2, 2, 3), "float32"))
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    restored = keras.layers.deserialize(keras.layers.serialize(layer))
    assert restored.get_config() == layer.get_config()
    assert restored.dropout.rate == 0.25


def test_unknown_size_is_refused():
    with pytest.raises(ValueError, match=r"known H, W and C.*\(None, None, 2, 3\)"):
        PooledDense(4, pool_size=3).build((None, None, 2, 3))
