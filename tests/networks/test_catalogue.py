"""What models cost: the figures of the reference, counted on the built models."""

import csv
import inspect
import io
import re
import sys
from functools import partial

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet import models
from keras_rescnet.layers import RCLayer
from keras_rescnet.models import __main__ as command
from keras_rescnet.models import catalogue
from keras_rescnet.models.complexity import activation_bytes, multiplications, outline

# Millions of multiply-accumulates of convolutions and dense layers, counted by hooks on the
# reference in PyTorch: 10 classes, 100 classes; the products of attention.
MACS_CIFAR = {
    "CifarResNet8": (12.502, 12.507, 0.0),
    "CifarResNet32": (69.125, 69.131, 0.0),
    "CifarSENet32": (69.138, 69.144, 0.0),
    "CifarResCNet32": (69.145, 69.151, 0.0),
    "CifarResNet56": (125.748, 125.754, 0.0),
    "CifarSENet56": (125.772, 125.778, 0.0),
    "CifarResCNet56": (125.784, 125.790, 0.0),
    "CifarResNet50": (1297.830, 1298.014, 0.0),
    "CifarSENet50": (1300.345, 1300.529, 0.0),
    "CifarResCNet50": (1301.602, 1301.787, 0.0),
    "CifarResNet50D": (1989.890, 1990.074, 0.0),
    "CifarResCNet50D": (1993.663, 1993.847, 0.0),
    "CifarResCNet50DV2": (1990.615, 1990.799, 0.0),
    "CifarResNet164": (247.647, 247.670, 0.0),  # these four of networks/cifar of ZjjConan/SimAM
    "CifarWideResNet28x10": (5243.329, 5243.386, 0.0),
    "CifarWideResNet22x10": (3827.751, 3827.809, 0.0),
    "CifarWideResNet16x8": (1548.146, 1548.192, 0.0),
    "Airbench94": (118.147, 118.170, 0.0),
    "AlexNet": (96.297, 96.666, 0.0),
    "VGG16": (432.775, 433.144, 0.0),
    "ViTTiny": (345.639, 345.656, 365.108 - 345.639),
    "SwinTiny": (88.776, 88.845, 89.443 - 88.776),
    "CaiTXXS24": (693.537, 693.554, 731.335 - 693.537),
}
# Billions, with 1000 classes.
MACS_IMAGENET = {
    "ResNet18": 1.814,
    "ResCNet18": 1.814,
    "ResNet34": 3.664,
    "ResCNet34": 3.664,
    "ResNet50": 4.089,
    "ResCNet50": 4.093,
    "SENet50": 4.092,
}


@pytest.mark.parametrize("name", MACS_CIFAR)
def test_multiplications_for_cifar(name, outlined):
    ten, hundred, attention = MACS_CIFAR[name]
    model = outlined(name)
    products, pairs = multiplications(model)
    assert abs(products / 1e6 - ten) < 1.01e-3  # one unit of the last place that is known
    assert abs(pairs / 1e6 - attention) < 2.01e-3
    features = model.get_layer("logits").kernel.shape[0]
    assert abs((products + 90 * features) / 1e6 - hundred) < 1.01e-3


@pytest.mark.parametrize("name", MACS_IMAGENET)
def test_multiplications_for_imagenet(name, outlined):
    products, pairs = multiplications(outlined(name))
    assert (round(products / 1e9, 3), pairs) == (MACS_IMAGENET[name], 0)


def test_multiplications_of_a_layer_are_counted_where_it_is_called():
    model = models.ResNet(
        (1,),
        widths=(8,),
        small_images=True,
        calibration=partial(RCLayer, reduction=4),
        input_shape=(6, 5, 3),
        classes=7,
    )
    stem, branch = 30 * 9 * 3 * 8, 2 * 30 * 9 * 8 * 8
    assert multiplications(model) == (stem + branch + (8 * 2 + 2 * 8 + 2 * 8) + 8 * 7, 0)


def test_activation_bytes():
    model = models.AlexNet(widths=(2, 2, 2, 2, 2), hidden=5, input_shape=(16, 16, 3), classes=3)
    # Padded input; conv, activation, pool; the same; twice conv, activation; with pool; dense.
    values = (
        18 * 18 * 3 + 2 * (64 + 64 + 16) + 2 * (16 + 16 + 4) + 2 * 2 * (4 + 4) + 2 * (4 + 4 + 1)
    )
    assert activation_bytes(model) == 4 * (values + 5 * 3 + 5 * 2 + 3)


def test_every_builder_is_listed():
    families = {"ResNet", "PreActivationResNet", "CifarWideResNet", "VGG", "ViT", "Swin", "CaiT"}
    others = {"basic_block", "bottleneck_block", "deep_stem", "feature_extractor", "pretrained"}
    assert set(catalogue.builders()) == set(models.__all__) - families - others
    assert len(catalogue.builders()) == 41


@pytest.mark.parametrize("name", ["ResNet50", "CifarResCNet50DV2", "VGG16", "CaiTXXS24"])
def test_a_builder_explains_itself(name):
    builder = getattr(models, name)
    assert inspect.isfunction(builder)
    assert builder.__name__ == name and builder.__module__.startswith("keras_rescnet.models.")
    signature = inspect.signature(builder)
    assert signature.return_annotation is keras.Model
    first, _, rest = inspect.getdoc(builder).partition("\n")
    assert "CIFAR" in first or "ImageNet" in first
    documented = re.findall(r"^    (\w+): ", rest.partition("Returns:")[0], re.MULTILINE)
    assert documented == list(signature.parameters)
    assert "depths" not in documented or name == "SwinTiny"


def test_a_size_refuses_what_its_family_does_not_take():
    with pytest.raises(TypeError, match=r"CifarResNet8\(\) takes 0 positional arguments"):
        models.CifarResNet8(10)
    with pytest.raises(
        TypeError, match=r"CifarResNet8\(\) got an unexpected keyword argument 'activatoin'"
    ):
        models.CifarResNet8(activatoin="relu")


def test_the_outline_of_a_model_leaves_the_session_alone():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        names = [keras.layers.Dense(1).name]
        outline(models.CifarResNet8)
        last = keras.layers.Dense(1)
        assert last.dtype_policy.name == "mixed_float16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert names != [last.name]  # the session that counts names continued
    with keras.StatelessScope():
        pass  # where Keras draws the weights that it has put off: there must be none


def test_the_outline_passes_on_what_the_builder_refuses():
    with pytest.raises(ValueError, match="classes=0"):
        outline(models.CifarResNet8, classes=0)


def run(capsys, *arguments):
    command.main(["models", *arguments])
    return capsys.readouterr().out


def test_csv(capsys):
    out = run(capsys, "CifarResNet50", "CifarResCNet32", "--csv", "--classes", "100")
    first, second = csv.DictReader(io.StringIO(out))
    assert first["parameters"] == "23705252" and second["parameters"] == "494176"
    assert first["MACs (M)"] == "1298.014"
    assert (first["paper: parameters"], first["paper: FLOPs"]) == ("23705.25 K", "1308.84 M")
    assert first["note on the paper"].startswith("wrong: the figure of 10 classes")
    assert (second["paper: FLOPs"], second["note on the paper"]) == ("70.68 M", "")


def test_table(capsys):
    out = run(capsys, "CifarResNet8", "VGG16", "ResNet18", "--input_size", "24")
    header, rule, resnet8, vgg, resnet18, _, counter = out.splitlines()
    assert header.count("|") == rule.count("|") == resnet8.count("|") == 11
    assert "78,042" in resnet8 and "24 x 24" in resnet8
    assert "impossible: `input_shape` must be" in vgg
    assert "1.81 G" not in resnet18  # the paper's figure is for 224 x 224
    assert "ptflops" in counter


def test_the_table_fits_the_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    header, _, row, vgg, reason, _, left_out, *_ = run(
        capsys, "CifarWideResNet28x10", "VGG16", "--input_size", "24"
    ).splitlines()
    assert max(map(len, (header, row, vgg))) <= 80
    assert row.split(" | ")[3].strip() == "36,479,194"
    assert "impossible: `input_shape` must be" in reason
    assert "paper: parameters" in left_out and "--csv" in left_out


def test_an_unknown_model_ends_with_2(capsys):
    with pytest.raises(SystemExit) as end:
        run(capsys, "ResCNet51")
    assert end.value.code == 2
    assert "Received: 'ResCNet51'. Did you mean ResCNet50" in capsys.readouterr().err


# Feature extraction.


def test_stages_and_features_of_every_family(outlined):
    shapes = {
        "ResCNet18": ["stage1", "stage2", "stage3", "stage4", "features"],
        "VGG16": ["stage1", "stage2", "stage3", "stage4", "stage5", "features"],
        "Airbench94": ["stage1", "stage2", "stage3", "features"],
        "AlexNet": ["conv1", "conv2", "conv3", "conv4", "conv5", "features"],
        "ViTTiny": [*(f"block{i}" for i in range(1, 13)), "features"],
        "SwinTiny": ["stage1", "stage2", "stage3", "stage4", "features"],
        "CaiTXXS24": [*(f"block{i}" for i in range(1, 25)), "features"],
    }
    for name, expected in shapes.items():
        model = outlined(name)
        assert list(models.feature_extractor(model).output) == expected, name
    swin = models.feature_extractor(outlined("SwinTiny")).output
    assert [swin[f"stage{i}"].shape[1:] for i in (1, 4)] == [(8, 8, 96), (1, 1, 768)]


def test_features_are_the_values_inside():
    model = models.CifarResNet8(activation=kr.gclu)
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    outputs = models.feature_extractor(model)(images)
    assert outputs["stage2"].shape == (2, 16, 16, 32)
    np.testing.assert_allclose(
        np.mean(outputs["stage3"], axis=(1, 2)), outputs["features"], rtol=1e-5, atol=1e-6
    )
    logits = model.get_layer("logits")(outputs["features"])
    np.testing.assert_allclose(logits, model(images), rtol=1e-6)
    some = models.feature_extractor(model, ["stage1", "stem_bn"])(images)
    assert list(some) == ["stage1", "stem_bn"]


def test_another_head_trains_the_same_weights():
    model = models.CifarResNet8()
    headless = models.feature_extractor(model, "features")
    assert headless.output_shape == (None, 64)
    other = keras.Sequential([headless, keras.layers.Dense(3)])
    other.compile("sgd", "mse")
    before = np.asarray(model.get_layer("stem_conv").kernel)
    other.train_on_batch(np.ones((2, 32, 32, 3), "float32"), np.zeros((2, 3)))
    assert np.any(np.asarray(model.get_layer("stem_conv").kernel) != before)


def test_features_of_a_model_that_is_used_as_a_layer():
    back = models.feature_extractor(models.CifarResNet8(), "features")
    inputs = keras.Input((32, 32, 3))
    head = keras.layers.Dense(37, name="logits")
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    model = keras.Sequential([keras.Input((32, 32, 3)), back, head])
    for whole in (model, keras.Model(inputs, head(back(inputs)))):
        for name in (back.name, "features"):
            found = models.feature_extractor(whole, name)
            assert found.output_shape == (None, 64)
            np.testing.assert_array_equal(found(images), back(images))


def test_a_layer_that_is_called_twice_is_refused():
    dense = keras.layers.Dense(4, name="twice")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, dense(dense(inputs)), name="chain")
    with pytest.raises(kr.Mistake, match="chain calls once. Received: twice, called 2 times."):
        models.feature_extractor(model, "twice")
    once = keras.Model(inputs, dense(inputs))  # in this one
    assert models.feature_extractor(once, "twice").output_shape == (None, 4)


def test_an_unknown_output_is_refused():
    with pytest.raises(ValueError, match="stage1, stage2, stage3, features. Received: stage4."):
        models.feature_extractor(models.CifarResNet8(), ["stage1", "stage4"])
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="other")
    with pytest.raises(ValueError, match="layers of other. Received: stage1.$"):
        models.feature_extractor(other, "stage1")
    with pytest.raises(ValueError, match="name layers of other, which has no stages"):
        models.feature_extractor(other)
