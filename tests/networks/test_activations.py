"""GCLU against the reference's golden values, its closed forms and its limits."""

import math
import pathlib

import keras
import numpy as np
import pytest

from keras_rescnet import gclu, gclu_sigmoid, gclu_tanh
from keras_rescnet.layers import GCLU
from support.gradients import double_precision, hessian_product, pull_back

FORMS = [None, "sigmoid", "tanh"]
NAMED_FORMS = [(None, "exact"), ("sigmoid", "sigmoid"), ("tanh", "tanh")]
FUNCTIONS = [gclu, gclu_sigmoid, gclu_tanh]


compiled_too = pytest.mark.parametrize("compiled", [False, True])


def value_and_slope(x, approximate=None, compiled=False):
    return pull_back(lambda x: gclu(x, approximate), x, np.ones_like(x), compiled=compiled)


def normal_tail(distance):
    return 0.5 * np.vectorize(math.erfc)(distance / math.sqrt(2.0))


def normal_density(x):
    return np.exp(-0.5 * np.square(x)) / math.sqrt(2.0 * math.pi)


@compiled_too
def test_exact_form_equals_60_digit_arithmetic_also_in_the_tail(compiled, golden):
    arrays = golden("gclu")
    x = arrays["x"]
    keep = np.isfinite(x) & ((x == 0.0) | (np.abs(x) >= 2.3e-308))  # TensorFlow flushes subnormals
    with double_precision():
        y, slope = value_and_slope(x[keep], compiled=compiled)
    assert y.dtype == slope.dtype == np.float64
    np.testing.assert_allclose(y, arrays["y_math"][keep], rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(slope, arrays["dy_math"][keep], rtol=1e-12, atol=2e-16)
    tail = (x[keep] < -1.5) & (x[keep] > -37.0)
    np.testing.assert_allclose(slope[tail], arrays["dy_math"][keep][tail], rtol=1e-11, atol=0)


@pytest.mark.parametrize("form, name", NAMED_FORMS)
def test_forms_equal_the_reference(form, name, golden):
    arrays = golden("gclu")
    x, y_reference, slope_reference = (arrays[key] for key in ("x", f"y_{name}", f"dy_{name}"))
    with double_precision():
        y, slope = value_and_slope(x, form)
    keep = np.isfinite(y_reference)
    np.testing.assert_allclose(y[keep], y_reference[keep], rtol=1e-15, atol=5e-15)
    # Next to 0 the reference takes the slope of the other side, beyond 1e150 it may be NaN.
    keep = np.isfinite(slope_reference) & (np.abs(x) > 1e-15)
    np.testing.assert_allclose(slope[keep], slope_reference[keep], atol=1e-14)


@pytest.mark.parametrize("form, name", NAMED_FORMS)
def test_float32_forms_equal_the_reference(form, name, golden):
    arrays = golden("gclu")
    x, y_reference, slope_reference = (
        arrays[key] for key in ("x32", f"y32_{name}", f"dy32_{name}")
    )
    y, slope = value_and_slope(x, form)
    assert y.dtype == slope.dtype == np.float32
    keep = np.isfinite(y_reference)
    np.testing.assert_allclose(y[keep], y_reference[keep], rtol=3e-7, atol=2e-6)
    keep = np.isfinite(slope_reference) & (np.abs(x) > 2e-7)
    np.testing.assert_allclose(slope[keep], slope_reference[keep], atol=3e-6)


@compiled_too
def test_float32_keeps_its_relative_accuracy_in_the_tail(compiled):
    x = np.linspace(-9.0, -1.5, 5001, dtype="float32")
    y, slope = value_and_slope(x, compiled=compiled)
    wide = x.astype("float64")
    np.testing.assert_allclose(y, wide * normal_tail(-wide), rtol=1.2e-5, atol=0)
    closed = normal_tail(-wide) + wide * normal_density(wide)
    np.testing.assert_allclose(slope, closed, rtol=2e-5, atol=0)


@compiled_too
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_limits_are_numbers(form, dtype, compiled):
    largest = {"float16": 6e4, "bfloat16": 3e38, "float32": 3e38, "float64": 1e308}[dtype]
    x = np.array([-np.inf, -largest, -700.0, -0.0, 0.0, 700.0, largest, np.inf])
    with double_precision():
        x = keras.ops.cast(x, dtype)
        ones = keras.ops.ones_like(x)
        y, slope = pull_back(lambda x: gclu(x, form), x, ones, compiled=compiled)
        x = keras.ops.convert_to_numpy(x)
    np.testing.assert_array_equal(y, np.where(x > 0, x, np.zeros_like(x)))
    expected = [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.0]  # Eq. 6 puts 0 on the left side
    np.testing.assert_array_equal(slope.astype("float64"), expected)


@pytest.mark.parametrize("form", FORMS)
def test_nan_stays_nan(form):
    y, slope = value_and_slope(np.array([np.nan], "float32"), form)
    assert np.isnan(y) and np.isnan(slope)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_float32_rounded(form, dtype):
    x = keras.ops.cast(np.linspace(-6.0, 6.0, 1001), dtype)
    y, slope = pull_back(lambda x: gclu(x, form), x, keras.ops.ones_like(x))
    wide_y, wide_slope = value_and_slope(
        keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")), form
    )
    for narrow, wide in ((y, wide_y), (slope, wide_slope)):
        rounded = keras.ops.convert_to_numpy(keras.ops.cast(wide, dtype))
        np.testing.assert_array_equal(narrow.astype("float32"), rounded.astype("float32"))


def test_second_derivative_of_the_exact_form():
    x = np.array([-30.0, -3.0, -1.0, -0.1, 0.1, 1.0, 3.0, 30.0])
    with double_precision():
        curvature = hessian_product(gclu, x, np.ones_like(x))
    closed = np.sign(x) * (x**2 - 2.0) * normal_density(x)
    np.testing.assert_allclose(curvature, closed, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("function", [gclu_sigmoid, gclu_tanh])
def test_second_derivative_of_the_approximations(function):
    x, step = np.array([-3.0, -1.0, -0.1, 0.1, 1.0, 3.0]), 1e-5
    with double_precision():
        curvature = hessian_product(function, x, np.ones_like(x))
        right = pull_back(function, x + step, np.ones_like(x))[1]
        left = pull_back(function, x - step, np.ones_like(x))[1]
    np.testing.assert_allclose(curvature, (right - left) / (2.0 * step), rtol=1e-8)


def test_second_derivative_far_away_is_zero():
    x = np.array([-np.inf, -3e38, 3e38, np.inf], "float32")
    np.testing.assert_array_equal(hessian_product(gclu, x, np.ones_like(x)), np.zeros(4))


@pytest.mark.parametrize("call", [lambda: gclu(1.0, "erf"), lambda: GCLU("erf")])
def test_unknown_form_is_refused(call):
    with pytest.raises(ValueError, match="must be None.*Received: approximate='erf'"):
        call()


@pytest.mark.parametrize("call", [gclu, GCLU()], ids=["function", "layer"])
def test_integers_are_refused(call):
    with pytest.raises(ValueError, match="floating dtype. Received: dtype=int(32|64)"):
        call(np.arange(3))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_keras_stores_the_function(function, tmp_path):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(8, activation=function), keras.layers.Dense(2)]
    )
    x = np.linspace(-3.0, 3.0, 12, dtype="float32").reshape(4, 3)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    assert restored.layers[0].activation is function
    np.testing.assert_array_equal(restored(x), model(x))
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    np.testing.assert_array_equal(cloned(x), model(x))


@pytest.mark.parametrize("form", FORMS)
def test_function_takes_symbolic_tensors(form, tmp_path):
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, gclu(inputs, form))
    assert model.output_shape == (None, None, 3)
    model.save(tmp_path / "model.keras")
    x = np.linspace(-3.0, 3.0, 12, dtype="float32").reshape(2, 2, 3)
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(restored(x), gclu(x, form), rtol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts a TensorFlow graph")
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_backpropagation_keeps_the_input_alone(function, dtype, monkeypatch):
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[2] / "benchmarks")
    from activations import bytes_kept

    assert bytes_kept(function, (4, 8), dtype) == 4 * 8 * {"float32": 4, "bfloat16": 2}[dtype]
