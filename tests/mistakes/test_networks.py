"""What is wrong with activations, layers, models, weights and optimizers is one line."""

import re
from functools import partial

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet import layers, models, optimizers, schedules
from keras_rescnet.convert import load_torch_weights

IMAGES = np.zeros((2, 8, 8, 16), "float32")
TINY = {"widths": (4,), "small_images": True, "input_shape": (8, 8, 3), "classes": 3}
resnet = partial(models.ResNet, (1,), **TINY)
vgg = partial(models.VGG, (1,), widths=(4,), hidden=4, input_shape=(8, 8, 3))
alexnet = partial(models.AlexNet, widths=(4,) * 5, hidden=4, input_shape=(16, 16, 3))
vit = partial(models.ViT, 4, width=12, depth=1, heads=3, input_shape=(8, 8, 3))
swin = partial(models.Swin, 2, width=4, depths=(1,), heads=(1,), window_size=2)
swin = partial(swin, input_shape=(4, 4, 3))
cait = partial(models.CaiT, 4, width=12, depth=1, heads=3, input_shape=(8, 8, 3))


def build(layer, *shape):
    return lambda: layer.build(shape)


def twins():
    images = keras.Input((8, 8, 3))
    both = [resnet(name=name)(images) for name in ("one", "other")]
    return keras.Model(images, keras.layers.Average()(both), name="twins")


def makes_no_layer(name):
    return name


ACTIVATIONS = {
    "an unknown form": (lambda: kr.gclu(1.0, "erf"), r'None, "sigmoid" or "tanh".*=\'erf\''),
    "a form that is no text": (lambda: kr.gclu(1.0, ["tanh"]), r"Received: approximate=\['tanh'\]"),
    "a form of the layer": (lambda: layers.GCLU("exact"), "approximate='exact'"),
    "integers": (lambda: kr.gclu(np.arange(3)), r"floating dtype. Received: dtype=int(32|64)"),
    "booleans": (lambda: kr.gclu_tanh(np.ones(2, "bool")), "Received: dtype=bool"),
    "complex numbers": (lambda: kr.gclu_sigmoid(np.ones(2, "complex64")), "dtype=complex64"),
    "symbolic integers": (lambda: kr.gclu(keras.Input((3,), dtype="int32")), "dtype=int32"),
}
LAYERS = {
    "reduction of 0": (lambda: layers.RCLayer(0), "`reduction` must be a positive integer.*=0"),
    "reduction of text": (lambda: layers.RCLayer("16"), "Received: reduction='16'"),
    "reduction of a truth": (lambda: layers.SqueezeExcite(True), "Received: reduction=True"),
    "a fraction for reduction": (lambda: layers.SqueezeExcite(0.25), "Received: reduction=0.25"),
    "a pair of three": (lambda: layers.PairViewSqueezeExcite(3), "1 or 2.*kernel_width=3"),
    "a fraction of a pair": (lambda: layers.PairViewSqueezeExcite(1.0), "kernel_width=1.0"),
    "negative epsilon": (lambda: layers.RCLayer(epsilon=-1), "`epsilon` must be a positive number"),
    "epsilon of text": (lambda: layers.RCLayer(epsilon="small"), "Received: epsilon='small'"),
    "endless epsilon": (lambda: layers.RCLayer(epsilon=np.inf), "Received: epsilon=inf"),
    "an epsilon that no float holds": (lambda: layers.RCLayer(epsilon=10**400), "epsilon=10000"),
    "an epsilon of 0": (lambda: layers.PatchMerging(0), "`epsilon` must be .*epsilon=0"),
    "a token below 0": (lambda: layers.ClassToken(-1), "`stddev` must be .* at least 0.*=-1"),
    "a scale of text": (lambda: layers.LayerScale("1"), "`initial_value` must .*='1'"),
    "no mean": (lambda: layers.AdvancedDropout(mu=np.nan), "`mu` must be a number. .*mu=nan"),
    "no initializer": (lambda: layers.ACON(beta_initializer=None), "beta_initializer=None"),
    "an unknown hidden activation": (
        lambda: layers.RCLayer(hidden_activation="gclu"),
        "`hidden_activation` .* such as kr.gclu.*='gclu'",
    ),
    "a class for an activation": (
        lambda: layers.SqueezeExcite(hidden_activation=keras.layers.ReLU),
        "a layer, not its class. Received: hidden_activation=<class .*ReLU",
    ),
    "an activation without a layer": (
        lambda: layers.RCLayer(None, hidden_activation="relu"),
        "give a `reduction`. Received: reduction=None",
    ),
    "an unknown initializer": (
        lambda: layers.RCLayer(kernel_initializer="he"),
        "`kernel_initializer` must be an initializer.*='he'",
    ),
    "a number for an initializer": (
        lambda: layers.PooledDense(2, 2, bias_initializer=0),
        "Received: bias_initializer=0",
    ),
    "fewer channels than reduction": (
        build(layers.RCLayer(16), None, 8, 8, 8),
        r"RCLayer expects images .* C >= 16. Received: input_shape=\(None, 8, 8, 8\)",
    ),
    "vectors for images": (build(layers.SqueezeExcite(4), None, 8), r"input_shape=\(None, 8\)"),
    "unknown channels": (build(layers.RCLayer(4), None, 8, 8, None), r"8, None\)"),
    "sigma of 0": (lambda: layers.AdvancedDropout(sigma=0), "`sigma` must be a positive.*sigma=0"),
    "no map": (build(layers.AdvancedDropout(), None, 8, 8, 3), "expects features of shape .N, C."),
    "a map of any size": (
        build(layers.RegionMask(), None, None, 8, 3),
        "RegionMask .* known H and",
    ),
    "a reward": (lambda: layers.RegionMask(-1), "`regularization` must be .*=-1"),
    "noise of text": (
        lambda: layers.WeightNoise(keras.layers.Dense(2), "0"),
        "Received: noise='0'",
    ),
    "endless noise": (lambda: layers.WeightNoise(keras.layers.Dense(2), np.inf), "noise=inf"),
    "noise on a builder": (
        lambda: layers.WeightNoise(models.CifarResNet8),
        "`layer` must be a layer",
    ),
    "no units": (lambda: layers.PooledDense(0, 7), "`units` must be a positive integer.*=0"),
    "a pair for a size": (lambda: layers.PooledDense(4, (7, 7)), r"pool_size=\(7, 7\)"),
    "dropout of 1": (lambda: layers.PooledDense(4, 7, 1.0), "`dropout` .* below 1.*dropout=1.0"),
    "maps of unknown size": (build(layers.PooledDense(4, 7), None, None, 2, 3), "known H, W and C"),
    "heads that do not divide": (build(layers.SelfAttention(5), None, 4, 12), "heads=5, width=12"),
    "no heads": (build(layers.TalkingHeadsAttention(0), None, 4, 12), "heads=0"),
    "heads of text": (build(layers.ClassAttention("3"), None, 4, 12), "heads='3'"),
    "tokens of unknown width": (
        build(layers.SelfAttention(3), None, 4, None),
        r"SelfAttention expects tokens .* Received: input_shape=\(None, 4, None\)",
    ),
    "images for tokens": (
        build(layers.ClassAttention(3), None, 4, 4, 12),
        r"ClassAttention expects tokens of shape \(N, T, C\)",
    ),
    "images for a class token": (build(layers.ClassToken(), None, 4, 4, 12), "expects tokens"),
    "any number of tokens": (build(layers.PositionEmbedding(), None, None, 8), "known T and C"),
    "scales of unknown width": (build(layers.LayerScale(), None, None), "LayerScale expects"),
    "a window of 0": (lambda: layers.WindowAttention(1, 0), "positive integer.*window_size=0"),
    "a pair for a window": (lambda: layers.WindowAttention(1, (4, 4)), r"window_size=\(4, 4\)"),
    "a shift of a window": (lambda: layers.WindowAttention(1, 4, 4), "shift=4, window_size=4"),
    "half a shift": (lambda: layers.WindowAttention(1, 4, 0.5), "Received: shift=0.5"),
    "windows that do not tile": (
        build(layers.WindowAttention(1, 4), None, 6, 8, 4),
        r"`window_size` divides. Received: input_shape=\(None, 6, 8, 4\)",
    ),
    "odd maps": (build(layers.PatchMerging(), None, 3, 4, 8), "even H and W.*3, 4, 8"),
    "renormalization": (lambda: layers.BatchNormalization(renorm=True), "use Keras's own"),
}
MODELS = {
    "depth as a number": (lambda: models.ResNet(3), "`depths` must be a tuple.*depths=3"),
    "a depth of 0": (lambda: models.ResNet((2, 0)), r"positive integers. Received: depths=\(2, 0"),
    "no stages": (lambda: models.VGG(()), r"Received: depths=\(\)"),
    "depths of text": (lambda: models.VGG("16"), "Received: depths='16'"),
    "a width too few": (lambda: models.ResNet((1, 1), widths=(4,)), "one entry per stage.*widths"),
    "a stride too few": (lambda: resnet(strides=(1, 2)), r"`strides` must have one entry.*\(1, 2"),
    "a stride of 0": (lambda: resnet(strides=(0,)), r"Received: strides=\(0,\)"),
    "four widths": (lambda: models.AlexNet(widths=(4,) * 4), "`widths` must have five entries"),
    "no hidden units": (lambda: vgg(hidden=0), "Received: hidden=0"),
    "classes as text": (lambda: resnet(classes="10"), "Received: classes='10'"),
    "classes of 0": (lambda: models.CifarResNet8(classes=0), "positive integer.*classes=0"),
    "names for classes": (lambda: vit(classes=["a", "b"]), r"Received: classes=\['a', 'b'\]"),
    "a side for a shape": (lambda: resnet(input_shape=32), "height, width, channels.*=32"),
    "a shape without channels": (lambda: resnet(input_shape=(32, 32)), r"Received: .*\(32, 32\)"),
    "a shape of text": (lambda: resnet(input_shape=("32", "32", "3")), "Received: .*'32'"),
    "a shape with a batch": (lambda: resnet(input_shape=(None, 8, 8, 3)), "height, width, ch"),
    "images without channels": (lambda: vgg(input_shape=(8, 8, 0)), r"\(8, 8, 0\)"),
    "too small for VGG-16": (lambda: models.VGG16(input_shape=(16, 32, 3)), "at least 32"),
    "too small for AlexNet": (lambda: alexnet(input_shape=(8, 8, 3)), "at least 16"),
    "any size for VGG": (lambda: vgg(input_shape=(None, None, 3)), "known H, W and C"),
    "calibration by name": (lambda: resnet(calibration="rc"), "makes a layer.*calibration='rc'"),
    "calibration by a layer": (
        lambda: alexnet(calibration=layers.RCLayer()),
        "such as a class .* Received: calibration=<RCLayer.*, a layer",
    ),
    "an activation for calibration": (
        lambda: resnet(calibration=kr.gclu),
        "Received: calibration=<function gclu.*, which takes no `name`",
    ),
    "a calibration that makes no layer": (
        lambda: resnet(calibration=makes_no_layer),
        "must return a layer.*which returns 'stage1_block1_calibration'",
    ),
    "calibrations too few": (
        lambda: models.ResNet((1, 1), widths=(4, 4), calibration=[layers.RCLayer]),
        "`calibration` must have one entry per stage",
    ),
    "normalization by name": (lambda: resnet(normalization="batch"), "`normalization` must be"),
    "no normalization": (lambda: vgg(normalization=None), "Received: normalization=None"),
    "gclu by name": (lambda: resnet(activation="gclu"), "such as kr.gclu.*activation='gclu'"),
    "GCLU's class": (
        lambda: resnet(activation=layers.GCLU),
        "not its class. Received: activation=<class .*GCLU",
    ),
    "a misspelt activation": (lambda: cait(activation="gelu_tanh"), "activation='gelu_tanh'"),
    "a number for an activation": (lambda: vgg(activation=1), "Received: activation=1"),
    "an unknown initializer of a model": (
        lambda: resnet(kernel_initializer="kaiming"),
        "Received: kernel_initializer='kaiming'",
    ),
    "an unknown initializer of logits": (
        lambda: resnet(logits_initializer="small"),
        "Received: logits_initializer='small'",
    ),
    "a drop path of 1": (lambda: resnet(drop_path=1), "`drop_path` .* below 1.*drop_path=1"),
    "a negative drop path": (lambda: swin(drop_path=-0.1), "Received: drop_path=-0.1"),
    "a drop path of text": (lambda: cait(drop_path="0.1"), "Received: drop_path='0.1'"),
    "a patch of 0": (lambda: models.ViT(0, width=12, depth=1, heads=3), "patch_size=0"),
    "patches that do not tile": (lambda: vit(input_shape=(8, 6, 3)), "`patch_size` divides.*8, 6"),
    "patches of any size": (lambda: cait(input_shape=(None, 8, 3)), r"\(None, 8, 3\)"),
    "no blocks": (lambda: vit(depth=0), "`depth` must be a positive integer"),
    "no class blocks": (lambda: cait(class_depth=0), "Received: class_depth=0"),
    "a width of text": (lambda: vit(width="tiny"), "Received: width='tiny'"),
    "heads beyond the width": (lambda: vit(heads=5), "heads=5, width=12"),
    "one number of heads": (lambda: swin(heads=3), "`heads` must be a tuple.*heads=3"),
    "heads too few": (lambda: swin(heads=(1, 1)), r"one entry per stage.*heads=\(1, 1\)"),
    "a window beyond the map": (lambda: swin(window_size=3), "window_size=3, a map of 2 x 2"),
    "a window of text": (lambda: swin(window_size="2"), "window_size='2'"),
}
FEATURES = {
    "features of no model": (lambda: models.feature_extractor("resnet"), "type str"),
    "features of an unbuilt model": (
        lambda: models.feature_extractor(keras.Sequential([keras.layers.Dense(1)])),
        "functional or sequential.*Received: an object of type Sequential",
    ),
    "an unknown feature": (
        lambda: models.feature_extractor(resnet(), "stage4"),
        "stage1, features. Received: stage4",
    ),
    "many unknown features": (
        lambda: models.feature_extractor(resnet(), [f"a{i}" for i in range(99)]),
        "Received: a0, a1, a2, a3 and 95 more",
    ),
    "no features": (lambda: models.feature_extractor(resnet(), []), r"Received: outputs=\[\]"),
    "a number of features": (lambda: models.feature_extractor(resnet(), 3), "outputs=3"),
}
small = models.CifarResNet8()
DENSE = keras.layers.Dense(1)
WEIGHTS = {
    "a path of weights": (
        lambda: load_torch_weights(small, "resnet8.pth"),
        "torch.load.*Received: 'resnet8.pth'",
    ),
    "nothing for weights": (lambda: load_torch_weights(small, None), "Received: NoneType"),
    "a list of weights": (lambda: load_torch_weights(small, [IMAGES]), "Received: list"),
    "a model for weights": (
        lambda: load_torch_weights(small, type("Net", (), {"state_dict": dict})()),
        r"give its state_dict\(\). Received: Net",
    ),
    "names that are no text": (lambda: load_torch_weights(small, {0: IMAGES}), "Received: 0"),
    "no weights": (lambda: load_torch_weights(small, {}), "missing: .* and 45 more"),
    "weights that are no numbers": (
        lambda: load_torch_weights(small, {"conv1.weight": "?"}),
        "arrays of numbers.*Received: conv1.weight of type str",
    ),
    "weights of another network": (
        lambda: load_torch_weights(small, {f"features.{i}.weight": 0 for i in range(99)}),
        "unexpected: features.0.weight, features.1.weight and 97 more",
    ),
    "weights of two networks": (
        lambda: load_torch_weights(twins(), {}),
        "load each network by itself. Received: twins with 2 weights named stem_conv/kernel",
    ),
    "weights in no model": (lambda: load_torch_weights("resnet", {}), "an object of type str"),
    "weights in another's model": (
        lambda: load_torch_weights(
            keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), {}
        ),
        "model of keras_rescnet.models.*Received: sequential.*, with 2 weights",
    ),
}
OPTIMIZERS = {
    "momentum of 1": (lambda: optimizers.SGD(momentum=1), "below 1.*momentum=1"),
    "momentum of text": (lambda: optimizers.SGD(momentum="0.9"), "Received: momentum='0.9'"),
    "negative decay": (lambda: optimizers.SGD(weight_decay=-1e-4), "weight_decay=-0.0001"),
    "decay of text": (lambda: optimizers.AdamW(weight_decay="5e-4"), "weight_decay='5e-4'"),
    "a beta of 1": (lambda: optimizers.AdamW(beta_2=1.0), "Received: beta_2=1.0"),
    "a negative beta": (lambda: optimizers.AdamW(beta_1=-0.1), "Received: beta_1=-0.1"),
    "AdamW's epsilon below 0": (lambda: optimizers.AdamW(epsilon=-1), "0. Received: epsilon=-1"),
    "an epsilon that is 0 in float16": (
        lambda: optimizers.AdamW().build([keras.Variable([1.0], dtype="float16", name="half")]),
        "at least 6e-8 .*mixed_float16.*Received: epsilon=1e-08, weight 'half'",
    ),
    "no steps": (lambda: optimizers.Muon(steps=0), "positive integer. Received: steps=0"),
    "Muon without Nesterov": (
        lambda: optimizers.Muon(nesterov=False),
        "`nesterov=True` alone.*Received: nesterov=False",
    ),
    "no epochs to decay": (lambda: schedules.cosine_decay(0, 0), "number. Received: epochs=0"),
    "steps of 0 epochs": (lambda: schedules.step_decay(1, 9, every=0), "Received: every=0"),
    "a factor below 0": (lambda: schedules.step_decay(1, 9, every=3, factor=-1), "factor=-1"),
    "a momentum that is a truth": (lambda: optimizers.SGD(momentum=False), "momentum=False"),
    "endless decay": (lambda: optimizers.SGD(weight_decay=np.inf), "weight_decay=inf"),
}
TABLE = ACTIVATIONS | LAYERS | MODELS | FEATURES | WEIGHTS | OPTIMIZERS


@pytest.mark.parametrize("name", TABLE)
def test_the_answer_is_one_line(name, assert_refused):
    assert_refused(*TABLE[name])


@pytest.mark.parametrize(
    "make",
    [
        resnet,
        vit,
        *(
            lambda layer=layer: layer.build((2, 8, 8, 16))
            for layer in (
                layers.RCLayer(4),
                layers.PooledDense(2, 2),
                layers.PatchMerging(),
                layers.WindowAttention(4, 4),
            )
        ),
    ],
)
def test_channels_first_is_refused(make, assert_refused):
    keras.config.set_image_data_format("channels_first")
    try:
        assert_refused(make, 'channels_last.*Received: image_data_format="channels_first"')
    finally:
        keras.config.set_image_data_format("channels_last")


def test_no_weight_moves_where_weights_are_refused():
    before = small.get_weights()
    for call, _ in WEIGHTS.values():
        with pytest.raises(ValueError):
            call()
    for old, new in zip(before, small.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


COMMANDS = {
    ("ResCNet51",): "Received: 'ResCNet51'. Did you mean ResCNet50",
    ("--classes", "0"): "classes.*0",
    ("--classes", "many"): "many",
    ("--input_size", "-1"): "input_size.*-1",
}


@pytest.mark.parametrize("arguments", COMMANDS)
def test_the_command_answers_in_one_line(arguments, capsys):
    from keras_rescnet.models.__main__ import main

    with pytest.raises(SystemExit) as end:
        main(["models", *arguments])
    assert end.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and re.search(COMMANDS[arguments], text)
