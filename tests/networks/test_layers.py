"""One exam for every layer; the equations of each are tested elsewhere, against the reference."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras.src.testing import TestCase  # as Keras examines its own layers

from keras_rescnet import gclu, layers, optimizers
from keras_rescnet.layers.batch_normalization import BatchNormalization
from keras_rescnet.layers.calibration_layer import CalibrationLayer
from keras_rescnet.layers.pooled_dense import PooledDense
from support.gradients import pull_back_layer

IMAGES = np.random.default_rng(0).normal(size=(2, 5, 7, 16)).astype("float32")

TOKENS = np.random.default_rng(0).normal(size=(2, 5, 12)).astype("float32")
MAPS = np.random.default_rng(0).normal(size=(2, 8, 4, 12)).astype("float32")

BRANCHES = (IMAGES, np.random.default_rng(1).normal(size=IMAGES.shape).astype("float32"))

# What makes the layer, and an input for it; a new layer is one more entry.
EXAM = {
    "gclu": (layers.GCLU, IMAGES),
    "gclu_sigmoid": (lambda **kw: layers.GCLU("sigmoid", **kw), IMAGES),
    "gclu_tanh": (lambda **kw: layers.GCLU("tanh", **kw), IMAGES),
    "rc_layer": (lambda **kw: layers.RCLayer(reduction=4, **kw), IMAGES),
    "rc_layer_2fc": (lambda **kw: layers.RCLayer(reduction=None, **kw), IMAGES),
    "rc_layer_gclu": (lambda **kw: layers.RCLayer(4, hidden_activation=gclu, **kw), IMAGES),
    "rc_layer_prelu": (
        lambda **kw: layers.RCLayer(4, hidden_activation=keras.layers.PReLU("ones"), **kw),
        IMAGES,
    ),
    "rc_layer_initialized": (
        lambda **kw: layers.RCLayer(
            4,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer="zeros",
            **kw,
        ),
        IMAGES,
    ),
    "squeeze_excite": (lambda **kw: layers.SqueezeExcite(reduction=4, **kw), IMAGES),
    "squeeze_excite_bias": (
        lambda **kw: layers.SqueezeExcite(4, use_bias=True, hidden_activation=gclu, **kw),
        IMAGES,
    ),
    "squeeze_excite_acon": (
        lambda **kw: layers.SqueezeExcite(4, hidden_activation=layers.ACON(), **kw),
        IMAGES,
    ),
    "efficient_channel_attention": (layers.EfficientChannelAttention, IMAGES),
    "sim_am": (layers.SimAM, IMAGES),
    "style_recalibration": (layers.StyleRecalibration, IMAGES),
    "gated_channel_transformation": (layers.GatedChannelTransformation, IMAGES),
    "gaussian_context_transformer": (layers.GaussianContextTransformer, IMAGES),
    "gaussian_context_transformer_learned": (
        lambda **kw: layers.GaussianContextTransformer(standard_deviation=None, **kw),
        IMAGES,
    ),
    "convolutional_block_attention": (
        lambda **kw: layers.ConvolutionalBlockAttention(4, **kw),
        IMAGES,
    ),
    "coordinate_attention": (layers.CoordinateAttention, IMAGES),
    "gather_excite": (layers.GatherExcite, IMAGES),
    "gather_excite_extent": (lambda **kw: layers.GatherExcite(2, **kw), IMAGES),
    "gather_excite_weighted": (lambda **kw: layers.GatherExcite(4, weighted=True, **kw), IMAGES),
    "gather_excite_weighted_map": (lambda **kw: layers.GatherExcite(weighted=True, **kw), IMAGES),
    "competitive_squeeze_excite": (
        lambda **kw: layers.CompetitiveSqueezeExcite(4, **kw),
        BRANCHES,
    ),
    "pair_view_squeeze_excite": (
        lambda **kw: layers.PairViewSqueezeExcite(2, reduction=4, **kw),
        BRANCHES,
    ),
    "pair_view_squeeze_excite_1x1": (
        lambda **kw: layers.PairViewSqueezeExcite(1, reduction=4, filters=3, **kw),
        BRANCHES,
    ),
    "folded_squeeze_excite": (lambda **kw: layers.FoldedSqueezeExcite(4, 4, **kw), BRANCHES),
    "multi_scale_recalibration": (lambda **kw: layers.MultiScaleRecalibration(4, **kw), IMAGES),
    "acon": (layers.ACON, IMAGES),
    "batch_normalization": (BatchNormalization, IMAGES),
    "pooled_dense": (lambda **kw: PooledDense(4, pool_size=10, **kw), IMAGES[:, :, :5]),
    "class_token": (layers.ClassToken, TOKENS),
    "position_embedding": (layers.PositionEmbedding, TOKENS),
    "layer_scale": (layers.LayerScale, TOKENS),
    "self_attention": (lambda **kw: layers.SelfAttention(3, **kw), TOKENS),
    "talking_heads_attention": (lambda **kw: layers.TalkingHeadsAttention(3, **kw), TOKENS),
    "class_attention": (lambda **kw: layers.ClassAttention(3, **kw), TOKENS),
    "window_attention": (lambda **kw: layers.WindowAttention(3, 4, **kw), MAPS),
    "window_attention_shifted": (lambda **kw: layers.WindowAttention(3, 4, 2, **kw), MAPS),
    "patch_merging": (layers.PatchMerging, MAPS),
    "advanced_dropout": (lambda **kw: layers.AdvancedDropout(4, **kw), TOKENS[:, 0]),
    "region_mask": (layers.RegionMask, IMAGES),
    "weight_noise": (
        lambda **kw: layers.WeightNoise(
            keras.layers.Dense(4, dtype=kw.get("dtype"), name="dense"), **kw
        ),
        TOKENS,
    ),
    "whitening_conv2d": (layers.WhiteningConv2D, IMAGES[..., :3]),
}
OF_ONE_SIZE = (
    PooledDense,
    layers.AdvancedDropout,
    layers.PositionEmbedding,
    layers.RegionMask,
    layers.WindowAttention,
)
exam = pytest.mark.parametrize("make, x", EXAM.values(), ids=EXAM.keys())
tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="SavedModel is TensorFlow's"
)


def inputs_of(x):
    """The inputs of a layer, of which those that read two branches have two."""
    return x if isinstance(x, tuple) else (x,)


def fed(x):
    """What a model of one layer takes."""
    return list(x) if len(inputs_of(x)) > 1 else inputs_of(x)[0]


def one_layer_model(make, x, *, any_size=False):
    inputs = tuple(
        keras.Input((*(None for _ in x.shape[1:-1]), x.shape[-1]) if any_size else x.shape[1:])
        for x in inputs_of(x)
    )
    return keras.Model(fed(inputs), make(name="layer")(*inputs))


def of_one_size(layer):
    whole_map = isinstance(layer, layers.GatherExcite) and layer.weighted and layer.extent is None
    return isinstance(layer, OF_ONE_SIZE) or whole_map


def move_weights(layer):
    """Off where some start, which other weights have no gradient at."""
    generator = np.random.default_rng(2)
    layer.set_weights([w + 0.1 * generator.normal(size=w.shape) for w in layer.get_weights()])


@exam
def test_config_round_trip(make, x):
    layer = make(name="layer")
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config
    assert config["name"] == "layer"


def dtype_of(layer):
    """The dtype of what a layer returns; a wrapper returns what the wrapped one does."""
    return getattr(layer, "layer", layer).compute_dtype


@exam
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_dtype_policies(make, x, policy):
    layer = make(dtype=policy)
    shape = layer(*(keras.Input(x.shape[1:], len(x)) for x in inputs_of(x))).shape
    on_jax = keras.backend.backend() == "jax"  # which compiles every operation by itself otherwise
    y, by_x, by_weights = pull_back_layer(layer, x, np.ones(shape, "float32"), compiled=on_jax)
    assert y.dtype.name == dtype_of(layer)
    for array in (y, by_x, *by_weights):
        assert np.all(np.isfinite(array.astype("float32")))


@exam
@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_a_symbolic_call_says_what_a_call_returns(make, x, policy):
    layer = make(dtype=policy)
    inputs = inputs_of(x)
    symbolic = layer(*(keras.Input(x.shape[1:], dtype=dtype_of(layer)) for x in inputs))
    y = layer(*inputs)
    assert symbolic.dtype == keras.backend.standardize_dtype(y.dtype) == dtype_of(layer)
    assert symbolic.shape[1:] == tuple(y.shape[1:])
    assert layer.compute_output_shape(inputs[0].shape) == tuple(y.shape)


@exam
def test_gradient_reaches_every_weight(make, x):
    keras.utils.set_random_seed(0)
    layer = make()
    upstream = np.random.default_rng(1).normal(size=layer(*inputs_of(x)).shape).astype("float32")
    move_weights(layer)
    options = {"training": True} if isinstance(layer, layers.AdvancedDropout) else {}
    _, by_x, by_weights = pull_back_layer(layer, x, upstream, **options)
    assert np.any(by_x) or isinstance(layer, layers.ClassToken)  # reads no more than the batch
    for weight, gradient in zip(layer.trainable_weights, by_weights, strict=True):
        assert np.any(gradient), weight.path


@exam
@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="Keras rounds means of float64 to float32 there"
)
def test_gradients_are_those_of_differences(make, x):
    """By inputs and weights along a random direction, in float64."""
    generator = np.random.default_rng(5)
    layer = make(dtype="float64")
    inputs = [x.astype("float64") for x in inputs_of(x)]
    upstream = generator.normal(size=layer(*inputs).shape)
    move_weights(layer)
    _, by_x, by_weights = pull_back_layer(layer, tuple(inputs), upstream)
    start = [*inputs, *(keras.ops.convert_to_numpy(weight) for weight in layer.trainable_weights)]
    directions = [generator.normal(size=values.shape) for values in start]

    def moved(step):
        values = [a + step * b for a, b in zip(start, directions, strict=True)]
        for weight, value in zip(layer.trainable_weights, values[len(inputs) :], strict=True):
            weight.assign(value)
        return np.sum(upstream * keras.ops.convert_to_numpy(layer(*values[: len(inputs)])))

    slope = (moved(1e-6) - moved(-1e-6)) / 2e-6
    gradients = [*by_x, *by_weights]
    pairs = zip(gradients, directions, strict=True)
    assert sum(np.sum(a * b) for a, b in pairs) == pytest.approx(slope, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    "make, x",
    [case for case in EXAM.values() if isinstance(case[0](), CalibrationLayer | layers.ACON)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_keras_own_exam(make, x):
    """Without its training step, which `test_fit` makes."""
    names = ["residual_shape", "identity_shape"] if isinstance(x, tuple) else []
    TestCase().run_layer_test(
        make,
        {},
        input_shape={name: IMAGES.shape for name in names} or IMAGES.shape,
        expected_output_shape=IMAGES.shape,
        expected_num_losses=0,
        expected_num_seed_generators=0,
        run_training_check=False,
    )


@exam
def test_dynamic_batch_and_size(make, x):
    model = one_layer_model(make, x, any_size=not of_one_size(make()))
    whole = np.asarray(model(fed(x)))
    first = fed(tuple(x[:1] for x in inputs_of(x)))
    np.testing.assert_allclose(model(first), whole[:1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        model.predict(fed(x), batch_size=1, verbose=0), whole, rtol=1e-5, atol=1e-6
    )


@exam
def test_fit(make, x):
    one = one_layer_model(make, x)
    if isinstance(one.get_layer("layer"), CalibrationLayer):
        move_weights(one)
    model = keras.Model(one.inputs, keras.layers.Dense(1)(keras.layers.Flatten()(one.output)))
    compiled = isinstance(make(), layers.GCLU | layers.RCLayer | layers.BatchNormalization)
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=compiled)  # has loops of its own
    before = model.get_weights()
    model.fit(fed(x), np.ones((len(inputs_of(x)[0]), 1)), verbose=0)
    for weight, old in zip(model.weights, before, strict=True):
        new = keras.ops.convert_to_numpy(weight)
        undone = weight.path == "layer/hidden/bias" and isinstance(
            one.get_layer("layer"), layers.CoordinateAttention
        )  # by the normalization behind it
        fixed = weight.path == "layer/kernel" and not weight.trainable
        moved = np.any(old != new)
        assert np.all(np.isfinite(new)) and (moved or undone or fixed), weight.path


@exam
def test_keras_file_round_trip(make, x, tmp_path):
    model = one_layer_model(make, x)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(fed(x)), model(fed(x)))
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    np.testing.assert_array_equal(cloned(fed(x)), model(fed(x)))


def all_layers():
    """A model of all layers side by side, each with inputs of its own, and the inputs."""
    inputs, outputs, arrays = {}, {}, {}
    for name, (make, x) in EXAM.items():
        own = {f"{name}_{number}": array for number, array in enumerate(inputs_of(x))}
        inputs |= {key: keras.Input(array.shape[1:], name=key) for key, array in own.items()}
        outputs[name] = make(name=f"{name}_layer")(*(inputs[key] for key in own))
        arrays |= own
    return keras.Model(inputs, outputs), arrays


@pytest.mark.filterwarnings("ignore::UserWarning")  # of all that Keras does not quantize
def test_a_quantized_model_is_loaded_again(tmp_path):
    model, inputs = all_layers()
    logits = keras.layers.Dense(2, name="logits")
    model = keras.Model(model.input, [*model.output.values(), logits(model.output["acon"])])
    model.quantize("int8")
    assert logits.quantization_mode == "int8"
    before = model(inputs)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for old, new in zip(before, again(inputs), strict=True):
        np.testing.assert_array_equal(new, old)


def test_gates_are_not_quantized():
    layer = layers.RCLayer(reduction=4)
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 16)).astype("float32")
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    before = np.asarray(model(x))
    with pytest.warns(UserWarning, match="not quantized, and stay as they are"):
        model.quantize("int8")
    np.testing.assert_array_equal(model(x), before)


@pytest.mark.slow
def test_a_keras_file_in_a_fresh_process(tmp_path):
    model, inputs = all_layers()
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "inputs.npz", **inputs)
    script = """
import keras, keras_rescnet, numpy as np

np.savez("fresh.npz", **keras.models.load_model("model.keras")(dict(np.load("inputs.npz"))))
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    fresh = np.load(tmp_path / "fresh.npz")
    for name, y in model(inputs).items():
        np.testing.assert_allclose(fresh[name], y, rtol=1e-5, atol=1e-6, err_msg=name)


FRESH_PROCESS = """
import sys
import numpy as np, tensorflow as tf

model = tf.saved_model.load("saved_model")
inputs = {name: tf.constant(x) for name, x in np.load("inputs.npz").items()}
with tf.GradientTape() as tape:
    tape.watch(inputs)
    outputs = model.serve(inputs)
    total = tf.add_n([tf.reduce_sum(y) for y in outputs.values()])
gradients = tape.gradient(total, inputs, unconnected_gradients="zero")
np.savez("outputs.npz", **outputs)
np.savez("gradients.npz", **gradients)
assert not any(name.startswith("keras_rescnet") for name in sys.modules)
"""


@pytest.mark.slow
@tensorflow_only
def test_saved_model_in_a_fresh_process_without_this_package(tmp_path):
    model, inputs = all_layers()
    model.export(tmp_path / "saved_model", verbose=False)
    np.savez(tmp_path / "inputs.npz", **inputs)
    subprocess.run([sys.executable, "-c", FRESH_PROCESS], check=True, cwd=tmp_path)
    outputs, gradients = np.load(tmp_path / "outputs.npz"), np.load(tmp_path / "gradients.npz")
    for name, (_, x) in EXAM.items():
        layer = model.get_layer(f"{name}_layer")
        y, by_x, _ = pull_back_layer(layer, x, np.ones_like(outputs[name]))
        by_inputs = by_x if isinstance(x, tuple) else [by_x]
        np.testing.assert_allclose(outputs[name], y, rtol=1e-6, atol=1e-6, err_msg=name)
        for number, by_input in enumerate(by_inputs):
            np.testing.assert_allclose(
                gradients[f"{name}_{number}"], by_input, rtol=1e-5, atol=1e-6, err_msg=name
            )


def test_a_hidden_activation_that_is_a_layer_is_built_with_each_layer_of_its_own():
    shared = keras.layers.PReLU()
    made = [layers.RCLayer(4, hidden_activation=shared) for _ in range(2)]
    for layer in made:
        layer.build((None, 8, 8, 16))
        assert layer.count_params() == (16 * 4 + 4) + 4 + 2 * (4 * 16 + 16)
    assert made[0].hidden.activation is not made[1].hidden.activation
    assert not shared.built


@pytest.mark.parametrize(
    "make",
    [
        lambda number: layers.RCLayer(number),
        lambda number: layers.GatherExcite(extent=number),
        lambda number: layers.MultiScaleRecalibration(number, scales=(number,)),
        lambda number: layers.PooledDense(number, number),
        lambda number: layers.WindowAttention(number, number, number - number),
    ],
)
def test_counts_may_be_of_numpy(make):
    config, expected = make(np.int64(4)).get_config(), make(4).get_config()
    assert config == {**expected, "name": config["name"]}
    json.dumps({key: value for key, value in config.items() if key != "dtype"})


@pytest.mark.parametrize(
    "make",
    [
        lambda number: layers.RCLayer(4, epsilon=number),
        lambda number: layers.AdvancedDropout(mu=number, sigma=number),
        lambda number: layers.ClassToken(number),
        lambda number: layers.GatedChannelTransformation(number),
        lambda number: layers.GaussianContextTransformer(number, number),
        lambda number: layers.LayerScale(number),
        lambda number: layers.PatchMerging(number),
        lambda number: layers.PooledDense(4, 2, number),
        lambda number: layers.RegionMask(number),
        lambda number: layers.SimAM(number),
        lambda number: layers.StyleRecalibration(number),
        lambda number: layers.WeightNoise(keras.layers.Dense(2, name="inner"), number),
        lambda number: layers.WhiteningConv2D(epsilon=number),
        lambda number: optimizers.AdamW(0.1, number, number, number, number),
        lambda number: optimizers.Muon(0.1, number, number, number),
        lambda number: optimizers.SGD(0.1, number, number),
    ],
)
def test_numbers_may_be_of_numpy(make):
    # A scalar of numpy kept as it is would make JAX compute bfloat16 in float32
    config, expected = make(np.float32(0.5)).get_config(), make(0.5).get_config()
    assert {key: type(value) for key, value in config.items()} == {
        key: type(value) for key, value in expected.items()
    }
    for key in config.keys() - {"name"}:
        assert config[key] == expected[key], key


TAKES_WHOLE_NUMBERS = {
    name: case for name, case in EXAM.items() if not isinstance(case[0](), layers.GCLU)
}


@pytest.mark.parametrize("make, x", TAKES_WHOLE_NUMBERS.values(), ids=TAKES_WHOLE_NUMBERS.keys())
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_whole_numbers_are_taken_as_floats(make, x, policy):
    layer = make(dtype=policy)
    whole = [np.round(3 * x).astype("int32") for x in inputs_of(x)]
    expected = layer(*(x.astype("float32") for x in whole))
    y = layer(*whole)
    assert keras.backend.standardize_dtype(y.dtype) == dtype_of(layer)
    y, expected = (keras.ops.cast(values, "float32") for values in (y, expected))
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)


@exam
def test_variables_are_taken_as_tensors(make, x):
    layer = make()
    expected = layer(*inputs_of(x))
    y = layer(*(keras.Variable(x) for x in inputs_of(x)))
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: layers.WindowAttention(3, 4, 2), (1, 4, 8, 12)),
        (lambda: PooledDense(4, 10), (1, 4, 8, 12)),
        (layers.RegionMask, (1, 1, 1, 12)),
        (layers.LayerScale, (1, 8, 4, 1)),
        (layers.ACON, (1, 8, 4, 1)),
        (layers.GatedChannelTransformation, (1, 8, 4, 1)),
        (layers.StyleRecalibration, (1, 8, 4, 1)),
    ],
)
def test_a_built_layer_refuses_another_shape(make, shape):
    layer = make()
    layer(MAPS)
    with pytest.raises(ValueError, match="incompatible with the layer"):
        layer(np.zeros(shape, "float32"))


def test_position_embeddings_refuse_another_length():
    layer = layers.PositionEmbedding()
    layer(TOKENS)
    with pytest.raises(ValueError, match="incompatible with the layer"):
        layer(TOKENS[:, :1])


def test_talking_heads_on_more_axes():
    x = np.random.default_rng(3).normal(size=(2, 3, 2, 5, 12)).astype("float32")
    layer = layers.TalkingHeadsAttention(3)
    expected = np.asarray(layer(x.reshape(-1, 5, 12))).reshape(x.shape)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
