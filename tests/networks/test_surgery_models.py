"""`kr.calibrate` on keras.applications, on our builders and on KerasHub's ResNet."""

import json
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet.models.complexity import outline
from support import ENVIRONMENT

GATED = partial(kr.layers.RCLayer, gated=True)

# The least side that is a multiple of 32 or that Keras takes, residual blocks, plain ReLUs.
# Residual blocks are those of the papers: ResNet-50 has 3 + 4 + 6 + 3, Inception-ResNet-v2 has
# 10 + 20 + 10, ConvNeXt-T 3 + 3 + 9 + 3. DenseNet-121 has 6 + 12 + 24 + 16 concatenations.
APPLICATIONS = {
    "ResNet50": (32, 16, 49),
    "ResNet50V2": (32, 16, 49),
    "MobileNetV2": (32, 10, 0),
    "MobileNetV3Small": (32, 6, 14),
    "EfficientNetB0": (32, 9, 0),
    "EfficientNetV2B0": (32, 15, 0),
    "Xception": (71, 12, 35),
    "ConvNeXtTiny": (32, 18, 0),
    "InceptionResNetV2": (75, 40, 243),
    "DenseNet121": (32, 0, 121),
    "VGG16": (32, 0, 15),
}
# One place of each family, from the source of keras.applications.
PLACED = {
    "ResNet50": "conv2_block1_3_bn is calibrated; the shortcut is conv2_block1_0_bn",
    "ResNet50V2": "conv2_block1_3_conv is calibrated; the shortcut is conv2_block1_0_conv",
    "MobileNetV2": "block_2_project_BN is calibrated; the shortcut is block_1_project_BN",
    "EfficientNetB0": "block2b_project_bn is calibrated, before block2b_drop; the shortcut is "
    "block2a_project_bn",
    "Xception": "block2_pool is calibrated; the shortcut is batch_normalization",
    "ConvNeXtTiny": "convnext_tiny_stage_0_block_0_pointwise_conv_2 is calibrated, before "
    "convnext_tiny_stage_0_block_0_layer_scale",
}
BUILDERS = {
    "CifarResNet8": (3, 7),
    "CifarResNet32": (15, 31),
    "CifarResNet50": (16, 49),
    "CifarResNet50D": (16, 49),
    "CifarSENet32": (0, 31),  # its branches end in a calibration already
    "ResNet18": (8, 17),
    "ResNet50": (16, 49),
    "ResNet152": (50, 151),
    "VGG16": (0, 15),
    "AlexNet": (0, 7),
    "ViTTiny": (24, 0),
    "SwinTiny": (24, 0),
    "CaiTXXS24": (52, 0),
}


def changes(model, **arguments):
    """Returns the numbers of replaced activations and of calibrations, 0 where it is refused."""
    try:
        words = kr.calibration_report(model, **arguments).split()
    except kr.Mistake:
        return 0, 0
    return int(words[0]), int(words[3])


def application(name):
    side = APPLICATIONS[name][0]
    build = getattr(keras.applications, name)
    return build(weights=None, input_shape=(side, side, 3), classes=7, classifier_activation=None)


def with_slow(names, slow):
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in slow)) for name in names]


@pytest.mark.parametrize("name", with_slow(APPLICATIONS, ("InceptionResNetV2", "DenseNet121")))
def test_places_of_keras_applications(name):
    _, branches, relus = APPLICATIONS[name]
    model = outline(partial(application, name))
    assert changes(model, activation=kr.gclu) == (relus, 0)
    assert changes(model, calibration=GATED) == (0, branches)
    if name in PLACED:
        assert PLACED[name] in kr.calibration_report(model, calibration=GATED)
    if name == "DenseNet121":
        assert changes(model, calibration=GATED, where="concat") == (0, 58)
    if name == "VGG16":
        assert changes(model, calibration=GATED, where="activation") == (0, 13)


@pytest.mark.parametrize("name", with_slow(BUILDERS, ("ResNet152", "CaiTXXS24")))
def test_places_of_builders(name, outlined):
    branches, relus = BUILDERS[name]
    assert changes(outlined(name), activation=kr.gclu) == (relus, 0)
    assert changes(outlined(name), calibration=GATED) == (0, branches)


LOADS = """
import json, sys
import keras, numpy as np
import keras_rescnet

same = {}
for name in json.loads(sys.argv[1]):
    arrays = np.load(name + ".npz")
    y = keras.models.load_model(name + ".keras")(arrays["x"])
    same[name] = float(np.abs(keras.ops.convert_to_numpy(y) - arrays["y"]).max())
print(json.dumps(same))
"""


@pytest.mark.release
def test_large_models_start_as_they_were_reload_and_train(tmp_path):
    """Bits, the weights of every layer, a fresh process and a step of training."""
    arguments = {
        "DenseNet121": {"where": "concat"},
        "VGG16": {"where": "activation"},
        "MobileNetV3Small": {},
    }
    for name, (side, _, relus) in APPLICATIONS.items():
        x = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype("float32")
        model = application(name)
        perturb(model)
        new = kr.calibrate(model, calibration=GATED, **arguments.get(name, {}))
        assert_same_state(model, new)
        before = keras.ops.convert_to_numpy(model(x))
        assert np.ptp(before, axis=0).max() > 0
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(new(x)), before, err_msg=name)
        if relus:
            new = kr.calibrate(new, kr.gclu)
            assert_same_state(model, new)
            y = keras.ops.convert_to_numpy(new(x))
            assert np.all(np.isfinite(y)) and np.any(y != before)
        new.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", x=x, y=keras.ops.convert_to_numpy(new(x)))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        new.compile(keras.optimizers.SGD(1e-3), loss, run_eagerly=True)
        new.fit(x, np.array([0, 1]), verbose=0)
        gates = [weight for weight in new.trainable_weights if weight.name == "gate"]
        moved = [np.any(keras.ops.convert_to_numpy(gate)) for gate in gates]
        assert np.mean(moved) > 0.8, name  # stochastic depth drops a branch for both images
        keras.backend.clear_session()
    command = [sys.executable, "-c", LOADS, json.dumps(list(APPLICATIONS))]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert max(json.loads(done.stdout.splitlines()[-1]).values()) == 0.0
    for file in tmp_path.glob("*.keras"):  # 700 MB
        file.unlink()


def perturb(model):
    """Moves every weight, statistics too, so that one in a wrong place shows."""
    generator = np.random.default_rng(1)
    for weight in model.weights:
        shift = 0.1 * (len(weight.shape) < 2)  # of kernels, it would make outputs infinite
        factor, noise = generator.uniform(-1.0, 1.0, (2, *weight.shape))
        weight.assign(weight * (1.0 + 0.1 * factor) + shift * noise)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # as loading weights would


def assert_same_state(old, new):
    for layer in old.layers:
        pairs = zip(layer.get_weights(), new.get_layer(layer.name).get_weights(), strict=True)
        for a, b in pairs:
            np.testing.assert_array_equal(a, b, err_msg=layer.name)


@pytest.mark.slow
def test_kerashub_resnet():
    hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed")
    backbone = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128],
        stackwise_num_blocks=[2, 2],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(32, 32, 3),
    )
    perturb(backbone)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    new = kr.calibrate(backbone, calibration=GATED)
    np.testing.assert_array_equal(new(x), backbone(x))
    assert_same_state(backbone, new)
    assert changes(backbone, activation=kr.gclu, calibration=GATED) == (9, 4)


@pytest.mark.release
def test_a_trained_network_with_gates_stays_as_good_while_it_is_fine_tuned():
    """The digits' network: its outputs to the bit before, its accuracy after every epoch."""
    base = kr.models.CifarResNet8(activation=kr.gclu, weights="digits")
    model = kr.calibrate(base, calibration=partial(GATED, reduction=4))
    (x, y), (x_test, y_test) = (
        ((read.images / 255.0 - kr.data.DIGITS.mean) / kr.data.DIGITS.std, np.asarray(read.labels))
        for read in (kr.data.DIGITS.read(kr.data.DIGITS, split) for split in ("train", "test"))
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    start = np.mean(np.argmax(base.predict(x_test, verbose=0), axis=-1) == y_test)
    np.testing.assert_array_equal(model(x_test), base(x_test))
    keras.utils.set_random_seed(0)
    model.compile(kr.optimizers.SGD(0.01, momentum=0.9), loss, metrics=["accuracy"])
    history = model.fit(x, y, 32, epochs=4, validation_data=(x_test, y_test), verbose=0).history
    noise = np.sqrt(start * (1.0 - start) / len(y_test))  # one standard deviation, 2 of 355 images
    assert start > 0.98 and min(history["val_accuracy"]) >= start - 2.0 * noise
    gates = [weight for weight in model.trainable_weights if weight.name == "gate"]
    assert len(gates) == 3
    assert all(np.all(keras.ops.convert_to_numpy(gate) != 0.0) for gate in gates)
