"""Weights of the reference in these models: logits and stage outputs of the golden files."""

import re
from functools import partial

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet import models
from keras_rescnet.layers import SqueezeExcite
from keras_rescnet.models.complexity import outline
from support.golden import ACTIVATIONS

# Golden file -> builder. A new family is one more entry.
REFERENCES = {
    "resnet8_mos_nc10": models.CifarResNet8,
    "se_resnet32_nc10": models.CifarSENet32,
    "rescnet32_nc10": models.CifarResCNet32,
    "rescnet50_c100_nc100": models.CifarResCNet50,
    "resnet50_E5_nc100": models.CifarResNet50D,
    "rescnet18_nc1000": models.ResCNet18,
    "resnet50_torch_nc1000": models.ResNet50,
    "alexnet_c100_nc10": models.AlexNet,
    "vgg16_c100_nc10": models.VGG16,
}


# Their 57 and 134 million weights take long to draw; VGG's names are tested below at another size.
LARGE = ("alexnet_c100_nc10", "vgg16_c100_nc10")
CASES = [
    pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in REFERENCES
]


@pytest.fixture(scope="module", params=CASES)
def reference(request, golden, golden_state):
    """Golden file, its images as `(N, H, W, C)`, the builder for them, and its loaded model."""
    arrays = golden(request.param)
    images = arrays["input"].transpose(0, 2, 3, 1)
    builder = partial(
        REFERENCES[request.param],
        input_shape=images.shape[1:],
        classes=int(arrays["num_classes"]),
    )
    model = builder()
    kr.convert.load_torch_weights(model, golden_state(request.param))
    return arrays, images, builder, model


def test_logits_are_those_of_the_reference(reference):
    golden, images, builder, loaded = reference
    compared = 0
    for name, activation in ACTIVATIONS.items():
        if f"logits_f64_{name}" not in golden:
            continue
        model = outline(builder, activation=activation)  # the weights are there already
        logits, _ = model.stateless_call(
            [variable.value for variable in loaded.trainable_variables],
            [variable.value for variable in loaded.non_trainable_variables],
            images,
        )
        expected = golden[f"logits_f64_{name}"]
        gap = np.max(np.abs(golden[f"logits_f32_{name}"] - expected))
        np.testing.assert_allclose(logits, expected, rtol=0, atol=5 * gap, err_msg=name)
        compared += 1
    assert compared in (1, 5)  # ReLU alone, or all


def test_stages_are_those_of_the_reference(reference):
    golden, images, _, model = reference
    modules = [str(module) for module in golden["act_names"]]
    if "features" in modules:  # AlexNet and VGG: one module after the other
        names = [layer.name for layer in model.layers]
        names = [name for name in names if name.startswith(("conv", "stage")) and "pad" not in name]
        layers = {f"features.{i}": name for i, name in enumerate(names)}
        assert set(layers) == {module for module in modules if module.startswith("features.")}
        layers["classifier.6"] = "logits"
    else:
        layers = {module: stage_layer(module, model) for module in modules}
        if "conv2_x" in modules:
            layers["conv1"] = "stem_activation"  # convolution, normalization and activation there
    outputs = keras.Model(model.input, [model.get_layer(name).output for name in layers.values()])
    statistics = dict(zip(modules, golden["act_stats"], strict=True))
    shapes = dict(zip(modules, golden["act_shapes"], strict=True))
    for module, y in zip(layers, outputs(images), strict=True):
        y = np.asarray(y)
        shape = tuple(int(size) for size in str(shapes[module]).split("x"))
        y = (y.transpose(0, 3, 1, 2) if y.ndim == 4 else y).reshape(shape)
        atol = 5e-5 * np.max(np.abs(y))  # float32 through up to 50 layers
        found = [np.mean(y, dtype="float64"), np.std(y, dtype="float64"), np.max(np.abs(y))]
        np.testing.assert_allclose(found, statistics[module], rtol=0, atol=atol, err_msg=module)
        if f"act/{module}" in golden:
            np.testing.assert_allclose(y, golden[f"act/{module}"], rtol=0, atol=atol)
        if f"act_flat64/{module}" in golden:
            samples = y.ravel()[np.linspace(0, y.size - 1, 64).astype(int)]
            np.testing.assert_allclose(samples, golden[f"act_flat64/{module}"], rtol=0, atol=atol)


def stage_layer(module, model):
    """Name of the layer that computes what PyTorch's `module` of a residual network returns."""
    match = re.fullmatch(r"(?:layer(\d)|conv(\d)_x)(?:\.(\d+))?", module)
    if match is None:
        return {
            "conv1": "stem_conv",
            "bn1": "stem_bn",
            "relu": "stem_activation",
            "act": "stem_activation",
            "maxpool": "stem_pool",
            "avgpool": "pool",
            "avg_pool": "pool",
            "fc": "logits",
        }[module]
    stage = int(match[1] or int(match[2]) - 1)
    blocks = [layer.name for layer in model.layers if layer.name.startswith(f"stage{stage}_")]
    last = max(int(re.search(r"block(\d+)", name)[1]) for name in blocks)
    block = last if match[3] is None else int(match[3]) + 1
    return f"stage{stage}_block{block}_out"


def test_vgg_of_another_size_loads_torchvision_names():
    # The naming counts modules, so it belongs to depths 2, 2, 3, 3, 3; widths are free.
    model = models.VGG((2, 2, 3, 3, 3), widths=(2, 2, 2, 2, 2), hidden=3)
    arrays = {variable.path: np.asarray(variable) for variable in model.weights}
    state = {"classifier.0.weight": np.arange(3 * 98, dtype="float32").reshape(3, 98)}
    indices = [0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40]  # torchvision's vgg16_bn
    for i in indices:
        inputs = 3 if i == 0 else 2
        state[f"features.{i}.weight"] = np.full((2, inputs, 3, 3), i, "float32")
        state[f"features.{i}.bias"] = np.zeros(2, "float32")
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"features.{i + 1}.{name}"] = np.ones(2, "float32")
        state[f"features.{i + 1}.num_batches_tracked"] = np.int64(7)
    for i, (inputs, outputs) in {0: (98, 3), 3: (3, 3), 6: (3, 10)}.items():
        state.setdefault(f"classifier.{i}.weight", np.zeros((outputs, inputs), "float32"))
        state[f"classifier.{i}.bias"] = np.zeros(outputs, "float32")
    kr.convert.load_torch_weights(model, state)
    assert np.all(np.asarray(model.get_layer("stage5_3_conv").kernel) == 40)
    kernel = np.asarray(model.get_layer("fc1").kernel)
    assert kernel.shape == arrays["fc1/kernel"].shape == (7, 7, 2, 3)
    assert kernel[2, 5, 1, 2] == 2 * 98 + 1 * 49 + 2 * 7 + 5  # flattened (C, H, W) in PyTorch


# SENet-50 for CIFAR has no golden file here: its forward pass, written out in float64.


def convolve(x, kernel, bias, stride):
    """PyTorch's `conv2d` of `(N, C, H, W)`, padded by half the kernel."""
    size = kernel.shape[-1]
    x = np.pad(x, ((0, 0), (0, 0), (size // 2, size // 2), (size // 2, size // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    return np.einsum("nihwpq,oipq->nohw", windows, kernel) + bias[:, None, None]


def senet50_reference(state, images, depths):
    """The authors' `seresnet50_c100`, from their names."""

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def conv_bn(x, prefix, i, stride=1):
        x = convolve(x, state[f"{prefix}.{i}.weight"], state[f"{prefix}.{i}.bias"], stride)
        g, b, m, v = (
            state[f"{prefix}.{i + 1}.{name}"][:, None, None]
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - m) / np.sqrt(v + 1e-5) * g + b

    def relu(x):
        return np.maximum(x, 0.0)

    x = relu(conv_bn(images, "pre", 0))
    for stage, depth in enumerate(depths, start=1):
        for block in range(depth):
            name = f"stage{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = relu(conv_bn(x, f"{name}.residual", 0))
            y = relu(conv_bn(y, f"{name}.residual", 3, stride))
            y = relu(conv_bn(y, f"{name}.residual", 6))
            gate = linear(
                relu(linear(y.mean((2, 3)), f"{name}.excitation.0")), f"{name}.excitation.2"
            )
            y = y / (1.0 + np.exp(-gate[:, :, None, None]))
            x = relu(y + (conv_bn(x, f"{name}.shortcut", 0, stride) if block == 0 else x))
    return linear(x.mean((2, 3)), "linear")


def senet50_state(widths, depths, classes, rng):
    """A random state dict with the names and shapes of `seresnet50_c100`."""
    state = {}

    def parameters(name, *shape):
        state[f"{name}.weight"] = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        state[f"{name}.bias"] = rng.normal(size=shape[0])

    def conv_bn(prefix, i, inputs, outputs, size):
        parameters(f"{prefix}.{i}", outputs, inputs, size, size)
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"{prefix}.{i + 1}.{name}"] = rng.uniform(0.5, 1.5, size=outputs)
        state[f"{prefix}.{i + 1}.num_batches_tracked"] = np.int64(1)

    conv_bn("pre", 0, 3, inputs := widths[0], 3)
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        for block in range(depth):
            name, outputs = f"stage{stage}.{block}", 4 * width
            conv_bn(f"{name}.residual", 0, inputs, width, 1)
            conv_bn(f"{name}.residual", 3, width, width, 3)
            conv_bn(f"{name}.residual", 6, width, outputs, 1)
            parameters(f"{name}.excitation.0", outputs // 16, outputs)
            parameters(f"{name}.excitation.2", outputs, outputs // 16)
            if block == 0:
                conv_bn(f"{name}.shortcut", 0, inputs, outputs, 1)
            inputs = outputs
    parameters("linear", classes, inputs)
    return state


def test_senet50_is_the_reference():
    rng = np.random.default_rng(0)
    widths, depths = (4, 8), (2, 1)
    state = senet50_state(widths, depths, classes=5, rng=rng)
    images = rng.normal(size=(2, 3, 7, 6))
    model = models.ResNet(
        depths,
        block=partial(models.bottleneck_block, activate_branch=True),
        widths=widths,
        small_images=True,
        calibration=partial(SqueezeExcite, use_bias=True),
        use_bias=True,
        input_shape=(7, 6, 3),
        classes=5,
    )
    kr.convert.load_torch_weights(model, state)
    np.testing.assert_allclose(
        model(images.transpose(0, 2, 3, 1).astype("float32")),
        senet50_reference(state, images, depths),
        rtol=1e-4,
        atol=1e-4,
    )


# Strictness.


@pytest.fixture(scope="module")
def small(golden_state):
    """A model, and a state dict that fits it."""
    model = models.CifarResNet8()
    return model, golden_state("resnet8_mos_nc10")


def test_every_fault_is_listed_and_nothing_is_changed(small):
    model, state = small
    before = [np.asarray(weight) for weight in model.weights]
    state = dict(state)
    del state["layer2.0.bn1.running_mean"], state["conv1.weight"]
    state["layer4.0.conv1.weight"] = np.zeros((1, 1, 3, 3))
    state["fc.weight"] = np.zeros((100, 64))
    with pytest.raises(ValueError, match="Nothing was changed") as error:
        kr.convert.load_torch_weights(model, state)
    text = str(error.value)
    assert "\n" not in text
    assert "missing: conv1.weight, layer2.0.bn1.running_mean" in text
    assert "unexpected: layer4.0.conv1.weight" in text
    assert "of another shape: fc.weight (100, 64) for logits/kernel (64, 10)" in text
    for weight, array in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, array)


def test_a_bare_backbone_is_incomplete(small):
    model, state = small
    state = {name: array for name, array in state.items() if not name.startswith("fc.")}
    with pytest.raises(ValueError, match="missing: fc.weight, fc.bias"):
        kr.convert.load_torch_weights(model, state)


def test_weights_of_another_family_are_refused(small):
    _, state = small
    with pytest.raises(ValueError, match="missing: .*layer1.0.se.fc.0.weight"):
        model = models.CifarResNet8(calibration=partial(SqueezeExcite, reduction=4))
        kr.convert.load_torch_weights(model, state)


def test_counters_may_be_there_or_not(small):
    model, state = small
    kr.convert.load_torch_weights(model, state | {"bn1.num_batches_tracked": np.int64(3)})
    counted = {n: a for n, a in state.items() if not n.endswith("num_batches_tracked")}
    kr.convert.load_torch_weights(model, counted)


def test_a_restored_model_takes_weights(small, tmp_path):
    model, state = small
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    kr.convert.load_torch_weights(restored, state)
    kernel = state["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(restored.get_layer("stem_conv").kernel, kernel)


class Tensor:
    """Refuses what PyTorch's tensors refuse: NumPy knows no bfloat16, no gradients, no GPU."""

    def __init__(self, array, dtype="torch.float32", grad=False, device="cpu"):
        self.array, self.dtype, self.grad, self.device = array, dtype, grad, device

    def detach(self):
        return Tensor(self.array, self.dtype, False, self.device)

    def cpu(self):
        return Tensor(self.array, self.dtype, self.grad, "cpu")

    def float(self):
        return Tensor(self.array, "torch.float32", self.grad, self.device)

    def __array__(self, dtype=None, copy=None):
        if self.grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self.device != "cpu":
            raise TypeError("can't convert cuda:0 device type tensor to numpy.")
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


WRAPPED = {
    "bfloat16": lambda array: Tensor(array, dtype="torch.bfloat16"),
    "parameters": lambda array: Tensor(array, grad=True),
    "on a GPU": lambda array: Tensor(array, dtype="torch.bfloat16", grad=True, device="cuda:0"),
    "float64": lambda array: np.asarray(array, "float64"),
    "lists": lambda array: array.tolist(),
}
NESTED = {
    "DataParallel": lambda state: {f"module.{name}": array for name, array in state.items()},
    "torch.compile": lambda state: {f"_orig_mod.module.{name}": a for name, a in state.items()},
    "model": lambda state: {"model": state, "epoch": 3},
    "state_dict of DataParallel": lambda state: {
        "state_dict": {f"module.{name}": array for name, array in state.items()}
    },
}


@pytest.mark.parametrize("change", [*WRAPPED, *NESTED])
def test_state_dicts_in_other_forms(small, change):
    _, state = small
    model = models.CifarResNet8()
    if change in NESTED:
        changed = NESTED[change](state)
    else:
        changed = {name: WRAPPED[change](array) for name, array in state.items()}
    kr.convert.load_torch_weights(model, changed)
    for name, path in {"conv1.weight": "stem_conv", "fc.weight": "logits"}.items():
        array = state[name].transpose(2, 3, 1, 0) if "conv" in name else state[name].T
        np.testing.assert_array_equal(model.get_layer(path).kernel, array)


def test_a_long_list_of_faults_stays_short(small):
    _, state = small
    with pytest.raises(ValueError) as error:
        kr.convert.load_torch_weights(models.CifarResCNet56(), {f"a{i}": 0 for i in range(999)})
    assert len(str(error.value)) < 500
    assert "unexpected: a0, a1 and 997 more" in str(error.value)
