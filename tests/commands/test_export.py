"""Exports: pixels in, the model's probabilities out, without this package."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet import export

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
PICTURES = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), "uint8")


def model():
    """GCLU in its three forms, and an RC Layer."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(8, 3, activation=kr.gclu),
            kr.layers.RCLayer(reduction=2),
            keras.layers.Conv2D(8, 3, activation=kr.gclu_tanh),
            kr.layers.GCLU(approximate="sigmoid"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(5),
        ]
    )


def probabilities(network):
    logits = network.predict((PICTURES / 255.0 - MEAN) / STD, verbose=0).astype("float64")
    scores = np.exp(logits - logits.max(1, keepdims=True))
    return scores / scores.sum(1, keepdims=True)


SERVE = """
import sys
import numpy as np
import tensorflow as tf

served = tf.saved_model.load(sys.argv[1])
pixels = tf.constant(np.load(sys.argv[2]).astype("float32"))
with tf.GradientTape() as tape:
    tape.watch(pixels)
    y = served.serve(pixels)
    total = tf.reduce_sum(y * tf.range(5.0))
signature = served.signatures["serving_default"](pixels)
np.savez(
    sys.argv[3],
    float_pixels=y,
    uint8_pixels=served.serve(tf.cast(pixels, "uint8")),
    one=served.serve(pixels[:1]),
    signature=signature["probabilities"],
    class_names=signature["class_names"].numpy().astype(str),
    gradient=tape.gradient(total, pixels),
)
assert "keras_rescnet" not in sys.modules
"""


def test_saved_model_serves_and_differentiates_in_a_fresh_process(tmp_path):
    network = model()
    export.saved_model(network, tmp_path / "served", mean=MEAN, std=STD, class_names="abcde")
    np.save(tmp_path / "pixels.npy", PICTURES)
    arguments = [tmp_path / "served", tmp_path / "pixels.npy", tmp_path / "out.npz"]
    subprocess.run([sys.executable, "-c", SERVE, *map(str, arguments)], check=True, cwd=tmp_path)
    out = np.load(tmp_path / "out.npz")
    expected = probabilities(network)
    for name in ("float_pixels", "uint8_pixels", "signature"):
        np.testing.assert_allclose(out[name], expected, atol=1e-6)
    np.testing.assert_allclose(out["one"], expected[:1], atol=1e-6)
    assert out["class_names"].tolist() == list("abcde")

    import tensorflow as tf

    pixels = tf.constant(PICTURES.astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        logits = network((pixels / 255.0 - MEAN) / STD)
        total = tf.reduce_sum(tf.nn.softmax(logits) * tf.range(5.0))
    np.testing.assert_allclose(out["gradient"], tape.gradient(total, pixels), atol=1e-7)


@pytest.mark.parametrize(
    ("write", "package"),
    [(export.onnx, "onnxruntime"), (export.litert, "ai_edge_litert")],
    ids=["onnx", "litert"],
)
def test_other_formats_give_the_same_probabilities(write, package, tmp_path):
    pytest.importorskip(package, reason="an extra that is not installed")
    difference = write(model(), tmp_path / "file", mean=MEAN, std=STD, pictures=PICTURES)
    assert difference < 1e-5
    assert (tmp_path / "file").stat().st_size > 1000


@pytest.mark.parametrize(
    ("write", "package", "extra"),
    [(export.onnx, "onnxruntime", "onnx"), (export.litert, "ai_edge_litert.interpreter", "litert")],
)
def test_a_missing_package_is_named(write, package, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf'needs a package.*pip install -e ".\[{extra}\]"'):
        write(model(), tmp_path / "file", mean=MEAN, std=STD, pictures=PICTURES)


def test_only_tensorflow_exports(tmp_path, monkeypatch):
    network = model()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="exported with Keras on TensorFlow. .*KERAS_BACKEND=jax"):
        export.saved_model(network, tmp_path / "served", mean=MEAN, std=STD)


def test_an_export_that_differs_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="an extra that is not installed")
    monkeypatch.setattr(export.portable, "LARGEST_DIFFERENCE", 0.0)
    with pytest.raises(ValueError, match="must give the model's probabilities to 0. Received"):
        export.onnx(model(), tmp_path / "file", mean=MEAN, std=STD, pictures=PICTURES)
