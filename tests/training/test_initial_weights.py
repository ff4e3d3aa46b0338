"""The weights one can start from."""

import functools

import keras
import numpy as np
import pytest

import keras_rescnet
from keras_rescnet.mistake import Mistake
from keras_rescnet.models import CifarResNet8
from keras_rescnet.models.initial_weights import load_initial_weights


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
    load_initial_weights(model, file, CifarResNet8)
    for name, array in arrays(model).items():
        own_head = name.startswith("logits/") and classes == 3
        expected = before[name] if own_head else arrays(source)[name]
        np.testing.assert_array_equal(array, expected, err_msg=name)


def test_initial_weights_refuse_what_does_not_fit(tmp_path):
    model = CifarResNet8()
    before = arrays(model)
    with pytest.raises(ValueError, match="must be a file. Received: .*none"):
        load_initial_weights(model, tmp_path / "none.keras", CifarResNet8)
    damaged = {name: b"no weights" for name in ("d.keras", "d.weights.h5", "d.npz")}
    for name, content in {**damaged, "empty.npz": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"that can be read. Received: .*{name}") as caught:
            load_initial_weights(model, tmp_path / name, CifarResNet8)
        assert "\n" not in str(caught.value)
    (tmp_path / "weights.pt").write_bytes(b"")
    with pytest.raises(ValueError, match="must be a .keras or .weights.h5 file, or an .npz"):
        load_initial_weights(model, tmp_path / "weights.pt", CifarResNet8)
    other = functools.partial(CifarResNet8, widths=(8, 16, 32))
    other().save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="every weight of cifar_resnet8 but those of its head"):
        load_initial_weights(model, tmp_path / "other.keras", CifarResNet8)
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
    load_initial_weights(model, tmp_path / f"source{suffix}", build)
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
    load_initial_weights(model, tmp_path / f"source{suffix}", without_names)
    for ours, theirs in zip(model.weights[:-2], source.weights[:-2], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(model.weights[-2], head)


def test_a_larger_model_is_refused(tmp_path):
    build = functools.partial(
        keras_rescnet.models.ResNet, widths=(4,), classes=3, input_shape=(32, 32, 3)
    )
    build((2,)).save(tmp_path / "larger.keras")
    with pytest.raises(Mistake, match=r"and no other. Received: .*do not fit: stage1_block2_1"):
        load_initial_weights(build((1,)), tmp_path / "larger.keras", build)
