"""Calibrations of the literature: their equations in numpy, the numbers of their authors."""

import math
import pathlib
from functools import partial

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet import layers, models
from keras_rescnet.mistake import Mistake
from keras_rescnet.models.complexity import count_parameters, multiplications, outline
from support.gradients import pull_back_layer

IMAGES = np.random.default_rng(0).normal(0.2, 1.0, (3, 5, 7, 16))
BRANCHES = (IMAGES, np.random.default_rng(1).normal(-0.1, 1.5, IMAGES.shape))
PRECISIONS = [
    pytest.param(
        "float64",
        1e-11,
        marks=pytest.mark.skipif(
            keras.backend.backend() != "tensorflow", reason="Keras on JAX has no float64 layers"
        ),
    ),
    ("float32", 2e-5),
]


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0.0)


def averages(x):
    return x.mean((1, 2))


def per_channel(gate):
    return gate[:, None, None, :]


def normalized(x, weights, training, name="normalization"):
    """Batch normalization of `(..., C)` by the batch in training, else by the moving statistics."""
    mean, variance = weights[f"{name}/moving_mean"], weights[f"{name}/moving_variance"]
    if training:
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axes), x.var(axes)
    x = (x - mean) / np.sqrt(variance + 1e-5)
    return x * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


# Each equation as its paper has it, by loops where the layer has none.


def efficient_channel_attention(x, weights, training):
    z, kernel = averages(x), weights["kernel"]
    half = len(kernel) // 2
    padded = np.pad(z, ((0, 0), (half, half)))
    gates = [
        sum(kernel[j] * padded[:, c + j] for j in range(len(kernel))) for c in range(z.shape[1])
    ]
    return x * per_channel(sigmoid(np.stack(gates, axis=1)))


def sim_am(x, weights, training):
    places = x.shape[1] * x.shape[2]
    square = (x - x.mean((1, 2), keepdims=True)) ** 2
    variance = square.sum((1, 2), keepdims=True) / (places - 1)
    return x * sigmoid(square / (4.0 * (variance + 1e-4)) + 0.5)


def style_recalibration(x, weights, training):
    deviation = np.sqrt(x.var((1, 2), ddof=1) + 1e-5)
    z = weights["kernel"][0] * averages(x) + weights["kernel"][1] * deviation
    return x * per_channel(sigmoid(normalized(z, weights, training)))


def gated_channel_transformation(x, weights, training):
    s = weights["alpha"] * np.sqrt((x**2).sum((1, 2)) + 1e-5)
    norm = np.sqrt((s**2).mean(1, keepdims=True) + 1e-5)
    return x * per_channel(1.0 + np.tanh(weights["gamma"] * s / norm + weights["beta"]))


def gaussian_context_transformer(x, weights, training):
    z = averages(x)
    n = (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-5)
    c = 1.0 + 3.0 * sigmoid(weights["theta"]) if "theta" in weights else 2.0
    return x * per_channel(np.exp(-(n**2) / (2.0 * c**2)))


def convolutional_block_attention(x, weights, training):
    def perceptron(z):
        hidden = relu(z @ weights["hidden/kernel"] + weights["hidden/bias"])
        return hidden @ weights["gate/kernel"] + weights["gate/bias"]

    x = x * per_channel(sigmoid(perceptron(averages(x)) + perceptron(x.max((1, 2)))))
    maps = np.pad(np.stack([x.max(-1), x.mean(-1)], axis=-1), ((0, 0), (3, 3), (3, 3), (0, 0)))
    places = np.zeros((*x.shape[:3], 1))
    for i, j in np.ndindex(x.shape[1:3]):
        window = maps[:, i : i + 7, j : j + 7]
        places[:, i, j] = np.einsum("nhwc,hwcu->nu", window, weights["convolution/kernel"])
    return x * sigmoid(normalized(places, weights, training))


def coordinate_attention(x, weights, training):
    def dense(name, z):
        return z @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    strips = np.concatenate([x.mean(2), x.mean(1)], axis=1)
    hidden = normalized(dense("hidden", strips), weights, training)
    hidden = hidden * np.clip(hidden + 3.0, 0.0, 6.0) / 6.0
    rows = sigmoid(dense("rows", hidden[:, : x.shape[1]]))[:, :, None]
    return x * rows * sigmoid(dense("columns", hidden[:, x.shape[1] :]))[:, None]


def nearest(gate, x):
    """The gates of `(N, h, w, C)` at the places of `x`."""
    rows = [i * gate.shape[1] // x.shape[1] for i in range(x.shape[1])]
    columns = [j * gate.shape[2] // x.shape[2] for j in range(x.shape[2])]
    return gate[:, rows][:, :, columns]


def gather_excite(x, weights, training):
    return x * per_channel(sigmoid(averages(x)))


def gather_excite_of_neighbourhoods(x, weights, training, extent=3):
    rows, columns = range(0, x.shape[1], extent), range(0, x.shape[2], extent)
    gathered = np.zeros((len(x), len(rows), len(columns), x.shape[-1]))
    for (i, row), (j, column) in ((a, b) for a in enumerate(rows) for b in enumerate(columns)):
        top, left = max(row - extent + 1, 0), max(column - extent + 1, 0)
        gathered[:, i, j] = averages(x[:, top : row + extent, left : column + extent])
    return x * sigmoid(nearest(gathered, x))


def depthwise(x, kernel):
    """A depthwise 3x3 convolution of stride 2, padded by 1."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.zeros((len(x), -(-x.shape[1] // 2), -(-x.shape[2] // 2), x.shape[-1]))
    for i, j in np.ndindex(y.shape[1:3]):
        window = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        y[:, i, j] = (window * kernel[..., 0]).sum((1, 2))
    return y


def gather_excite_weighted(x, weights, training):
    z = x
    for number in (1, 2):
        z = depthwise(relu(z) if number > 1 else z, weights[f"convolution_{number}/kernel"])
        z = normalized(z, weights, training, f"normalization_{number}")
    return x * sigmoid(nearest(z, x))


def gather_excite_weighted_map(x, weights, training):
    z = (x * weights["convolution_1/kernel"][..., 0]).sum((1, 2))
    return x * per_channel(sigmoid(normalized(z, weights, training, "normalization_1")))


def competitive_squeeze_excite(x, identity, weights, training):
    u = relu(averages(x) @ weights["residual/kernel"])
    v = relu(averages(identity) @ weights["identity/kernel"])
    return x * per_channel(sigmoid(np.concatenate([u, v], axis=1) @ weights["gate/kernel"]))


def excited(x, picture, weights, training):
    """What CMPE-SE makes of a picture `(N, h, w)`."""
    kernel = weights["convolution/kernel"]
    height, width, _, filters = kernel.shape
    shape = picture.shape[1] - height + 1, picture.shape[2] - width + 1
    maps = np.zeros((len(x), *shape, filters))
    for i, j in np.ndindex(shape):
        window = picture[:, i : i + height, j : j + width]
        maps[:, i, j] = np.einsum("nhw,hwm->nm", window, kernel[:, :, 0])
    z = normalized(maps, weights, training).mean(-1).reshape(len(x), -1)
    gate = sigmoid(relu(z @ weights["hidden/kernel"]) @ weights["gate/kernel"])
    return x * per_channel(gate)


def pair_view_squeeze_excite(x, identity, weights, training):
    pairs = np.stack([averages(x), averages(identity)], axis=-1)
    return excited(x, pairs, weights, training)


def folded_squeeze_excite(x, identity, weights, training, groups=4):
    u, v = (np.split(averages(images), groups, axis=1) for images in (x, identity))
    rows = [row for pair in zip(u, v, strict=True) for row in pair]
    return excited(x, np.stack(rows, axis=1), weights, training)


def multi_scale_recalibration(x, weights, training):
    hidden = np.zeros((*x.shape[:3], 4))
    for scale in (1, 2, 4):
        for i, j in np.ndindex(x.shape[1:3]):
            rows, columns = (
                [p for p in range(n) if p * scale // n == q * scale // n]
                for q, n in ((i, x.shape[1]), (j, x.shape[2]))
            )
            cell = averages(x[:, rows][:, :, columns])
            hidden[:, i, j] += cell @ weights[f"grid_{scale}/kernel"]
    return x * sigmoid(relu(normalized(hidden, weights, training)) @ weights["gate/kernel"])


EQUATIONS = {
    "eca": (layers.EfficientChannelAttention, efficient_channel_attention),
    "eca_5": (partial(layers.EfficientChannelAttention, 5), efficient_channel_attention),
    "sim_am": (layers.SimAM, sim_am),
    "srm": (layers.StyleRecalibration, style_recalibration),
    "gated_gct": (layers.GatedChannelTransformation, gated_channel_transformation),
    "gaussian_gct": (layers.GaussianContextTransformer, gaussian_context_transformer),
    "gaussian_gct_learned": (
        partial(layers.GaussianContextTransformer, None),
        gaussian_context_transformer,
    ),
    "cbam": (partial(layers.ConvolutionalBlockAttention, 4), convolutional_block_attention),
    "coordinate": (layers.CoordinateAttention, coordinate_attention),
    "gather_excite": (layers.GatherExcite, gather_excite),
    "gather_excite_3": (partial(layers.GatherExcite, 3), gather_excite_of_neighbourhoods),
    "gather_excite_weighted": (
        partial(layers.GatherExcite, 4, weighted=True),
        gather_excite_weighted,
    ),
    "gather_excite_weighted_map": (
        partial(layers.GatherExcite, weighted=True),
        gather_excite_weighted_map,
    ),
    "cmpe_double_fc": (partial(layers.CompetitiveSqueezeExcite, 4), competitive_squeeze_excite),
    "cmpe_2x1": (
        partial(layers.PairViewSqueezeExcite, 2, reduction=4, filters=3),
        pair_view_squeeze_excite,
    ),
    "cmpe_1x1": (
        partial(layers.PairViewSqueezeExcite, 1, reduction=4, filters=3),
        pair_view_squeeze_excite,
    ),
    "cmpe_3x3": (
        partial(layers.FoldedSqueezeExcite, 4, reduction=4, filters=3),
        folded_squeeze_excite,
    ),
    "ms_sar_style": (partial(layers.MultiScaleRecalibration, 4), multi_scale_recalibration),
}
READ_BOTH = {"cmpe_double_fc", "cmpe_2x1", "cmpe_1x1", "cmpe_3x3"}


def drawn(layer):
    """Draws all weights of a built layer, and returns them by the part of their path below it."""
    generator = np.random.default_rng(5)
    weights = {}
    for variable in layer.weights:
        value = generator.normal(0.0, 0.7, variable.shape)
        value = np.abs(value) + 0.5 if variable.path.endswith("moving_variance") else value
        variable.assign(value)
        name = variable.path.partition("/")[2]
        weights[name] = np.asarray(keras.ops.convert_to_numpy(variable), "float64")
    return weights


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
def test_a_calibration_has_the_equation_of_its_paper(name, dtype, tolerance):
    make, equation = EQUATIONS[name]
    inputs = BRANCHES if name in READ_BOTH else (IMAGES,)
    layer = make(dtype=dtype)
    layer(*inputs)
    weights = drawn(layer)
    for training in (True, False):  # the weights are those before the step
        y = layer(*inputs, **{"training": training} if "normalization" in str(weights) else {})
        if training:
            trained = y
            drawn(layer)
        expected = equation(*inputs, weights, training)
        np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance, err_msg=training)
    if "normalization" in str(weights):
        assert np.any(np.asarray(trained) != np.asarray(y))


# What the code of the authors computes in PyTorch, in float64: tests/golden/calibrations.npz.
GOLDEN = {
    "eca": partial(layers.EfficientChannelAttention, 3),
    "sim_am": layers.SimAM,
    "srm": layers.StyleRecalibration,
    "gated_gct": layers.GatedChannelTransformation,
    "cbam": partial(layers.ConvolutionalBlockAttention, 4),
    "coordinate": partial(layers.CoordinateAttention, 4),
    "gather_excite": layers.GatherExcite,
    "gather_excite_2": partial(layers.GatherExcite, 2),
    "gather_excite_weighted": partial(layers.GatherExcite, 4, weighted=True),
    "gather_excite_weighted_map": partial(layers.GatherExcite, weighted=True),
    "acon": layers.ACON,
}


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
def test_a_calibration_has_the_numbers_of_its_authors(name, dtype, tolerance, golden):
    arrays = {
        key.partition("/")[2]: array
        for key, array in golden("calibrations").items()
        if key.startswith(f"{name}/")
    }
    layer = GOLDEN[name](dtype=dtype)
    layer.build(arrays["x"].shape)
    weights = {variable.path.partition("/")[2]: variable for variable in layer.weights}
    assert {f"weight/{path}" for path in weights} == {
        key for key in arrays if key.startswith("weight/")
    }
    normalizes = any("normalization" in path for path in weights)
    for mode in ("training", "inference") if normalizes else ("inference",):
        for path, variable in weights.items():
            variable.assign(arrays[f"weight/{path}"])
        options = {"training": mode == "training"} if normalizes else {}
        y, by_x, by_weights = pull_back_layer(
            layer, arrays["x"].astype(dtype), arrays["upstream"].astype(dtype), **options
        )
        results = {"y": y, "by_x": by_x}
        if mode == "training" and keras.backend.backend() == "tensorflow":
            moved = [path for path in weights if "/moving_" in path]
            results |= {f"moved/{path}": np.asarray(weights[path]) for path in moved}
        for variable, gradient in zip(layer.trainable_variables, by_weights, strict=True):
            results[f"by/{variable.path.partition('/')[2]}"] = gradient
        for key, array in results.items():
            expected = arrays[f"{mode}/{key}"]
            scale = max(np.abs(expected).max(), 1.0)
            np.testing.assert_allclose(
                array / scale, expected / scale, atol=tolerance, rtol=0, err_msg=f"{mode} {key}"
            )


@pytest.mark.parametrize("filters, size", {64: 3, 128: 5, 256: 5, 512: 5, 2048: 7, 2: 1}.items())
def test_eca_takes_a_longer_kernel_of_more_channels(filters, size):
    layer = layers.EfficientChannelAttention()
    layer.build((None, None, None, filters))
    assert layer.kernel.shape == (size,)


def test_sim_am_of_one_place_is_a_number():
    x = np.array([[[[2.0, -3.0]]]], "float32")
    y = keras.ops.convert_to_numpy(layers.SimAM()(x))
    np.testing.assert_allclose(y, x / (1.0 + math.exp(-0.5)), rtol=1e-6)


def test_layers_that_start_as_the_identity_or_a_half():
    x = IMAGES.astype("float32")
    np.testing.assert_array_equal(layers.GatedChannelTransformation()(x), x)
    np.testing.assert_array_equal(layers.StyleRecalibration()(x, training=True), x / 2)


# Two branches in the builders.


class Difference(keras.layers.Layer):
    """Returns what makes the sum with the identity branch twice the residual branch."""

    def call(self, residual, identity):
        return 2.0 * residual - identity


@pytest.mark.parametrize("block", [models.basic_block, models.bottleneck_block])
def test_a_calibration_reads_the_branch_that_it_is_added_to(block):
    images = np.random.default_rng(2).normal(size=(2, 8, 8, 3)).astype("float32")
    model = models.ResNet(
        (2, 1),
        widths=(4, 8),
        block=block,
        small_images=True,
        calibration=Difference,
        activation="linear",
        input_shape=(8, 8, 3),
    )
    last = 2 if block is models.basic_block else 3
    for unit in ("stage1_block1", "stage1_block2", "stage2_block1"):
        names = [f"{unit}_{last}_bn", f"{unit}_out"]
        found = models.feature_extractor(model, names)(images)
        residual, out = (np.asarray(found[name]) for name in names)
        np.testing.assert_allclose(out, 2.0 * residual, rtol=1e-4, atol=1e-5)


def test_a_preactivation_network_calibrates_what_is_added():
    images = np.random.default_rng(2).normal(size=(2, 8, 8, 3)).astype("float32")
    model = models.PreActivationResNet(
        (2, 1), widths=(4, 8), calibration=Difference, input_shape=(8, 8, 3)
    )
    for unit in ("stage1_block2", "stage2_block1"):
        names = [f"{unit}_2_conv", f"{unit}_out"]
        found = models.feature_extractor(model, names)(images)
        residual, out = (np.asarray(found[name]) for name in names)
        np.testing.assert_allclose(out, 2.0 * residual, rtol=1e-4, atol=1e-5)


MISTAKES = {
    "must read one branch.*Received: calibration=<class.*CompetitiveSqueezeExcite": partial(
        models.VGG,
        (1,),
        widths=(16,),
        hidden=8,
        calibration=layers.CompetitiveSqueezeExcite,
    ),
    "images of one shape.*residual_shape=.*16\\), identity_shape=.*8\\)": partial(
        layers.CompetitiveSqueezeExcite(), np.zeros((1, 4, 4, 16)), np.zeros((1, 4, 4, 8))
    ),
    "`kernel_width` must be 1 or 2.*kernel_width=3": partial(layers.PairViewSqueezeExcite, 3),
    "`groups` must be at least 2.*groups=8, channels=16": partial(
        layers.FoldedSqueezeExcite(8), *(np.zeros((1, 4, 4, 16)) for _ in range(2))
    ),
    "`kernel_size` must be odd.*kernel_size=4": partial(layers.EfficientChannelAttention, 4),
    "power of 2.*extent=3, weighted=True": partial(layers.GatherExcite, 3, weighted=True),
    "maps of a known size.*\\(None, None, 4, 16\\)": partial(
        layers.GatherExcite(weighted=True).build, (None, None, 4, 16)
    ),
    "`scales` must be a tuple.*scales=\\(\\)": partial(layers.MultiScaleRecalibration, scales=()),
    "`standard_deviation` must be a positive.*=0": partial(layers.GaussianContextTransformer, 0),
    "`filters` must be a positive integer.*filters=0": partial(
        layers.FoldedSqueezeExcite, filters=0
    ),
    "`depth` must be 6 n \\+ 4.*depth=27": partial(models.CifarWideResNet, 27, 10),
    "`widths` must have one entry per stage.*widths=\\(4, 8\\)": partial(
        models.PreActivationResNet, (1,), widths=(4, 8)
    ),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_wrong_argument_gets_one_line(message):
    with pytest.raises(Mistake, match=message) as caught:
        MISTAKES[message]()
    assert "\n" not in str(caught.value)


# Parameters of CMPE-SE, by the sizes of its kernels in the authors' code, and the millions that
# their table has for WRN-28-10.
WIDE = ((4, 160), (4, 320), (4, 640))  # blocks and channels of each stage
DEEP = ((18, 64), (18, 128), (18, 256))
FORMS = {
    "se": (layers.SqueezeExcite, 268_800, 193_536, 36.8),
    "double FC": (layers.CompetitiveSqueezeExcite, 537_600, 387_072, 37.0),
    "2x1": (layers.PairViewSqueezeExcite, 269_920, 194_040, 36.8),
    "1x1": (partial(layers.PairViewSqueezeExcite, 1), 404_040, 290_682, 36.9),
    "3x3": (layers.FoldedSqueezeExcite, 369_320, 253_386, None),
}


@pytest.mark.parametrize("form", FORMS)
def test_parameters_of_cmpe_se(form, outlined):
    make, wide, deep, published = FORMS[form]
    plain = count_parameters(outlined("CifarWideResNet28x10"))
    assert plain == 36_479_194
    assert published is None or abs((plain + wide) / 1e6 - published) < 0.06

    def added(stages, options):
        total = 0
        for blocks, channels in stages:
            layer = make(**options(channels))
            shape = (None, None, None, channels)
            layer.build(*[shape] * (1 if form == "se" else 2))
            total += blocks * sum(math.prod(weight.shape) for weight in layer.trainable_weights)
        return total

    folded = form == "3x3"
    looks = form in ("2x1", "1x1", "3x3")
    assert added(WIDE, lambda channels: {"groups": 10} if folded else {}) == wide
    bottleneck = {"filters": lambda c: c // 64, "groups": lambda c: c // 16}
    names = ("filters",) * looks + ("groups",) * folded
    assert added(DEEP, lambda channels: {n: bottleneck[n](channels) for n in names}) == deep


def test_parameters_of_a_network_with_cmpe_se():
    network = partial(models.CifarResNet164, calibration=layers.CompetitiveSqueezeExcite)
    assert count_parameters(outline(network)) == 1_703_258 + 387_072  # 2.09; the table has 2.12 M


# Multiply-accumulates of a map of 8 x 8 x 16, by hand.
MULTIPLICATIONS = {
    "eca": 3 * 16,
    "sim_am": 0,
    "srm": 2 * 16,
    "gated_gct": 0,
    "cbam": 2 * 2 * 16 * 4 + 64 * 98,
    "coordinate": 16 * 16 * 8 + 16 * 8 * 16,
    "gather_excite": 0,
    "gather_excite_weighted": 9 * (16 + 4) * 16,
    "gather_excite_weighted_map": 64 * 16,
    "cmpe_double_fc": 2 * 16 * 4 + 8 * 16,
    "cmpe_2x1": 16 * 2 * 3 + 16 * 4 + 4 * 16,
    "cmpe_1x1": 32 * 3 + 32 * 4 + 4 * 16,
    "cmpe_3x3": 6 * 2 * 9 * 3 + 12 * 4 + 4 * 16,
    "ms_sar_style": (1 + 4 + 16) * 16 * 4 + 64 * 4 * 16,
}


@pytest.mark.parametrize("name", MULTIPLICATIONS)
def test_multiplications_of_a_calibration(name):
    inputs = [keras.Input((8, 8, 16)) for _ in range(1 + (name in READ_BOTH))]
    outputs = keras.layers.Dense(1)(EQUATIONS[name][0]()(*inputs))
    products, _ = multiplications(keras.Model(inputs, outputs))
    assert products - 64 * 16 == MULTIPLICATIONS[name]


@pytest.mark.release
def test_every_calibration_goes_into_a_built_network(tmp_path):
    """A ResNet-50 of `keras.applications` has 16 places, one for each of 16 calibrations."""
    names = [name for name in EQUATIONS if name not in ("eca_5", "gather_excite_3")]
    makers = iter(EQUATIONS[name][0] for name in names)
    plain = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=5)
    model = kr.calibrate(plain, calibration=lambda name: next(makers)(name=name))
    assert len(names) == sum("_calibration" in layer.name for layer in model.layers) == 16
    images = np.random.default_rng(3).normal(size=(2, 64, 64, 3)).astype("float32")
    y = keras.ops.convert_to_numpy(model(images))
    assert np.all(np.isfinite(y)) and np.any(y != keras.ops.convert_to_numpy(plain(images)))
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(images), y)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts a TensorFlow graph")
@pytest.mark.parametrize(
    ("make", "count"),
    [(layers.SimAM, 1), (layers.RCLayer, 0), (layers.GaussianContextTransformer, 1)],
)
def test_a_calibration_keeps_so_many_maps_for_its_gradient(make, count, monkeypatch):
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[2] / "benchmarks")
    from keras_step import bytes_kept

    plain, calibrated = (
        bytes_kept(models.CifarResNet8(calibration=calibration), 4) for calibration in (None, make)
    )
    maps = 4 * 4 * (32 * 32 * 16 + 16 * 16 * 32 + 8 * 8 * 64)
    assert count * maps <= calibrated - plain < (count + 0.05) * maps
