"""What is wrong with the argument `weights` of a builder is one line."""

import shutil
from functools import partial

import keras
import pytest

import keras_rescnet as kr
from keras_rescnet.layers import RCLayer
from keras_rescnet.models import CifarResNet8
from keras_rescnet.models.weights import FOLDER

digits = partial(CifarResNet8, activation=kr.gclu, weights="digits")
REFUSED = {
    "True, as in timm": (partial(digits, weights=True), "name of a dataset.*weights=True"),
    "an empty name": (partial(digits, weights=""), "Received: weights=''"),
    "a name that is not there": (
        partial(digits, weights="digit"),
        "of CifarResNet8 must be a file, or one of .*digits.*weights='digit'. Nearest: digits",
    ),
    "keras.applications' name": (partial(digits, weights="imagenet"), "weights='imagenet'. Near"),
    "a network without weights": (
        lambda: kr.models.CifarSENet50(weights="digits"),
        "`weights` of CifarSENet50 must be a file: kr.models.pretrained.. lists",
    ),
    "another activation": (
        lambda: CifarResNet8(weights="digits"),
        r"kr.models.CifarResNet8\(activation=kr.gclu, weights=\"digits\"\).*activation='relu'",
    ),
    "a calibration": (
        partial(digits, calibration=partial(RCLayer, reduction=4)),
        r"Received: .*calibration=partial\(kr.layers.RCLayer, reduction=4\)",
    ),
    "other strides": (partial(digits, strides=(1, 1, 1)), r"Received: .*strides=\(1, 1, 1\)"),
    "other classes": (
        partial(digits, classes=37),
        "`classes` must be 10, as in the weights, or left out; .*feature_extractor.*classes=37",
    ),
    "grey pictures": (
        partial(digits, input_shape=(32, 32, 1)),
        "every weight of cifar_resnet8, .*1 do not fit: stem_conv",
    ),
    "another normalization": (
        partial(digits, normalization=partial(keras.layers.GroupNormalization, 4)),
        "do not fit: stem_bn",
    ),
    "a file that is not there": (
        partial(digits, weights="none.keras"),
        "`weights` must be a file, or the folder.* Received: none.keras",
    ),
    "a file of another kind": (
        partial(digits, weights=__file__),
        "`weights` must be a file of .keras, .weights.h5",
    ),
    "an activation by a wrong name": (
        lambda: CifarResNet8(activation="gclu", weights="digits"),
        "such as kr.gclu.*activation='gclu'",
    ),
}


@pytest.fixture
def copy(tmp_path):
    """A set of weights outside of the package."""
    for suffix in (".npz", ".json"):
        shutil.copy(FOLDER / f"digits_gclu_resnet8{suffix}", tmp_path / f"mine{suffix}")
    return tmp_path / "mine.npz"


@pytest.mark.parametrize("name", REFUSED)
def test_the_answer_is_one_line(name, assert_refused):
    assert_refused(*REFUSED[name])


def test_files_that_do_not_fit_are_refused(copy, tmp_path, assert_refused):
    digits().save(tmp_path / "model.keras")
    assert_refused(
        lambda: CifarResNet8(classes=3, weights=tmp_path / "model.keras"),
        r"`weights` must hold every weight of cifar_resnet8, and no other.*2 do not fit: logits\.",
    )
    assert_refused(
        lambda: kr.models.CifarResNet32(weights=copy),
        r"kr.models.CifarResNet8\(activation=kr.gclu.*Received: .*mine.npz' for CifarResNet32",
    )
    card = copy.with_suffix(".json")
    text = card.read_text()
    for damaged in ("", "[]", "3", text[:100], text.replace('"sha256"', '"sha"')):
        card.write_text(damaged)
        assert_refused(partial(digits, weights=copy), "The card of weights must be as it was")
    card.write_text(text)
    data = copy.read_bytes()
    copy.write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    assert_refused(partial(digits, weights=copy), "must have the SHA-256 of its card.*mine.npz")
    copy.unlink()
    assert_refused(partial(digits, weights=copy), "must lie beside its card.*mine.npz")
