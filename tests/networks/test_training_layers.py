"""Layers that do something in training alone: random factors, masks, noise on weights."""

import keras
import numpy as np
import pytest

from keras_rescnet import layers
from support.gradients import pull_back_layer

X = np.random.default_rng(0).normal(size=(3, 32))
W = {  # of AdvancedDropout(8), larger than they start
    "kernel": np.random.default_rng(1).normal(size=(32, 4)),
    "bias": np.array(0.3),
    "mu_kernel": np.random.default_rng(2).normal(size=4),
    "mu_bias": np.array(-0.2),
    "sigma_kernel": np.random.default_rng(3).normal(size=4),
    "sigma_bias": np.array(0.7),
}


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def advanced_dropout(x, noise, w, fixed=None):
    """The authors' `forward` in NumPy, and the statistics that their divisor is made of.

    With `fixed`, those of other weights, whose divisor has no gradient.
    """
    h = x @ w["kernel"] + w["bias"]
    mu = (h @ w["mu_kernel"] + w["mu_bias"]).mean()
    sigma = np.log1p(np.exp(h @ w["sigma_kernel"] + w["sigma_bias"])).mean()
    mask = sigmoid(mu + sigma * noise)
    divisor_mu, divisor_sigma = fixed or (mu, sigma)
    kept = sigmoid(divisor_mu / np.sqrt(1.0 + 3.14 / 8.0 * divisor_sigma**2))
    return x * mask / kept, (mu, sigma)


@pytest.fixture
def noise(monkeypatch):
    """The random numbers of the layer, known to the test."""
    numbers = np.random.default_rng(4).normal(size=X.shape)

    def normal(shape, dtype, seed):
        return keras.ops.convert_to_tensor(numbers, dtype)

    monkeypatch.setattr(keras.random, "normal", normal)
    return numbers


def test_advanced_dropout_is_that_of_its_authors(noise):
    layer = layers.AdvancedDropout(8)
    layer.build((None, 32))
    for variable in layer.trainable_variables:
        variable.assign(W[variable.name])
    upstream = np.random.default_rng(5).normal(size=X.shape)
    x = X.astype("float32")
    y, by_x, by_weights = pull_back_layer(layer, x, upstream.astype("float32"), training=True)
    expected, fixed = advanced_dropout(X, noise, W)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)

    def loss(x, w):
        return (upstream * advanced_dropout(x, noise, w, fixed)[0]).sum()

    step = 1e-6
    for variable, gradient in zip(layer.trainable_variables, by_weights, strict=True):
        slopes = np.zeros(W[variable.name].shape)
        for place in np.ndindex(slopes.shape):
            moved = [dict(W), dict(W)]
            for w, sign in zip(moved, (1, -1), strict=True):
                w[variable.name] = W[variable.name].copy()
                w[variable.name][place] += sign * step
            slopes[place] = (loss(X, moved[0]) - loss(X, moved[1])) / (2 * step)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-4, err_msg=variable.name)
    along = np.random.default_rng(6).normal(size=X.shape)
    slope = (loss(X + step * along, W) - loss(X - step * along, W)) / (2 * step)
    np.testing.assert_allclose((by_x * along).sum(), slope, rtol=1e-4)


def test_advanced_dropout_starts_as_that_of_its_authors_and_keeps_the_mean():
    layer = layers.AdvancedDropout(seed=0)
    x = np.ones((4000, 512), "float32")
    y = keras.ops.convert_to_numpy(layer(x, training=True))
    assert layer.count_params() == 16_451  # n (n // 16) + 1 + 2 (n // 16) + 2 of n = 512
    arrays = {v.name: keras.ops.convert_to_numpy(v) for v in layer.trainable_variables}
    assert arrays["mu_bias"] == 0 and arrays["sigma_bias"] == np.float32(1.2)
    for name in ("kernel", "bias", "mu_kernel", "sigma_kernel"):
        assert np.all((arrays[name] >= 0) & (arrays[name] < 0.01)), name
    # 2 million factors of standard deviation 0.6; the divisor is within 0.005 of their mean
    assert abs(y.mean() - 1.0) < 0.01
    again = keras.ops.convert_to_numpy(layer(x, training=True))
    assert np.any(again != y)
    np.testing.assert_array_equal(layer(x), x)


def test_a_region_mask_scales_every_place_and_its_mean_is_penalized():
    layer = layers.RegionMask(regularization=0.25)
    images = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    layer.build(images.shape)
    logits = np.random.default_rng(1).normal(size=(3, 5, 1))
    layer.logits.assign(logits)
    mask = sigmoid(logits)
    np.testing.assert_allclose(layer(images), images * mask, rtol=1e-5, atol=1e-6)
    assert layer.losses == []  # a test has the loss of the pictures alone
    layer(images, training=True)
    np.testing.assert_allclose(layer.losses, [0.25 * mask.mean()], rtol=1e-6)


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_noise_on_weights_gives_the_gradient_of_a_smoothed_loss(noise):
    """Of `w^3` a Gaussian of standard deviation s makes `w^3 + 3 w s^2`, with slope 3 (w^2 + s^2).

    100,000 weights w = 0.7 have noise of their own: their mean is that of so many draws.
    """
    w, count = 0.7, 100_000
    dense = keras.layers.Dense(
        count, use_bias=False, kernel_initializer=keras.initializers.Constant(w)
    )
    layer = layers.WeightNoise(dense, noise, seed=1)
    cubed = keras.Sequential([keras.Input((1,)), layer, keras.layers.Lambda(lambda x: x**3)])
    one, upstream = np.ones((1, 1), "float32"), np.ones((1, count), "float32")
    y, _, (gradient,) = pull_back_layer(cubed, one, upstream, training=True)
    moved, s = np.cbrt(y.astype("float64")).ravel(), noise * w
    assert abs(moved.mean() - w) < 5 * s / count**0.5
    assert abs(moved.std() / s - 1.0) < 5 / (2 * count) ** 0.5
    np.testing.assert_allclose(gradient.ravel(), 3 * moved**2, rtol=1e-4)  # where the noise was
    gradient = gradient.astype("float64")
    expected, deviation = 3 * (w**2 + s**2), 3 * np.sqrt(4 * w**2 * s**2 + 2 * s**4)
    assert abs(gradient.mean() - expected) < 5 * deviation / count**0.5
    np.testing.assert_array_equal(layer(one), np.full((1, count), w, "float32"))


@pytest.mark.parametrize("scale", [1e-5, 1.0, 300.0])
def test_noise_on_weights_is_drawn_in_their_dtype(scale):
    """The mean square of these weights is 0 or infinite in float16."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        kernels = keras.initializers.Constant(scale)
        dense = keras.layers.Dense(
            10_000, kernel_initializer=kernels, use_bias=False, dtype="float32"
        )
        layer = layers.WeightNoise(dense, 0.1, seed=0)
        one = keras.Input((1,))
        model = keras.Model(one, layer(one))  # which is mixed itself
        assert model.output.dtype == "float32"
        for network in (layer, model):
            y = np.asarray(network(np.ones((1, 1), "float16"), training=True), "float64")
            assert abs(y.std() / scale - 0.1) < 5 * 0.1 / (2 * y.size) ** 0.5
        half = layers.WeightNoise(keras.layers.Dense(2))
        assert half(keras.KerasTensor((1, 1))).dtype == "float16"
    finally:
        keras.config.set_dtype_policy(policy)


def test_noise_on_weights_leaves_statistics_seeds_and_losses_to_the_layer():
    inner = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, activity_regularizer=keras.ops.sum),  # Keras divides by 64
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.Dropout(0.5, seed=3),
        ]
    )
    inner.layers[0].bias.assign(np.arange(5.0))
    inner.layers[0].trainable = False  # no noise on what is frozen
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    layer = layers.WeightNoise(inner, noise=0.1, seed=1)
    before = keras.ops.convert_to_numpy(inner.layers[-1].seed_generator.state).copy()
    layer(x, training=True)
    kernel = keras.ops.convert_to_numpy(inner.layers[0].kernel)
    means = (x @ kernel + np.arange(5.0)).mean(axis=0)
    (loss,) = layer.losses
    np.testing.assert_allclose(loss, means.sum(), rtol=1e-5)
    found = keras.ops.convert_to_numpy(inner.layers[1].moving_mean)
    np.testing.assert_allclose(found, 0.5 * means, rtol=1e-4, atol=1e-5)
    after = keras.ops.convert_to_numpy(inner.layers[-1].seed_generator.state)
    assert after[1] == before[1] + 1
