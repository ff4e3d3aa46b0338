"""The builders: sizes of the paper, initial weights, and one exam that all of them pass."""

import functools
import math
import random
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet import layers, models
from keras_rescnet.layers import RCLayer, SqueezeExcite
from keras_rescnet.layers.arguments import activation_of
from keras_rescnet.models.complexity import count_parameters, outline

# Trainable parameters with 10 and 100 classes, of the reference; the paper's Table 1 rounds them.
PARAMETERS_CIFAR = {
    "CifarResNet8": (78_042, 83_892),
    "CifarResNet32": (466_906, 472_756),
    "CifarSENet32": (480_346, 486_196),
    "CifarResCNet32": (488_326, 494_176),
    "CifarResNet56": (855_770, 861_620),
    "CifarSENet56": (879_962, 885_812),
    "CifarResCNet56": (894_326, 900_176),
    "CifarResNet50": (23_520_842, 23_705_252),
    "CifarSENet50": (26_078_394, 26_262_804),
    "CifarResCNet50": (27_324_410, 27_508_820),
    "CifarResNet50D": (23_520_842, 23_705_252),
    "CifarResCNet50D": (27_324_410, 27_508_820),
    "CifarResCNet50DV2": (24_276_298, 24_460_708),
    "CifarResNet164": (1_703_258, 1_726_388),  # these four of networks/cifar of ZjjConan/SimAM
    "CifarWideResNet28x10": (36_479_194, 36_536_884),
    "CifarWideResNet22x10": (26_797_914, 26_855_604),
    "CifarWideResNet16x8": (10_961_370, 11_007_540),
    "AlexNet": (56_826_698, 57_195_428),
    "VGG16": (134_309_962, 134_678_692),
    "ViTTiny": (5_362_762, 5_380_132),
    "SwinTiny": (27_505_300, 27_574_510),
    "CaiTXXS24": (11_601_610, 11_618_980),
}
# With 1000 classes; ResNet-101 and 152 are torchvision's figures, ResNet-D timm 1.0.31's.
PARAMETERS_IMAGENET = {
    "ResNet18": 11_689_512,
    "ResNet18D": 11_708_744,
    "ResNet34D": 21_816_904,
    "ResNet50D": 25_576_264,
    "ResNet34": 21_797_672,
    "ResNet50": 25_557_032,
    "ResNet101": 44_549_160,
    "ResNet152": 60_192_808,
    "SENet18": 11_776_552,
    "SENet34": 21_954_856,
    "SENet50": 28_071_976,
    "ResCNet18": 11_824_032,
    "ResCNet34": 22_041_236,
    "ResCNet50": 29_360_600,
}


def count(builder, **kwargs):
    return count_parameters(outline(builder, **kwargs))


@pytest.mark.parametrize("name", PARAMETERS_CIFAR)
def test_parameters_for_cifar(name, outlined):
    model = outlined(name)
    ten, hundred = PARAMETERS_CIFAR[name]
    assert count_parameters(model) == ten
    features = model.get_layer("logits").kernel.shape[0]
    assert ten + 90 * (features + 1) == hundred  # what 90 more classes add


@pytest.mark.parametrize("name", ["CifarResNet8", "CifarSENet32", "AlexNet", "SwinTiny"])
def test_parameters_for_a_hundred_classes(name):
    assert count(getattr(models, name), classes=100) == PARAMETERS_CIFAR[name][1]


@pytest.mark.parametrize("name", PARAMETERS_IMAGENET)
def test_parameters_for_imagenet(name, outlined):
    assert count_parameters(outlined(name)) == PARAMETERS_IMAGENET[name]


def test_parameters_of_table_4():
    # The paper's Table 4 on CIFAR-100: two dense layers, and reductions 2 and 4 of three.
    for reduction, expected in {None: 527_636, 2: 514_476, 4: 494_176}.items():
        rc = partial(RCLayer, reduction=reduction)
        assert count(models.CifarResCNet32, calibration=rc, classes=100) == expected


# Initial weights: (layer, weight) -> standard deviation, of a uniform or a normal distribution.


def uniform(fan_in):
    return ("uniform", 1 / math.sqrt(fan_in))


def normal(stddev):
    return ("normal", stddev)


INITIAL = {
    "CifarResNet32": {
        "stage3_block2_1_conv/kernel": normal(math.sqrt(2 / (9 * 64))),
        "stage3_block1_shortcut_conv/kernel": normal(math.sqrt(2 / 32)),
        "logits/kernel": uniform(64),
    },
    "CifarSENet32": {
        "stage3_block2_1_conv/kernel": normal(math.sqrt(2 / (9 * 64))),
        "stage3_block2_calibration/hidden/kernel": uniform(64),
        "stage3_block2_calibration/gate/kernel": uniform(16),
    },
    "CifarResCNet32": {
        "stage3_block2_1_conv/kernel": normal(math.sqrt(2 / (9 * 64))),
        "stage3_block2_calibration/hidden/kernel": normal(0.01),
        "stage3_block2_calibration/mean/kernel": normal(0.01),
        "stage3_block2_calibration/log_variance/kernel": normal(0.01),
        "logits/kernel": normal(0.01),
    },
    "ResNet18": {
        "stem_conv/kernel": normal(math.sqrt(2 / (49 * 64))),
        "stage2_block1_shortcut_conv/kernel": normal(math.sqrt(2 / 128)),
        "logits/bias": uniform(512),
    },
    "ResCNet18": {
        "stage4_block1_calibration/mean/kernel": uniform(32),
        "stage4_block1_calibration/mean/bias": uniform(32),
    },
    "CifarResCNet50": {
        "stage4_block2_2_conv/kernel": uniform(9 * 512),
        "stage4_block1_shortcut_conv/kernel": uniform(1024),
        "stage4_block1_calibration/hidden/kernel": uniform(2048),
        "stage4_block1_calibration/log_variance/bias": uniform(128),
    },
    "CifarSENet50": {
        "stage4_block2_2_conv/bias": uniform(9 * 512),
        "stage4_block1_calibration/gate/bias": uniform(128),
    },
    "CifarResNet50D": {
        "stage3_block1_2_conv/kernel": normal(math.sqrt(2 / (9 * 256))),
        "logits/kernel": uniform(2048),
    },
    "AlexNet": {
        "conv2/kernel": uniform(9 * 64),
        "conv2/bias": uniform(9 * 64),
        "fc2/bias": uniform(4096),
    },
    "ViTTiny": {
        "patch_embedding/kernel": uniform(4 * 4 * 3),
        "patch_embedding/bias": uniform(4 * 4 * 3),
        "class_token/token": normal(1e-6),
        "position_embedding/embedding": normal(0.02),
        "block7_attention/qkv/kernel": normal(0.02),
        "block7_attention/projection/kernel": normal(0.02),
        "block7_mlp_1/kernel": normal(0.02),
        "logits/kernel": normal(0.02),
    },
    "SwinTiny": {
        "patch_embedding/kernel": uniform(4 * 4 * 3),
        "stage3_block2_attention/qkv/kernel": normal(0.02),
        "stage1_block2_attention/relative_position_bias": normal(0.02),
        "stage2_merge/reduction/kernel": normal(0.02),
        "stage4_block1_mlp_2/kernel": normal(0.02),
        "logits/kernel": normal(0.02),
    },
    "CaiTXXS24": {
        "patch_embedding/bias": uniform(4 * 4 * 3),
        "class_token/token": normal(0.02),
        "position_embedding/embedding": normal(0.02),
        "block9_attention/mix_scores/kernel": normal(0.02),
        "block9_attention/mix_weights/kernel": normal(0.02),
        "class_block2_attention/query/kernel": normal(0.02),
        "class_block2_mlp_1/kernel": normal(0.02),
        "logits/kernel": normal(0.02),
    },
}


@pytest.mark.parametrize("name", INITIAL)
def test_initial_weights(name, outlined):
    weights = {weight.path: weight for weight in outlined(name).weights}
    for path, (distribution, scale) in INITIAL[name].items():
        values = np.asarray(weights[path]).ravel()
        stddev = scale / math.sqrt(3) if distribution == "uniform" else scale
        error = 4 / math.sqrt(values.size)
        assert abs(values.mean()) < error * stddev, path
        assert abs(values.std() / stddev - 1) < error, path
        largest = np.max(np.abs(values))
        if distribution == "uniform":
            assert largest <= scale, path
            assert largest > scale * (1 - 20 / values.size), path
        elif values.size > 1000:  # neither bounded nor truncated at two deviations
            assert 2.5 * stddev < largest < 6 * stddev, path
    for path, weight in weights.items():
        if path.endswith(("gamma", "moving_variance")):
            assert np.all(np.asarray(weight) == 1.0), path
        elif path.endswith(("beta", "moving_mean")):
            assert np.all(np.asarray(weight) == 0.0), path
        elif path.endswith("/scale"):
            assert np.all(np.asarray(weight) == np.float32(1e-5)), path
    zero_biases = {"CifarResCNet32": 46, "ViTTiny": 49, "SwinTiny": 49, "CaiTXXS24": 157}
    if name in zero_biases:
        biases = {path: v for path, v in weights.items() if path.endswith("/bias")}
        biases.pop("patch_embedding/bias", None)
        assert len(biases) == zero_biases[name]
        assert not any(np.any(np.asarray(bias)) for bias in biases.values())


def test_no_two_layers_start_equal(outlined):
    model = outlined("CifarResCNet32")
    kernels = [np.asarray(w) for w in model.weights if w.path.endswith("kernel")]
    sums = [float(np.sum(kernel, dtype="float64")) for kernel in kernels]
    assert len(set(sums)) == len(sums)


def test_looking_at_an_activation_that_is_a_layer_draws_no_random_number():
    """Its copy is made to see whether it can be; the weights of a seed do not depend on that."""
    activation = layers.ACON()  # which draws a seed
    keras.utils.set_random_seed(0)
    state = random.getstate()
    assert activation_of("activation", activation) is activation
    assert random.getstate() == state


def test_seed_decides_initial_weights():
    def weights(seed):
        keras.utils.set_random_seed(seed)
        model = models.ResNet((1,), widths=(4,), calibration=small_rc, input_shape=(8, 8, 3))
        return [np.asarray(weight) for weight in model.weights]

    same = [np.array_equal(a, b) for a, b in zip(weights(1), weights(1), strict=True)]
    assert all(same)
    other = [np.array_equal(a, b) for a, b in zip(weights(1), weights(2), strict=True)]
    assert not all(other)


# The exam: every builder, small. A new one is one more entry.

small_rc = partial(RCLayer, reduction=4)
EXAM = {
    "resnet": partial(models.ResNet, (1, 1), widths=(8, 16), small_images=True),
    "resnet-imagenet": partial(models.ResNet, (1, 1), widths=(8, 8), block=models.bottleneck_block),
    "senet": partial(
        models.ResNet,
        (1, 1),
        widths=(4, 4),
        block=partial(models.bottleneck_block, activate_branch=True),
        small_images=True,
        calibration=partial(SqueezeExcite, use_bias=True, hidden_activation=kr.gclu),
        activation=kr.gclu,
        use_bias=True,
    ),
    "rescnet": partial(
        models.ResNet,
        (2, 1),
        widths=(8, 16),
        small_images=True,
        calibration=small_rc,
        activation=kr.gclu,
    ),
    "rescnet-d": partial(
        models.ResNet,
        (1, 1),
        widths=(4, 4),
        block=partial(models.bottleneck_block, pooled_shortcut=True),
        stem=models.deep_stem,
        calibration=[small_rc, partial(RCLayer, reduction=8)],
        activation=kr.gclu_tanh,
    ),
    "preactivation": partial(
        models.PreActivationResNet,
        (2, 1),
        bottleneck=True,
        widths=(4, 8),
        calibration=[
            partial(layers.PairViewSqueezeExcite, reduction=4),
            partial(layers.FoldedSqueezeExcite, reduction=8),
        ],
        drop_path=0.1,
    ),
    "vgg": partial(
        models.VGG,
        (1, 2),
        widths=(8, 8),
        hidden=16,
        calibration=small_rc,
        activation=kr.gclu_sigmoid,
    ),
    "alexnet": partial(
        models.AlexNet,
        widths=(8,) * 5,
        hidden=32,
        calibration=small_rc,
        activation=kr.layers.GCLU(),
    ),
    "airbench": partial(
        models.Airbench94, widths=(8, 16), calibration=small_rc, activation=kr.gclu
    ),
    "vit": partial(models.ViT, 4, width=12, depth=2, heads=3, activation=kr.gclu),
    "swin": partial(
        models.Swin,
        2,
        width=8,
        depths=(2, 1),
        heads=(2, 4),
        window_size=4,
        drop_path=0.1,
        activation=kr.gclu_tanh,
    ),
    "cait": partial(
        models.CaiT, 4, width=12, depth=2, heads=3, layer_scale=1.0, activation=kr.gclu_sigmoid
    ),
}
SHAPE = (16, 16, 3)
CLASSES = 5
IMAGES = np.random.default_rng(0).normal(size=(6, *SHAPE)).astype("float32")
LABELS = np.array([0, 1, 2, 3, 4, 0])
exam = pytest.mark.parametrize("name", EXAM)


def build(name, **kwargs):
    keras.utils.set_random_seed(0)
    return EXAM[name](input_shape=SHAPE, classes=CLASSES, **kwargs)


@pytest.fixture(scope="module")
def built():
    """Returns a model of the exam, for reading only."""
    return functools.cache(build)


@exam
def test_exam_saving(name, built, tmp_path):
    model = built(name)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(IMAGES), model(IMAGES))
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(IMAGES), model(IMAGES))


@exam
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_exam_policies(name, policy, built):
    expected = np.asarray(built(name)(IMAGES))
    keras.config.set_dtype_policy(policy)
    try:
        model = build(name)
    finally:
        keras.config.set_dtype_policy("float32")
    logits = model(IMAGES)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    error = {"mixed_bfloat16": 2**-4, "mixed_float16": 2**-7}[policy]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=error * np.max(np.abs(expected)))
    assert np.all(np.isfinite(model(IMAGES, training=True)))


WAYS = {
    "graph": {"jit_compile": False},
    "eager": {"run_eagerly": True},
    "compiled": {"jit_compile": True},
}


def marks(name, way):
    """A graph has every loop of an activation compiled, `jit_compile` the whole model."""
    if way == "eager":
        return ()
    slow = (name, way) in (("vit", "graph"), ("rescnet", "compiled"))
    return pytest.mark.slow if slow else pytest.mark.release


@pytest.mark.parametrize(
    "name, way",
    [pytest.param(name, way, marks=marks(name, way)) for name in EXAM for way in WAYS],
)
def test_exam_trains_every_weight(name, way):
    model = build(name)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Adam: as far for a small gradient; CaiT starts with branches of 0.02^3
    model.compile(keras.optimizers.Adam(0.01), loss, **WAYS[way])
    before = {weight.path: np.asarray(weight) for weight in model.weights}
    model.fit(IMAGES, LABELS, batch_size=3, verbose=0)
    for weight in model.weights:
        convolution_bias = weight.path.endswith("_conv/bias")  # its normalization undoes it
        moved = np.asarray(weight) != before[weight.path]
        fixed = weight.path == "whitening/kernel"
        assert np.any(moved) or convolution_bias or fixed, weight.path


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name != "vit")) for name in EXAM],
)
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a TensorFlow format")
def test_exam_saved_model(name, built, tmp_path):
    import tensorflow as tf

    model = built(name)
    assert (model.input_shape, model.output_shape) == ((None, *SHAPE), (None, CLASSES))
    model.export(str(tmp_path), verbose=False)
    served = tf.saved_model.load(str(tmp_path))
    expected = np.asarray(model(IMAGES))
    for rows in (slice(6), slice(2, 3)):
        np.testing.assert_allclose(served.serve(IMAGES[rows]), expected[rows], 1e-4, 1e-5)


@pytest.mark.slow  # test_layers.py has every layer in a fresh process
def test_a_fresh_process_restores_a_model(built, tmp_path):
    model = built("rescnet")
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "logits.npy", model(IMAGES))
    script = (
        "import keras, keras_rescnet, numpy as np;"
        "model = keras.models.load_model('model.keras');"
        "np.testing.assert_allclose(model(np.load('images.npy')), np.load('logits.npy'), 1e-6)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


# What the builders take, and what they refuse.


@pytest.mark.parametrize("shape", [(17, 31, 3), (None, None, 1), (1, 1, 4)])
@pytest.mark.parametrize("small_images", [True, False])
def test_resnet_of_any_size(shape, small_images):
    model = models.ResNet(
        (1, 1, 1), widths=(4, 4, 8), small_images=small_images, input_shape=shape, classes=3
    )
    images = np.zeros((2, *(size or 9 for size in shape)), "float32")
    assert model(images).shape == (2, 3)


def test_a_layer_name_is_an_address():
    model = models.ResCNet18(input_shape=(32, 32, 3), classes=2)
    assert isinstance(model.get_layer("stage3_block2_calibration"), RCLayer)
    assert model.get_layer("stage3_block1_out").output.shape == (None, 2, 2, 256)
    assert model.get_layer("stem_pool").output.shape == (None, 8, 8, 64)


@pytest.mark.parametrize("name", ["CifarResNet8", "ResNet50", "CifarResNet50D"])
def test_no_1x1_convolution_strides(name, outlined):
    # Its gradient corrupts memory in TensorFlow 2.21 on CPUs (8 channels and an odd batch crash).
    for layer in outlined(name).layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert layer.kernel_size != (1, 1) or layer.strides == (1, 1), layer.name


def test_table_3_models_shrink_twice(outlined):
    model = outlined("CifarResCNet50DV2")
    sides = [model.get_layer(f"stage{i}_block1_out").output.shape[1] for i in (1, 2, 3, 4)]
    assert sides == [32, 16, 8, 8]
    hidden = [model.get_layer(f"stage{i}_block1_calibration").hidden.units for i in (1, 2, 3, 4)]
    assert hidden == [16, 16, 16, 16]


ERRORS = {
    "one entry per stage.*depths=\\(1, 1\\), widths=\\(4,\\)": partial(
        models.ResNet, (1, 1), widths=(4,)
    ),
    "`strides` must have one entry.*strides=\\(1,\\)": partial(
        models.ResNet, (1, 1), widths=(4, 4), strides=(1,)
    ),
    "`calibration` must have one entry": partial(
        models.ResNet, (1, 1), widths=(4, 4), calibration=[RCLayer]
    ),
    "one entry per stage.*depths=\\(1,\\)": partial(models.VGG, (1,), widths=(4, 4)),
    "five entries.*\\(4,\\)": partial(models.AlexNet, widths=(4,)),
    "positive integer.*classes=0": partial(models.CifarResNet8, classes=0),
    "positive integer.*classes=2.5": partial(models.CifarResNet8, classes=2.5),
    "height, width, channels.*\\(32, 32\\)": partial(models.CifarResNet8, input_shape=(32, 32)),
    "at least 32.*\\(16, 32, 3\\)": partial(models.VGG16, input_shape=(16, 32, 3)),
    "at least 16.*\\(8, 8, 3\\)": partial(models.AlexNet, input_shape=(8, 8, 3)),
    "at least 9.*\\(8, 8, 3\\)": partial(models.Airbench94, input_shape=(8, 8, 3)),
    "known H, W and C": partial(models.VGG, (1,), widths=(4,), input_shape=(None, None, 3)),
    "activation.*glu2": partial(models.CifarResNet8, activation="glu2"),
    "what makes a layer, such as a class.*Received: calibration=<RCLayer name=": partial(
        models.CifarResNet8, calibration=RCLayer(reduction=4)
    ),
    "what makes a layer, such as a class.*Received: calibration=<SqueezeExcite name=": partial(
        models.AlexNet, widths=(8,) * 5, calibration=SqueezeExcite()
    ),
    "C >= 16.*\\(None, 32, 32, 8\\)": partial(
        models.ResNet,
        (1,),
        widths=(8,),
        small_images=True,
        input_shape=(32, 32, 3),
        calibration=RCLayer,
    ),
}


@pytest.mark.parametrize("message", ERRORS)
def test_a_wrong_argument_gets_one_line(message):
    with pytest.raises(ValueError, match=message):
        ERRORS[message]()


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="channels last"):
            models.CifarResNet8()
    finally:
        keras.config.set_image_data_format("channels_last")


def test_stochastic_depth_drops_whole_branches():
    small = {"small_images": True, "widths": (4, 4, 8), "input_shape": (8, 8, 3)}
    model = models.ResNet((2, 2, 1), drop_path=0.6, **small)
    rates = [layer.rate for layer in model.layers if layer.name.endswith("_drop_path")]
    np.testing.assert_allclose(rates, [0.15, 0.3, 0.45, 0.6])  # none in the first block
    layer = model.get_layer("stage3_block1_drop_path")
    y = keras.ops.convert_to_numpy(layer(np.ones((4000, 2, 2, 8), "float32"), training=True))
    assert set(np.unique(y.round(4))) == {0.0, 2.5}
    assert np.all(y == y[:, :1, :1, :1])  # one draw per image
    assert abs(y.mean() - 1.0) < 0.08  # 4 standard deviations
    np.testing.assert_array_equal(layer(np.ones((1, 2, 2, 8), "float32"), training=False), 1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: models.CifarResNet8(classes=n(4), input_shape=(n(32), n(32), n(3))),
        lambda n: models.VGG((n(1), n(1)), widths=(n(4), n(6)), hidden=n(8), classes=n(4)),
        lambda n: models.ViT(n(8), width=n(16), depth=n(1), heads=n(2), classes=n(4)),
        lambda n: models.Swin(
            n(8), width=n(8), depths=(n(1),), heads=(n(2),), window_size=n(2), classes=n(4)
        ),
        lambda n: models.Airbench94(widths=(n(4), n(6), n(8)), classes=n(4)),
    ],
)
def test_sizes_may_be_of_numpy(make, tmp_path):
    model = make(np.int64)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert [weight.shape for weight in again.weights] == [
        weight.shape for weight in make(int).weights
    ]
