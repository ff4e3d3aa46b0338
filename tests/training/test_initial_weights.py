"""The weights one can start from."""

import functools

import keras
import numpy as np
import pytest

import keras_rescnet
from keras_rescnet.models import CifarResNet8
from keras_rescnet.training.initial_weights import load_initial_weights


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
