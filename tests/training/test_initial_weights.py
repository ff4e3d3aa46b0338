"""The weights one can start from."""

import functools
import sys
import types

import keras
import numpy as np
import pytest

import keras_rescnet
from keras_rescnet.mistake import Mistake
from keras_rescnet.models import CifarResNet8
from keras_rescnet.models.initial_weights import load_initial_weights
from support import noise


def arrays(model):
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".npz"])
@pytest.mark.parametrize("classes", [10, 3])
def test_initial_weights_keep_the_head_of_other_classes(suffix, classes, tmp_path, golden_state):
    source, model = CifarResNet8(), CifarResNet8(classes=classes)
    file = tmp_path / f"source{suffix}"
    if suffix == ".npz":
        state = golden_state("resnet8_mos_nc10")
        keras_rescnet.convert.load_torch_weights(source, state)
        np.savez(file, **state)
    elif suffix == ".keras":
        source.save(file)
    else:
        source.save_weights(file)
    before = arrays(model)
    load_initial_weights(model, file)
    for name, array in arrays(model).items():
        own_head = name.startswith("logits/") and classes == 3
        expected = before[name] if own_head else arrays(source)[name]
        np.testing.assert_array_equal(array, expected, err_msg=name)


def test_initial_weights_refuse_what_does_not_fit(tmp_path):
    model = CifarResNet8()
    before = arrays(model)
    with pytest.raises(ValueError, match="must be a file, or the folder.*Received: .*none"):
        load_initial_weights(model, tmp_path / "none.keras")
    damaged = {name: b"no weights" for name in ("d.keras", "d.weights.h5", "d.npz")}
    for name, content in {**damaged, "empty.npz": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"that can be read. Received: .*{name}") as caught:
            load_initial_weights(model, tmp_path / name)
        assert "\n" not in str(caught.value)
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="must be a file of .keras, .weights.h5, .npz, .safetens"):
        load_initial_weights(model, tmp_path / "weights.bin")
    other = functools.partial(CifarResNet8, widths=(8, 16, 32))
    other().save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="every weight of cifar_resnet8 but those of its head"):
        load_initial_weights(model, tmp_path / "other.keras")
    for name, array in arrays(model).items():
        np.testing.assert_array_equal(array, before[name])


class NoCalibration(keras.layers.Layer):
    """Has no weights, but is a layer more on the way: Keras lists later layers in another order."""

    def call(self, inputs):
        return inputs


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_initial_weights_are_matched_by_name_not_by_order(suffix, tmp_path):
    build = functools.partial(
        keras_rescnet.models.ResNet,
        (1,),
        widths=(4,),
        block=keras_rescnet.models.bottleneck_block,
        classes=3,
        input_shape=(32, 32, 3),
    )
    source, model = build(), build(calibration=NoCalibration)
    assert [w.path for w in source.weights] != [w.path for w in model.weights]
    (source.save if suffix == ".keras" else source.save_weights)(tmp_path / f"source{suffix}")
    load_initial_weights(model, tmp_path / f"source{suffix}")
    expected = arrays(source)
    for name, array in arrays(model).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def without_names(classes=3):
    """A model of layers that Keras names, and counts through the whole process."""
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(4),
            keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)]),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(classes),
        ]
    )


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_names_that_keras_gave_do_not_stand_in_the_way(suffix, tmp_path):
    source, model = without_names(), without_names(classes=5)
    (source.save if suffix == ".keras" else source.save_weights)(tmp_path / f"source{suffix}")
    head = keras.ops.convert_to_numpy(model.weights[-2])
    load_initial_weights(model, tmp_path / f"source{suffix}")
    for ours, theirs in zip(model.weights[:-2], source.weights[:-2], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(model.weights[-2], head)


def test_a_larger_model_is_refused(tmp_path):
    build = functools.partial(
        keras_rescnet.models.ResNet, widths=(4,), classes=3, input_shape=(32, 32, 3)
    )
    build((2,)).save(tmp_path / "larger.keras")
    with pytest.raises(Mistake, match=r"and no other. Received: .*do not fit: stage1_block2_1"):
        load_initial_weights(build((1,)), tmp_path / "larger.keras")


def block(x, filters, name):
    x = keras.layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv")(x)
    return keras.layers.BatchNormalization(name=f"{name}_bn")(x)


def around_a_backbone(classes=3, backbone="backbone", first="block_1", second="block_2"):
    """A model within a model, whose layers lie where a calibration could change their order."""
    images = keras.Input((8, 8, 3))
    x = block(block(images, 3, first), 3, second)
    inner = keras.Model(images, keras.layers.GlobalAveragePooling2D()(x), name=backbone)
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(inner(inputs)))


def drawn(model, seed=0):
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(generator.random(weight.shape))
    return model


KERAS_FILES = pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])


@KERAS_FILES
def test_models_within_models_are_matched(suffix, tmp_path):
    source, model = drawn(around_a_backbone()), around_a_backbone(classes=5)
    (source.save if suffix == ".keras" else source.save_weights)(tmp_path / f"a{suffix}")
    head = arrays(model)
    load_initial_weights(model, tmp_path / f"a{suffix}")
    expected = arrays(source)
    assert len(expected) == 14
    for path, array in arrays(model).items():
        own = path.startswith("logits/")
        np.testing.assert_array_equal(array, head[path] if own else expected[path], err_msg=path)


@KERAS_FILES
def test_names_with_numbers_that_a_user_gave_are_names(suffix, tmp_path):
    """Counted from the first, `block_2` would be taken for `block_1` of another model."""
    source = drawn(around_a_backbone())
    (source.save if suffix == ".keras" else source.save_weights)(tmp_path / f"a{suffix}")
    model = around_a_backbone(first="block_2", second="block_3")
    before = arrays(model)
    with pytest.raises(Mistake, match=r"14 weights for 14, of which 12 do not fit: .*block_3_conv"):
        load_initial_weights(model, tmp_path / f"a{suffix}")
    for path, array in arrays(model).items():
        np.testing.assert_array_equal(array, before[path])


def layers_without_names(count):
    layers = [keras.layers.Dense(4, activation="relu") for _ in range(count)]
    return keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(2, name="logits")])


def test_as_many_layers_as_keras_numbered_must_be_there(tmp_path):
    layers_without_names(3).save(tmp_path / "three.keras")
    with pytest.raises(Mistake, match=r"of which 14 do not fit: .*dense \(1 of 4\).*\(1 of 3\)"):
        load_initial_weights(layers_without_names(4), tmp_path / "three.keras")


class Twins(keras.layers.Layer):
    """Two layers of one name, which no path tells apart."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.twins = [keras.layers.Dense(3, name="twin"), keras.layers.Dense(3, name="twin")]

    def call(self, inputs):
        return self.twins[1](self.twins[0](inputs))


@pytest.mark.parametrize("suffix", [".weights.h5", ".npz"])
def test_layers_of_one_name_are_refused(suffix, tmp_path):
    model = keras.Sequential([keras.Input((3,)), Twins(name="twins"), keras.layers.Dense(2)])
    if suffix == ".npz":
        np.savez(tmp_path / "a.npz", **arrays(model))
    else:
        model.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(Mistake, match="must differ. Received: 2 weights named .*twins/twin/"):
        load_initial_weights(model, tmp_path / f"a{suffix}")


def save_state(state, file):
    if file.suffix == ".npz":
        np.savez(file, **state)
    elif file.suffix == ".safetensors":
        writer = pytest.importorskip("safetensors.numpy", reason="the extra `test`")
        writer.save_file(state, file)
    else:
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        prefix = "" if "stem_conv/kernel" in state else "module."
        tensors = {f"{prefix}{name}": torch.from_numpy(array) for name, array in state.items()}
        torch.save({"model": tensors, "epoch": 3}, file)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth"])
@pytest.mark.parametrize("names", ["paths", "PyTorch"])
def test_arrays_are_matched_by_their_names(suffix, names, tmp_path, golden_state):
    source, model = CifarResNet8(), CifarResNet8(classes=3)
    state = golden_state("resnet8_mos_nc10")
    keras_rescnet.convert.load_torch_weights(source, state)
    expected = arrays(source)
    # As safetensors sorts them: the classifier's are not the last
    state = dict(sorted((expected if names == "paths" else state).items()))
    if (suffix, names) == (".pth", "paths"):
        state = {name: array for name, array in state.items() if "logits" not in name}
    save_state(state, tmp_path / f"a{suffix}")
    head = arrays(model)
    load_initial_weights(model, tmp_path / f"a{suffix}")
    for path, array in arrays(model).items():
        own = path.startswith("logits/")
        np.testing.assert_array_equal(array, head[path] if own else expected[path], err_msg=path)


@pytest.mark.parametrize("package", ["torch", "safetensors"])
def test_a_reader_that_is_not_installed_is_named(package, tmp_path, monkeypatch):
    for name in (package, f"{package}.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    file = tmp_path / ("a.pth" if package == "torch" else "a.safetensors")
    file.write_bytes(b"")
    with pytest.raises(
        Mistake, match=f"Install it with pip install {package}. Received: .*a."
    ) as e:
        load_initial_weights(CifarResNet8(), file)
    assert "\n" not in str(e.value)


def test_a_program_in_a_pth_file_is_not_run(tmp_path, monkeypatch):
    """With PyTorch's own reader of arrays alone, here seen by what it is called with."""
    called = {}
    fake = types.SimpleNamespace(load=lambda file, **options: called.update(options) or {})
    monkeypatch.setitem(sys.modules, "torch", fake)
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(Mistake, match="0 weights for 47"):
        load_initial_weights(CifarResNet8(), tmp_path / "a.pth")
    assert called == {"map_location": "cpu", "weights_only": True}


def test_the_folder_of_a_run_gives_its_model(finished_run, tmp_path):
    model = noise.model((32, 32, 3), 7, 0.5)
    load_initial_weights(model, finished_run)
    saved = keras.models.load_model(finished_run / "model.keras")
    for ours, theirs in zip(model.weights[:-2], saved.weights[:-2], strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)
    with pytest.raises(Mistake, match="or the folder of a finished run. Received: .*which is none"):
        load_initial_weights(model, tmp_path)


def test_a_compiled_model_and_bfloat16_are_read(tmp_path):
    source = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, name="conv", dtype="bfloat16"),
            keras.layers.Dropout(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(2, name="logits", dtype="float32"),
        ]
    )
    source.compile("adam", "mse", metrics=["accuracy"])
    source.optimizer.build(source.trainable_variables)
    source.save(tmp_path / "a.keras")
    for policy in ("float32", "bfloat16"):
        model = keras.models.clone_model(
            source,
            clone_function=lambda layer, policy=policy: type(layer).from_config(
                {**layer.get_config(), "dtype": policy if layer.name == "conv" else "float32"}
            ),
        )
        load_initial_weights(model, tmp_path / "a.keras")
        for ours, theirs in zip(model.weights, source.weights, strict=True):
            np.testing.assert_array_equal(
                np.asarray(ours, "float32"), np.asarray(theirs, "float32"), err_msg=ours.path
            )


def test_a_normalization_has_the_statistics_of_arrays(tmp_path):
    """Which it computes with, too: Keras's layer makes tensors of its weights once."""

    def build():
        images = keras.Input((2, 2, 3))
        return keras.Model(images, keras.layers.Normalization(name="normalization")(images))

    model = build()
    arrays = {"mean": [1.0, 2.0, 3.0], "variance": [4.0, 9.0, 16.0], "count": 0}
    np.savez(tmp_path / "w.npz", **{f"normalization/{k}": np.array(v) for k, v in arrays.items()})
    load_initial_weights(model, tmp_path / "w.npz")
    found = keras.ops.convert_to_numpy(model(np.full((1, 2, 2, 3), 7.0, "float32")))
    np.testing.assert_allclose(found[0, 0, 0], [6 / 2, 5 / 3, 4 / 4], rtol=1e-6)
