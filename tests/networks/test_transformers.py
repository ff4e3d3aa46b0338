"""ViT, Swin and CaiT: the reference's golden values, drop path, and what they refuse.

Sizes, initial weights and the exam of all builders are in test_models.py; of all layers, in
test_layers.py.
"""

import inspect
import re
from functools import partial

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet import layers, models
from keras_rescnet.models.complexity import outline
from support.golden import ACTIVATIONS

REFERENCES = {
    "vit_tiny_patch4_32_nc10": models.ViTTiny,
    "swin_tiny_patch4_window4_32_nc10": models.SwinTiny,
    "cait_xxs24_32_nc10": models.CaiTXXS24,
}
if keras.backend.backend() != "tensorflow":  # one is enough there
    REFERENCES = {"vit_tiny_patch4_32_nc10": models.ViTTiny}


@pytest.fixture(scope="module", params=REFERENCES)
def reference(request, golden, golden_state):
    """Golden file, its images as `(N, H, W, C)`, the builder, and its loaded model."""
    arrays = golden(request.param)
    builder = REFERENCES[request.param]
    model = builder(activation="relu")  # whose blocks the file has
    kr.convert.load_torch_weights(model, golden_state(request.param))
    return arrays, arrays["input"].transpose(0, 2, 3, 1), builder, model


@pytest.mark.parametrize("name", [*ACTIVATIONS, "by default"])
def test_logits_are_those_of_the_reference(reference, name):
    golden, images, builder, loaded = reference
    options = {"activation": ACTIVATIONS[name]} if name in ACTIVATIONS else {}
    name = name if options else "gelu"
    model = outline(builder, **options)  # the weights are there already
    logits, _ = model.stateless_call(
        [variable.value for variable in loaded.trainable_variables],
        [variable.value for variable in loaded.non_trainable_variables],
        images,
    )
    expected = golden[f"logits_f64_{name}"]
    gap = np.max(np.abs(golden[f"logits_f32_{name}"] - expected))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=5 * gap)


def test_blocks_are_those_of_the_reference(reference):
    golden, images, _, model = reference
    modules = {str(module): i for i, module in enumerate(golden["act_names"])}
    names = {module: name for module in modules if (name := layer_of(module, model))}
    assert len(names) >= 15
    outputs = keras.Model(model.inputs, [model.get_layer(name).output for name in names.values()])
    for module, y in zip(names, outputs([images]), strict=True):
        y = np.asarray(y)
        shape = tuple(map(int, str(golden["act_shapes"][modules[module]]).split("x")))
        y = (y.transpose(0, 3, 1, 2) if len(shape) == 4 else y).reshape(shape)
        atol = 1e-5 * np.max(np.abs(y))
        found = [np.mean(y, dtype="float64"), np.std(y, dtype="float64"), np.max(np.abs(y))]
        expected = golden["act_stats"][modules[module]]
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=module)
        if f"act/{module}" in golden:
            np.testing.assert_allclose(y, golden[f"act/{module}"], rtol=0, atol=atol)


def layer_of(module, model):
    """Name of the layer that computes what PyTorch's `module` returns; None if no layer does."""
    if match := re.fullmatch(r"blocks\.(\d+)", module):
        return f"block{int(match[1]) + 1}_out"
    if match := re.fullmatch(r"blocks_token_only\.(\d+)", module):
        return f"class_block{int(match[1]) + 1}_out"
    if match := re.fullmatch(r"layers\.(\d+)\.blocks\.(\d+)", module):
        return f"stage{int(match[1]) + 1}_block{int(match[2]) + 1}_out"
    if match := re.fullmatch(r"layers\.([012])(\.downsample\.reduction)?", module):
        return f"stage{int(match[1]) + 1}_merge"
    swin = model.name == "swin_tiny"
    return {
        "patch_embed.proj": "patch_embedding",
        "patch_embed": "patch_norm" if swin else "tokens",
        "pos_drop": "patch_norm" if swin else "position_embedding",
        "layers.3": "stage4_block2_out",
        "norm": "norm" if swin else None,  # of the class token alone elsewhere
        "fc_norm": "norm",
        "avgpool": "pool",
        "head": "logits",
    }.get(module)


def test_self_attention_is_that_of_keras():
    x = np.random.default_rng(0).normal(size=(2, 5, 12)).astype("float32")
    ours, theirs = layers.SelfAttention(3), keras.layers.MultiHeadAttention(3, 4)
    ours.build(x.shape)
    theirs.build(x.shape, x.shape)
    qkv, bias, projection, projection_bias = (
        np.random.default_rng(1).normal(size=weight.shape) for weight in ours.weights
    )
    ours.set_weights([qkv, bias, projection, projection_bias])
    theirs.set_weights(
        [
            part.reshape(-1, 3, 4) if part.ndim == 2 else part.reshape(3, 4)
            for pair in zip(np.split(qkv, 3, axis=1), np.split(bias, 3), strict=True)
            for part in pair
        ]
        + [projection.reshape(3, 4, 12), projection_bias]
    )
    np.testing.assert_allclose(ours(x), theirs(x, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("leading", [(2, 3), (2, 1, 3)])
def test_self_attention_of_tokens_on_more_axes(leading):
    """TensorFlow's own softmax takes five axes on a CPU."""
    x = np.random.default_rng(0).normal(size=(*leading, 5, 12)).astype("float32")
    layer = layers.SelfAttention(3)
    expected = np.reshape(layer(x.reshape(6, 5, 12)), x.shape)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)


def test_shifted_windows_do_not_see_across_the_seam():
    layer = layers.WindowAttention(1, window_size=4, shift=2)
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    y = np.asarray(layer(x))
    x[0, :2] += 1.0  # rolled next to the last two rows, in one window with them
    changed = np.any(np.asarray(layer(x)) != y, axis=(0, 2, 3))
    assert changed.tolist() == [True] * 2 + [False] * 6


def test_drop_path_drops_whole_images_in_training_alone():
    keras.utils.set_random_seed(0)
    model = models.ViT(4, width=8, depth=2, heads=2, drop_path=0.25, input_shape=(8, 8, 3))
    rates = {layer.name: layer.rate for layer in model.layers if "drop_path" in layer.name}
    assert rates == {"block2_attention_drop_path": 0.25, "block2_mlp_drop_path": 0.25}
    drop_path = model.get_layer("block2_mlp_drop_path")
    x = np.ones((4000, 5, 8), "float32")
    np.testing.assert_array_equal(drop_path(x), x)
    dropped = np.asarray(drop_path(x, training=True))
    kept = dropped[:, 0, 0] != 0.0
    assert abs(kept.mean() - 0.75) < 4 * np.sqrt(0.25 * 0.75 / 4000)
    np.testing.assert_allclose(dropped, x * kept[:, None, None] / 0.75, rtol=1e-6)
    assert np.any(np.asarray(drop_path(x, training=True)) != dropped)


def test_drop_path_rates_grow_linearly():
    signature = inspect.signature(models.SwinTiny)
    assert signature.parameters["drop_path"].default == 0.1  # the others have none
    small = partial(models.Swin, 4, width=4, depths=(2, 2), heads=(1, 1), window_size=4)
    model = small(drop_path=0.3)
    rates = [layer.rate for layer in model.layers if layer.name.endswith("mlp_drop_path")]
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3], rtol=1e-12)
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    without = small()
    without.set_weights(model.get_weights())
    np.testing.assert_array_equal(model(images), without(images))
    assert np.any(np.asarray(model(images, training=True)) != np.asarray(model(images)))


def test_swin_of_a_map_that_is_not_square():
    model = models.Swin(
        2, width=8, depths=(2, 2), heads=(2, 2), window_size=4, input_shape=(16, 32, 1), classes=3
    )
    windows = [model.get_layer(f"stage{i}_block2_attention") for i in (1, 2)]
    assert [(layer.window_size, layer.shift) for layer in windows] == [(4, 2), (4, 0)]
    assert model(np.zeros((2, 16, 32, 1), "float32")).shape == (2, 3)


VIT = partial(models.ViT, 4, width=12, depth=1, heads=3)
SWIN = partial(models.Swin, 4, width=12, depths=(1, 1), heads=(3, 3), window_size=4)
CAIT = partial(models.CaiT, 4, width=12, depth=1, heads=3)
ERRORS = {
    "divides the width.*heads=5, width=12": partial(VIT, heads=5),
    "divides the width.*heads=0, width=12": partial(CAIT, heads=0),
    "divides the width.*heads=5, width=24": partial(SWIN, heads=(3, 5)),
    "`patch_size` divides.*\\(2, 2, 3\\), patch_size=4": partial(VIT, input_shape=(2, 2, 3)),
    "`patch_size` divides.*\\(32, 30, 3\\), patch_size=4": partial(CAIT, input_shape=(32, 30, 3)),
    "`patch_size` divides.*\\(None, 32, 3\\)": partial(SWIN, input_shape=(None, 32, 3)),
    "positive integer.*patch_size=0": lambda: models.ViT(0, width=12, depth=1, heads=3),
    "one entry per stage.*depths=\\(1,\\), heads=\\(3, 3\\)": partial(SWIN, depths=(1,)),
    "1 to the side of the first map.*=9, a map of 8 x 8": partial(SWIN, window_size=9),
    "1 to the side of the first map.*=0, a map of 8 x 8": partial(SWIN, window_size=0),
    "divide the map of stage 1, 8 x 8, as 1, 2 would.*=3": partial(SWIN, window_size=3),
    "must be even.*patch_size \\* 2 \\*\\*.*7 x 7 in stage 1": partial(
        SWIN, window_size=7, input_shape=(28, 28, 3)
    ),
    "activation.*glu2": partial(VIT, activation="glu2"),
    "below 1.*drop_path=1.5": partial(CAIT, drop_path=1.5),
    "at least 0 and less than `window_size`.*shift=4": lambda: layers.WindowAttention(1, 4, 4),
    "known H and W that `window_size` divides.*window_size=4": (
        lambda: layers.WindowAttention(1, 4).build((None, 6, 8, 4))
    ),
    "even H and W.*\\(None, 3, 4, 8\\)": lambda: layers.PatchMerging().build((None, 3, 4, 8)),
    "known T and C.*\\(None, None, 8\\)": (
        lambda: layers.PositionEmbedding().build((None, None, 8))
    ),
}


@pytest.mark.parametrize("message", ERRORS)
def test_a_wrong_argument_gets_one_line(message):
    with pytest.raises(ValueError, match=message) as error:
        ERRORS[message]()
    assert "\n" not in str(error.value)
