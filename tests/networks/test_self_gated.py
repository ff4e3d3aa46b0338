"""GELU, GoLU, TeLU and Serf against their closed forms, ACON against its own, and their limits."""

import math

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from support.gradients import double_precision, hessian_product, pull_back, pull_back_layer

X = np.concatenate([np.linspace(-40.0, 40.0, 801), [-6.5, -1e-3, 1e-3]])


def gelu(x):
    below = 0.5 * math.erfc(-x / math.sqrt(2.0))
    return x * below, below + x * math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def golu(x):
    gate = math.exp(-math.exp(-x)) if x > -7.0 else 0.0
    return x * gate, gate * (1.0 + x * math.exp(-x))


def telu(x):
    power = math.exp(min(x, 40.0))
    share = 4.0 / (math.exp(-power) + math.exp(min(power, 300.0))) ** 2  # 1 / cosh^2
    return x * math.tanh(power), math.tanh(power) + x * power * share


def serf(x):
    softplus = math.log1p(math.exp(-abs(x))) + max(x, 0.0)
    density = 2.0 / math.sqrt(math.pi) * math.exp(-(softplus**2))
    return x * math.erf(softplus), math.erf(softplus) + x * density / (1.0 + math.exp(-x))


FORMS = {kr.gelu: gelu, kr.golu: golu, kr.telu: telu, kr.serf: serf}
functions = pytest.mark.parametrize("function", FORMS, ids=lambda function: function.__name__)
compiled_too = pytest.mark.parametrize("compiled", [False, True])


@functions
@compiled_too
def test_value_and_slope_are_those_of_the_closed_form(function, compiled):
    expected = np.array([FORMS[function](x) for x in X]).T
    with double_precision():
        exact = pull_back(function, X, np.ones_like(X), compiled=compiled)
    single = pull_back(function, X.astype("float32"), np.ones(len(X), "float32"), compiled=compiled)
    rounded = np.array([FORMS[function](x) for x in X.astype("float32").astype("float64")]).T
    for got, close, narrow, wide in zip(exact, expected, single, rounded, strict=True):
        assert (got.dtype, narrow.dtype) == (np.float64, np.float32)
        np.testing.assert_allclose(got, close, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(narrow, wide, rtol=5e-6, atol=1e-6)


@functions
@compiled_too
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_limits_are_numbers(function, dtype, compiled):
    largest = {"float16": 6e4, "bfloat16": 3e38, "float32": 3e38, "float64": 1e308}[dtype]
    with double_precision():
        x = keras.ops.cast(np.array([-np.inf, -largest, -0.0, 0.0, 900.0, largest, np.inf]), dtype)
        y, slope = pull_back(function, x, keras.ops.ones_like(x), compiled=compiled)
        x = keras.ops.convert_to_numpy(x)
    np.testing.assert_allclose(y, np.where(x > 0, x, np.zeros_like(x)), rtol=3e-7)
    middle = FORMS[function](0.0)[1]
    expected = [0.0, 0.0, middle, middle, 1.0, 1.0, 1.0]
    np.testing.assert_allclose(
        slope.astype("float64"), expected, rtol=4e-3 if x.itemsize < 4 else 1e-6
    )


@functions
def test_second_derivative(function):
    x, step = np.array([-3.0, -1.0, -0.1, 0.1, 1.0, 3.0]), 1e-5
    with double_precision():
        curvature = hessian_product(function, x, np.ones_like(x))
    right, left = (np.array([FORMS[function](v)[1] for v in x + s]) for s in (step, -step))
    np.testing.assert_allclose(curvature, (right - left) / (2.0 * step), rtol=1e-7, atol=1e-9)


@functions
def test_a_model_with_the_activation_is_restored(function, tmp_path):
    inputs = keras.Input((3,))
    x = keras.layers.Dense(4, activation=function)(inputs)
    model = keras.Model(inputs, function(keras.layers.Activation(function)(x)))
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    y = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_array_equal(restored(x), y)
    assert np.any(y)


@compiled_too
def test_gelu_and_its_slope_are_pytorchs(compiled, golden):
    arrays = golden("gclu")
    near = np.abs(arrays["x"]) < 50.0
    x, upstream = arrays["x"][near], np.ones(near.sum())
    with double_precision():
        y, slope = pull_back(kr.gelu, x, upstream, compiled=compiled)
    np.testing.assert_allclose(y, arrays["y_gelu"][near], rtol=1e-9, atol=2e-15)
    np.testing.assert_allclose(slope, arrays["dy_gelu"][near], rtol=1e-9, atol=2e-15)


class Weighted(keras.layers.Layer):
    """Multiplies by a function of its weights."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def build(self, input_shape):
        self.weight = self.add_weight(input_shape[-1:], initializer="ones", name="weight")

    def call(self, inputs):
        return inputs * self.function(self.weight)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("function", [kr.gclu, kr.gclu_sigmoid, kr.gclu_tanh, *FORMS])
def test_weights_of_a_layer_are_taken(function, policy):
    layer = Weighted(function, dtype=policy)
    x = np.array([[1.0, 2.0]], "float32")
    y, by_x, (by_weight,) = pull_back_layer(layer, x, np.ones_like(x))
    one = keras.ops.ones(1, layer.compute_dtype)
    value, slope = pull_back(function, one, one)
    np.testing.assert_array_equal(y, value * x.astype(y.dtype))
    np.testing.assert_array_equal(by_x, np.array([[value[0]] * 2], "float32"))
    np.testing.assert_array_equal(by_weight, (slope * x.astype(y.dtype))[0].astype("float32"))


@functions
def test_integers_and_nan(function):
    with pytest.raises(kr.Mistake, match=f"{function.__name__} takes .*Received: dtype=int32"):
        function(np.array([1, 2], "int32"))
    assert np.isnan(float(function(np.float32(np.nan))))


def test_acon_between_silu_and_a_line():
    x = np.linspace(-4.0, 4.0, 24, dtype="float32").reshape(2, 3, 4)
    layer = kr.layers.ACON()
    layer.build(x.shape)
    ones, zeros = np.ones(4, "float32"), np.zeros(4, "float32")
    layer.set_weights([ones, zeros, ones])
    np.testing.assert_allclose(layer(x), x / (1.0 + np.exp(-x)), rtol=1e-5, atol=1e-7)
    layer.set_weights([ones, zeros, zeros])
    np.testing.assert_allclose(layer(x), x / 2.0, rtol=1e-6)


def test_every_place_of_a_network_has_an_acon_of_its_own():
    model = kr.models.ResNet(
        (1, 1), widths=(4, 8), small_images=True, activation=kr.layers.ACON(), input_shape=(8, 8, 3)
    )
    found = {layer.name: layer for layer in model.layers if isinstance(layer, kr.layers.ACON)}
    assert [layer.p1.shape[0] for layer in found.values()] == [4, 4, 4, 8, 8]
    assert "stage2_block1_out" in found
    values = {float(np.asarray(layer.p1)[0]) for layer in found.values()}
    assert len(values) == 5  # drawn apart
