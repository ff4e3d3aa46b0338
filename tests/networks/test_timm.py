"""timm's names: logits of small models of timm 1.0.31, which PyTorch 2.13 computed.

Their weights are drawn as `support.golden` says; the files hold logits in float32 and float64.
"""

from functools import partial

import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet import models
from keras_rescnet.layers import SqueezeExcite
from keras_rescnet.models.complexity import count_parameters, outline

se = partial(SqueezeExcite, use_bias=True)
WIDTHS = {"widths": (64, 8, 8, 16)}
REFERENCES = {
    # A picture of odd sides: the last row and column that are averaged are not whole
    "timm_resnet18d": partial(
        models.ResNet,
        (1, 1, 1, 1),
        stem=models.deep_stem,
        block=partial(models.basic_block, pooled_shortcut=True),
        **WIDTHS,
    ),
    "timm_seresnet50": partial(
        models.ResNet,
        (1, 1, 1, 1),
        block=models.bottleneck_block,
        calibration=[partial(se, reduction=reduction) for reduction in (16, 4, 4, 8)],
        **WIDTHS,
    ),
    "timm_swin": partial(models.Swin, 4, width=8, depths=(2, 2, 1), heads=(1, 2, 4), window_size=4),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_logits_are_those_of_timm(name, golden, golden_state):
    arrays, state = golden(name), golden_state(name)
    images = arrays["input"].transpose(0, 2, 3, 1)
    model = REFERENCES[name](input_shape=images.shape[1:], classes=int(arrays["num_classes"]))
    assert count_parameters(model) == arrays["parameters"]
    kr.convert.load_torch_weights(model, {"model": {f"module.{n}": a for n, a in state.items()}})
    expected = arrays["logits_f64_relu"]
    gap = np.max(np.abs(arrays["logits_f32_relu"] - expected))
    np.testing.assert_allclose(model(images), expected, rtol=0, atol=5 * gap)


NARROW = [partial(se, reduction=8), se, se, se]  # timm has at least 8 hidden units


@pytest.mark.parametrize(
    ("builder", "parameters"),
    [
        (partial(models.SENet18, calibration=NARROW), 11_779_624),
        (partial(models.SENet34, calibration=NARROW), 21_960_416),
        (partial(models.SENet50, calibration=se), 28_088_024),
    ],
    ids=["seresnet18", "seresnet34", "seresnet50"],
)
def test_parameters_of_timms_squeeze_and_excitation(builder, parameters):
    assert count_parameters(outline(builder)) == parameters


@pytest.mark.parametrize(
    ("builder", "parameters"),
    [
        (partial(models.ViT, 16, width=192, depth=12, heads=3), 5_717_416),
        (
            partial(
                models.Swin,
                4,
                width=96,
                depths=(2, 2, 6, 2),
                heads=(3, 6, 12, 24),
                window_size=7,
            ),
            28_288_354,
        ),
        (partial(models.CaiT, 16, width=192, depth=24, heads=4), 11_956_264),
    ],
    ids=["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "cait_xxs24_224"],
)
def test_parameters_of_timms_transformers(builder, parameters):
    sizes = {"input_shape": (224, 224, 3), "classes": 1000}
    assert count_parameters(outline(partial(builder, **sizes))) == parameters


def test_vgg_with_timms_names_loads():
    """timm writes the dense layers as convolutions: of the whole map, and of 1 x 1."""
    model = models.VGG((2, 2, 3, 3, 3), widths=(2, 2, 2, 2, 2), hidden=3)
    names = {naming("fc1/kernel"): naming for naming in kr.convert.NAMINGS}
    naming = names["pre_logits.fc1.weight"]
    generator = np.random.default_rng(0)
    state = {}
    for weight in model.weights:
        shape = tuple(weight.shape)
        if weight.path.endswith("/kernel"):
            shape = (*shape[:1:-1], *shape[:2]) if len(shape) == 4 else shape[::-1]
        state[naming(weight.path)] = generator.random(shape)
    hidden = state["pre_logits.fc2.weight"] = state["pre_logits.fc2.weight"][:, :, None, None]
    kr.convert.load_torch_weights(model, state)
    kernel = state["pre_logits.fc1.weight"].astype("float32")
    np.testing.assert_array_equal(model.get_layer("fc1").kernel, kernel.transpose(2, 3, 1, 0))
    expected = hidden[:, :, 0, 0].T.astype("float32")
    np.testing.assert_array_equal(model.get_layer("fc2").kernel, expected)
