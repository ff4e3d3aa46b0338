"""Weights that come with the package, and the argument `weights` of the builders."""

import hashlib
import inspect
import json
import shutil
import time
from functools import partial

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet.layers import RCLayer, SqueezeExcite
from keras_rescnet.models import CifarResNet8, weights
from keras_rescnet.models.catalogue import builders
from keras_rescnet.models.weights import changed_arguments
from support import DIGITS_RECORD, ROOT

DIGITS = "digits_gclu_resnet8"
CARDS = kr.models.pretrained()
digits = partial(CifarResNet8, activation=kr.gclu, weights="digits")


def arrays(model):
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}


@pytest.fixture(scope="module")
def trained():
    return digits()


@pytest.fixture
def copy(tmp_path):
    """A set of weights outside of the package."""
    for suffix in (".npz", ".json"):
        shutil.copy(weights.FOLDER / f"{DIGITS}{suffix}", tmp_path / f"mine{suffix}")
    return tmp_path / "mine.npz"


def test_the_digits_are_classified_as_their_record_has_it(trained):
    """The record's figures were computed by the run, with its own code."""
    results = json.loads(DIGITS_RECORD.read_text())["results"]
    measured = kr.evaluate(trained, kr.data.DIGITS)
    assert measured["accuracy"] == results["test_accuracy"]
    assert measured["loss"] == pytest.approx(results["test_loss"], rel=1e-5)
    assert CARDS[DIGITS]["results"] == results
    again = kr.evaluate(trained, kr.data.DIGITS, batch_size=50)
    assert again["accuracy"] == results["test_accuracy"]


def test_all_weights_are_small_and_have_whole_cards():
    sizes = [file.stat().st_size for file in weights.FOLDER.glob("*.npz")]
    assert len(sizes) == len(CARDS) and sum(sizes) <= 10_000_000
    for card in CARDS.values():
        assert len(card["class_names"]) == card["classes"]
        assert len(card["mean"]) == len(card["std"]) == card["input_shape"][2]
        assert 0 < card["accuracy"] <= 1 and card["hours"] > 0 and card["epochs"] >= 1
        assert (ROOT / "results" / card["record"]).is_file()
        assert (ROOT / card["recipe"].partition(":")[0]).is_file()


@pytest.mark.parametrize("name", CARDS)
def test_the_call_of_a_card_builds_its_network(name):
    card = CARDS[name]
    model = eval(card["call"], {"kr": kr, "partial": partial})
    assert model.output_shape == (None, card["classes"])
    assert model.input_shape == (None, *card["input_shape"])
    assert sum(np.size(w) for w in model.trainable_weights) == card["parameters"]


def test_weights_add_less_than_a_second():
    CifarResNet8()
    start = time.process_time()
    CifarResNet8(activation=kr.gclu)
    built = time.process_time() - start
    start = time.process_time()
    digits()
    assert time.process_time() - start < built + 1.0


def test_a_file_beside_its_card_is_a_set_of_weights_too(trained, copy):
    for model in (digits(weights=copy), digits(weights=str(copy), name="mine")):
        for one, other in zip(model.get_weights(), trained.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_weights_are_taken_from_a_file_of_keras(suffix, trained, tmp_path):
    file = tmp_path / f"model{suffix}"
    trained.save(file) if suffix == ".keras" else trained.save_weights(file)
    model = CifarResNet8(activation=kr.gclu, weights=file)
    for name, array in arrays(model).items():
        np.testing.assert_array_equal(array, arrays(trained)[name], err_msg=name)


def test_weights_are_taken_from_a_pytorch_state_dict(tmp_path, golden_state):
    state = golden_state("resnet8_mos_nc10")
    np.savez(tmp_path / "resnet8.npz", **state)
    model = CifarResNet8(weights=tmp_path / "resnet8.npz")
    expected = state["fc.weight"].T
    np.testing.assert_array_equal(arrays(model)["logits/kernel"], expected)


def test_other_sizes_and_precisions_take_the_weights(trained):
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    expected = np.asarray(trained(images))
    np.testing.assert_array_equal(digits(input_shape=(None, None, 3))(images), expected)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        rounded = np.asarray(digits()(images))
    finally:
        keras.config.set_dtype_policy(policy)
    assert rounded.dtype == "float32"
    np.testing.assert_allclose(rounded, expected, atol=0.05 * np.abs(expected).max())


def test_numbers_of_half_the_bytes_are_taken(trained, copy):
    """As `benchmarks/add_weights.py --float16` stores them."""
    halves = {
        name: array.astype("float16") if array.ndim > 1 else array
        for name, array in arrays(trained).items()
    }
    np.savez(copy, **halves)
    card = json.loads(copy.with_suffix(".json").read_text())
    card["sha256"] = hashlib.sha256(copy.read_bytes()).hexdigest()
    copy.with_suffix(".json").write_text(json.dumps(card))
    for name, array in arrays(digits(weights=copy)).items():
        assert array.dtype == "float32"
        np.testing.assert_allclose(array, arrays(trained)[name], rtol=2**-11, atol=2**-25)


@pytest.mark.parametrize("name", builders())
def test_every_builder_takes_weights(name):
    builder = builders()[name]
    parameter = inspect.signature(builder).parameters["weights"]
    assert parameter.default is None
    text = inspect.getdoc(builder)
    assert text.count("\n    weights: ") == 1
    assert text.index("    weights: ") < text.index("    name: Name of the model.")


def test_arguments_are_told_apart_by_what_they_make():
    small_rc = partial(RCLayer, reduction=4, kernel_initializer="zeros")
    changed = partial(changed_arguments, CifarResNet8)
    assert changed({}) == changed({"activation": "relu", "classes": 3, "drop_path": 0.1}) == {}
    assert changed({"activation": keras.activations.relu}) == {}
    assert changed({"activation": kr.gclu}) == {"activation": "kr.gclu"}
    assert changed({"activation": kr.gelu}) == {"activation": "kr.gelu"}
    assert changed({"activation": kr.layers.GCLU()}) == {"activation": "kr.layers.GCLU()"}
    assert changed({"activation": "gelu"}) == {"activation": "'gelu'"}
    assert changed({"strides": (1, 1, 1)}) == {"strides": "(1, 1, 1)"}
    calibrations = {
        "kr.layers.RCLayer": RCLayer,
        "partial(kr.layers.RCLayer, reduction=4)": small_rc,
        "[kr.layers.SqueezeExcite, None]": [SqueezeExcite, None],
    }
    for text, calibration in calibrations.items():
        assert changed({"calibration": calibration}) == {"calibration": text}
    own = partial(changed_arguments, kr.models.CifarResCNet32)
    assert own({"calibration": small_rc}) == {}
    assert own({"calibration": None}) == {"calibration": "None"}


def test_a_folder_of_this_directory_is_a_run_unless_a_dataset_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = CifarResNet8(classes=3)
    for name in ("myrun", "digits"):
        (tmp_path / name).mkdir()
        own.save(tmp_path / name / "model.keras")
    for ours, theirs in zip(
        CifarResNet8(classes=3, weights="myrun").weights, own.weights, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert digits().output_shape == (None, 10)


def test_a_file_of_ones_own_beside_weights_is_no_card(tmp_path):
    own = CifarResNet8(classes=3)
    np.savez(tmp_path / "mine.npz", **arrays(own))
    (tmp_path / "mine.json").write_text('{"note": "mine"}')
    loaded = CifarResNet8(classes=3, weights=tmp_path / "mine.npz")
    for ours, theirs in zip(loaded.weights, own.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_list_is_the_tuple_that_weights_were_trained_with():
    assert digits(widths=[16, 32, 64]).count_params() == digits().count_params()
