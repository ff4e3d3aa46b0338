"""RCLayer against the reference's golden values, SqueezeExcite, and what both refuse."""

import keras
import numpy as np
import pytest

from keras_rescnet import layers
from support.gradients import hessian_product, pull_back_layer

IMAGES = np.random.default_rng(0).normal(size=(2, 5, 7, 16)).astype("float32")
tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras on JAX has no float64 layers"
)

RC_GOLDEN = {
    "rclayer_C16_r4": {"reduction": 4},
    "rclayer_C64_r16": {"reduction": 16},
    "rclayer_2fc_C16": {"reduction": None},
    "rclayer_C16_r4_midrelu": {"reduction": 4, "hidden_activation": "relu"},
    "rclayer_C16_r4_midsigmoid": {"reduction": 4, "hidden_activation": "sigmoid"},
}
RC_WEIGHTS = [f"fc{layer}.{kind}" for layer in (1, 21, 22) for kind in ("weight", "bias")]


@pytest.mark.parametrize("name", RC_GOLDEN)
@pytest.mark.parametrize(
    "dtype, tolerance",
    [
        pytest.param(
            "float64",
            1e-12,
            marks=tensorflow_only,
        ),
        ("float32", 2e-5),
    ],
)
def test_rc_layer_equals_the_reference(name, dtype, tolerance, golden):
    arrays = golden(name)
    keys = [key for key in RC_WEIGHTS if f"param_{key}" in arrays]
    layer = layers.RCLayer(**RC_GOLDEN[name], dtype=dtype)
    x = arrays["x"].transpose(0, 2, 3, 1).astype(dtype)
    layer.build(x.shape)
    layer.set_weights([arrays[f"param_{key}"].T for key in keys])
    upstream = arrays["upstream"].transpose(0, 2, 3, 1).astype(dtype)
    y, by_x, by_weights = pull_back_layer(layer, x, upstream)
    assert y.dtype == by_x.dtype == dtype
    expected = {"y": arrays["out_residual"], "x": arrays["grad_res_x"]}
    for key, array in zip(expected, (y, by_x), strict=True):
        np.testing.assert_allclose(
            array.transpose(0, 3, 1, 2), expected[key], rtol=tolerance, atol=tolerance, err_msg=key
        )
    for key, gradient in zip(keys, by_weights, strict=True):
        reference = arrays[f"grad_res_{key}"]
        scale = np.abs(reference).max()
        np.testing.assert_allclose(
            gradient.T / scale, reference / scale, atol=tolerance, err_msg=key
        )


@pytest.mark.parametrize(
    "name, compiled", [*((name, False) for name in RC_GOLDEN), ("rclayer_C16_r4", True)]
)
def test_gates_weight_the_gain_of_the_reference(name, compiled, golden):
    """With gates `a` and the gradient `u / a` from above, the statistics get the reference's."""
    arrays = golden(name)
    keys = [key for key in RC_WEIGHTS if f"param_{key}" in arrays]
    float64 = keras.backend.backend() == "tensorflow" and not compiled
    dtype, tolerance = ("float64", 1e-12) if float64 else ("float32", 2e-5)
    layer = layers.RCLayer(**RC_GOLDEN[name], gated=True, dtype=dtype)
    x, upstream, y_reference, by_x_reference = (
        arrays[key].transpose(0, 2, 3, 1) for key in ("x", "upstream", "out_residual", "grad_res_x")
    )
    gate = np.random.default_rng(5).uniform(0.5, 2.0, x.shape[-1])
    layer.build(x.shape)
    layer.set_weights([gate, *(arrays[f"param_{key}"].T for key in keys)])
    y, by_x, by_weights = pull_back_layer(
        layer, x.astype(dtype), (upstream / gate).astype(dtype), compiled=compiled
    )
    close = {"rtol": tolerance, "atol": tolerance}
    gain = y_reference - x
    np.testing.assert_allclose(y, x + gate * gain, **close)
    np.testing.assert_allclose(by_x, upstream / gate + by_x_reference - upstream, **close)
    by_gate = np.sum(upstream / gate * gain, axis=(0, 1, 2))
    expected = [by_gate, *(arrays[f"grad_res_{key}"].T for key in keys)]
    for gradient, reference in zip(by_weights, expected, strict=True):
        scale = np.abs(reference).max()
        np.testing.assert_allclose(gradient / scale, reference / scale, atol=tolerance)


@pytest.mark.parametrize(
    "policy, compiled",
    [("float32", False), ("mixed_bfloat16", False), ("float16", False), ("float32", True)],
)
def test_a_gated_layer_starts_as_the_identity_to_the_bit(policy, compiled):
    layer = layers.RCLayer(reduction=4, gated=True, dtype=policy)
    scales = np.geomspace(1e-6, 10.0, IMAGES.size).reshape(IMAGES.shape)
    x = keras.ops.cast(IMAGES * scales, layer.compute_dtype)
    ones = np.ones(x.shape, "float32")
    y, by_x, by_weights = pull_back_layer(layer, x, ones, compiled=compiled)
    np.testing.assert_array_equal(y, keras.ops.convert_to_numpy(x))
    np.testing.assert_array_equal(by_x.astype("float32"), ones)
    assert layer.gate.dtype == "float32" and np.all(by_weights[0] != 0.0)
    assert not any(np.any(gradient) for gradient in by_weights[1:])


def test_gated_layers_are_saved(tmp_path):
    layer = layers.RCLayer(reduction=4, gated=True, name="gated")
    model = keras.Sequential([keras.Input(IMAGES.shape[1:]), layer])
    layer.gate.assign(np.linspace(-1.0, 1.0, 16))
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(IMAGES), model(IMAGES))
    assert restored.get_layer("gated").gated


@pytest.mark.parametrize("log_variance", [100.0, 200.0, 1e4])
@pytest.mark.parametrize("compiled", [False, True])
def test_every_response_is_typical_of_a_huge_variance(log_variance, compiled):
    """`Phi(-0)` is 1/2, also where `exp` of the log variance is infinite in float32."""
    layer = layers.RCLayer(reduction=4)
    layer.build(IMAGES.shape)
    layer.log_variance.bias.assign(np.full(16, log_variance))
    ones = np.ones(IMAGES.shape, "float32")
    y, by_x, by_weights = pull_back_layer(layer, IMAGES, ones, compiled=compiled)
    np.testing.assert_array_equal(y, 1.5 * IMAGES)
    np.testing.assert_allclose(by_x, 1.5 * ones, rtol=1e-6)
    for gradient in by_weights:
        np.testing.assert_allclose(gradient, 0.0, atol=1e-12)


@tensorflow_only
@pytest.mark.parametrize("gated", [False, True])
def test_rc_layer_second_derivative(gated):
    """Of the layer in its input, against a central difference of the first, in float64."""
    layer = layers.RCLayer(reduction=4, gated=gated, dtype="float64")
    layer.build(IMAGES.shape)
    generator = np.random.default_rng(3)
    layer.set_weights([generator.normal(size=weight.shape) for weight in layer.weights])
    x, direction = IMAGES.astype("float64"), generator.normal(size=IMAGES.shape)
    product = hessian_product(layer, x, direction)
    step = 1e-6 * direction
    ones = np.ones_like(x)
    right, left = (pull_back_layer(layer, x + s, ones)[1] for s in (step, -step))
    np.testing.assert_allclose(product, (right - left) / 2e-6, rtol=1e-6, atol=1e-7)


def test_rc_layer_starts_as_pytorch_does():
    layer = layers.RCLayer(reduction=16)
    layer.build((None, None, None, 1024))
    weights = layer.get_weights()
    for weight, fan_in in zip(weights, [1024, 1024, 64, 64, 64, 64], strict=True):
        bound = 1.0 / np.sqrt(fan_in)
        assert 0.9 * bound < np.abs(weight).max() <= bound
        assert abs(np.std(weight) * np.sqrt(3.0) / bound - 1.0) < (
            0.05 if weight.size > 999 else 0.3
        )
    assert np.any(weights[2] != weights[4])


def test_rc_layer_takes_initializers_once_for_all_its_layers():
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    first, second = (
        layers.RCLayer(kernel_initializer=initializer, bias_initializer="zeros") for _ in range(2)
    )
    for layer in (first, second):
        layer.build((None, None, None, 1024))
        hidden, _, mean, _, log_variance, _ = layer.get_weights()
        assert all(not np.any(bias) for bias in layer.get_weights()[1::2])
        assert np.any(mean != log_variance)
        assert abs(np.std(hidden) - 0.01) < 2e-4
    assert np.any(first.get_weights()[0] != second.get_weights()[0])


def test_squeeze_excite_equation():
    layer = layers.SqueezeExcite(reduction=4, use_bias=True)
    layer.build(IMAGES.shape)
    w0, b0, w1, b1 = layer.get_weights()
    x = IMAGES.astype("float64")
    hidden = np.maximum(x.mean((1, 2), keepdims=True) @ w0 + b0, 0.0)
    gate = 1.0 / (1.0 + np.exp(-(hidden @ w1 + b1)))
    np.testing.assert_allclose(layer(IMAGES), x * gate, rtol=1e-5, atol=1e-6)


CALIBRATIONS = [layers.RCLayer, layers.SqueezeExcite]


@pytest.mark.parametrize("cls", CALIBRATIONS)
@pytest.mark.parametrize(
    "shape, received",
    [
        ((2, 5, 16), r"\(2, 5, 16\)"),
        ((2, 5, 7, 8), r"\(2, 5, 7, 8\)"),
        ((None, None, None, None), r"\(None, None, None, None\)"),
    ],
)
def test_calibration_refuses_what_is_not_images(cls, shape, received):
    with pytest.raises(ValueError, match=rf"known C >= 16\. Received: input_shape={received}"):
        cls(reduction=16).build(shape)


@pytest.mark.parametrize("cls", CALIBRATIONS)
def test_calibration_refuses_channels_first(cls):
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match='expects channels last.*Received: .*"channels_first"'):
            cls(reduction=4).build((2, 16, 5, 7))
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("cls", CALIBRATIONS)
@pytest.mark.parametrize("reduction", [0, 2.5, "4"])
def test_calibration_refuses_reduction(cls, reduction):
    with pytest.raises(ValueError, match=rf"positive integer.*Received: reduction={reduction!r}"):
        cls(reduction=reduction)


def test_two_layer_form_has_no_hidden_activation():
    with pytest.raises(ValueError, match="needs a hidden layer.*hidden_activation='relu'"):
        layers.RCLayer(reduction=None, hidden_activation="relu")


@pytest.mark.parametrize("gated", [(False, True), (True, False)])
def test_gated_and_plain_layers_train_in_one_model(gated):
    # One compiled function for both failed in TensorFlow: their numbers of arguments differ.
    both = [layers.RCLayer(reduction=2, gated=value) for value in gated]
    model = keras.Sequential([keras.Input((4, 4, 8)), *both])
    model.compile("sgd", "mse")
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype("float32")
    before = [layer.get_weights() for layer in both]
    model.train_on_batch(images, 0 * images)
    for layer, weights in zip(both, before, strict=True):
        assert any(
            np.any(new != old) for new, old in zip(layer.get_weights(), weights, strict=True)
        )
