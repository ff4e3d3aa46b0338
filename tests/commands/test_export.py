"""Exports: pixels in, the model's probabilities out, without this package."""

import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_rescnet as kr
from keras_rescnet import export
from keras_rescnet.export import portable
from keras_rescnet.export.serving import PIXELS
from support import pictures
from support.commands import answer, run_command

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


@pytest.mark.slow
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
    with pytest.raises(
        kr.Mistake, match=rf'needs a package.*pip install "keras_rescnet\[{extra}\]"'
    ):
        write(model(), tmp_path / "file", mean=MEAN, std=STD, pictures=PICTURES)


def test_only_tensorflow_exports(tmp_path, monkeypatch):
    network = model()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(kr.Mistake, match="exported with Keras on TensorFlow. .*KERAS_BACKEND=jax"):
        export.saved_model(network, tmp_path / "served", mean=MEAN, std=STD)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model of 8 x 8 pixels, and its SavedModel."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.Flatten()]
    network = keras.Sequential([*layers, keras.layers.Dense(3)])
    folder = tmp_path_factory.mktemp("small") / "served"
    export.saved_model(network, folder, mean=MEAN, std=STD)
    return network, folder, tf.saved_model.load(str(folder))


def test_an_export_that_differs_is_refused_and_nothing_is_lost(small, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="an extra that is not installed")
    monkeypatch.setattr(portable, "LARGEST_DIFFERENCE", 0.0)
    (tmp_path / "file").write_text("what was there")
    with pytest.raises(kr.Mistake, match="must give the model's probabilities to 0. Received"):
        export.onnx(small[0], tmp_path / "file", mean=MEAN, std=STD, pictures=PICTURES[:, :8, :8])
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "what was there"


@pytest.mark.parametrize("dtype", [dtype.name for dtype in PIXELS])
def test_a_saved_model_takes_pixels_of_every_dtype(dtype, small):
    _, _, served = small
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3))
    expected = served.serve(pixels.astype("float32"))
    np.testing.assert_array_equal(served.serve(pixels.astype(dtype)), expected)


def test_a_saved_model_takes_any_number_of_pictures(small):
    _, _, served = small
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), "uint8")
    whole = served.serve(pixels).numpy()
    assert served.serve(pixels[:0]).shape == (0, 3)
    assert (
        served.signatures["serving_default"](tf.zeros((0, 8, 8, 3)))["probabilities"].shape[0] == 0
    )
    for count in (1, 3, 5):
        np.testing.assert_allclose(served.serve(pixels[:count]), whole[:count], atol=1e-6)


def test_pixels_that_are_nan_give_probabilities_that_are_nan(small):
    _, _, served = small
    pixels = np.zeros((2, 8, 8, 3), "float32")
    pixels[0, 0, 0, 0] = np.nan
    probabilities = served.serve(pixels).numpy()
    assert np.all(np.isnan(probabilities[0])) and np.all(np.isfinite(probabilities[1]))


@pytest.mark.parametrize("shape", [(8, 8, 3), (6, 10, 3), (8, 8, 1)])
def test_a_picture_of_the_input_size_is_prepared_to_its_own_pixels(shape, tmp_path):
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(2)]
    export.saved_model(
        keras.Sequential(layers), tmp_path / "a", mean=(0.5,) * shape[2], std=(1.0,) * shape[2]
    )
    served = tf.saved_model.load(str(tmp_path / "a"))
    pixels = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    np.testing.assert_array_equal(served.prepare(tf.io.encode_png(pixels)), pixels)
    larger = np.kron(pixels, np.ones((3, 3, 1), "uint8"))  # three times as wide and as high
    larger = np.pad(larger, ((0, 0), (30, 30), (0, 0)), "edge")
    prepared = served.prepare(tf.io.encode_png(larger)).numpy().astype(int)
    assert np.abs(prepared - pixels).mean() < 40 and prepared.shape == shape


def ending(softmax=False, outputs=1, maps=False, classes=3, dtype=None):
    images = keras.Input((16, 16, 3), dtype=dtype)
    x = images if dtype is None else keras.layers.Rescaling(1 / 255)(images)
    x = x if maps else keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(classes, activation="softmax" if softmax else None)(x)
    return keras.Model(images, x if outputs == 1 else [x] * outputs, name="line")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": (0.5,)}, "must be 3 numbers, one per channel.*Received: mean=.0.5."),
        ({"std": (0.2, 0.0, 0.2)}, "`std` positive. Received: .*std=.0.2, 0.0, 0.2."),
        ({"std": "abc"}, "`mean` and `std` must be 3 numbers"),
        ({"class_names": ["a"]}, "names of the model's 3 classes. Received: .*1 names"),
        ({"crop_fraction": 0}, "`crop_fraction` must be above 0.*Received: crop_fraction=0"),
        ({"crop_fraction": "1"}, "`crop_fraction` must be above 0.*Received: crop_fraction='1'"),
        ({"model": "model.keras"}, "`model` must be a keras.Model.*Received: model='model.keras'"),
        ({"model": ending(softmax=True)}, "take the last activation off.*line, which ends in soft"),
        (
            {"model": ending(outputs=2)},
            r"logits .N, classes.*output_shape=\[\(None, 3\), ",
        ),
        ({"model": ending(maps=True)}, r"logits .N, classes.*output_shape=\(None, 16, 16, 3\)"),
        ({"model": ending(classes=1)}, r"give multi_label=True. Received: line.*\(None, 1\)"),
        (
            {"model": ending(dtype="uint8")},
            "must be 0 and 1 / 255.*line of inputs uint8, mean",
        ),
        ({"class_names": {0: "a", 1: "b", 2: "c"}}, "names of the model's 3 classes. Received: "),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, message, small, tmp_path):
    arguments = {"model": small[0], "mean": MEAN, "std": STD, **changes}
    with pytest.raises(kr.Mistake, match=message):
        export.saved_model(arguments.pop("model"), tmp_path / "served", **arguments)
    assert not (tmp_path / "served").exists()


def test_a_model_of_integers_has_its_own_probabilities(tmp_path):
    network = ending(dtype="uint8")
    export.saved_model(network, tmp_path / "a", mean=(0,) * 3, std=(1 / 255,) * 3)
    expected = tf.nn.softmax(network(PICTURES))
    archive = tf.saved_model.load(tmp_path / "a")
    np.testing.assert_allclose(archive.serve(PICTURES), expected, rtol=1e-5)


def test_names_are_taken_as_a_saved_model_gives_them(small, tmp_path):
    names = ["cat", "dog", "Möwe"]
    given = [name.encode() for name in names]
    export.saved_model(small[0], tmp_path / "a", mean=MEAN, std=STD, class_names=given)
    served = tf.saved_model.load(tmp_path / "a")
    assert [name.decode() for name in served.class_names().numpy()] == names


def test_a_batch_size_of_the_model_is_not_that_of_the_saved_model(tmp_path):
    images = keras.Input(batch_shape=(8, 16, 16, 3))
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(images))
    export.saved_model(keras.Model(images, x), tmp_path / "a", mean=MEAN, std=STD)
    archive = tf.saved_model.load(tmp_path / "a")
    assert archive.serve(PICTURES[:2]).shape == (2, 3)


def test_a_file_system_that_refuses_is_an_error_of_the_system(small, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise tf.errors.PermissionDeniedError(None, None, "served; Permission denied")

    monkeypatch.setattr(tf.saved_model, "save", refuse)
    with pytest.raises(PermissionError) as error:  # of which a command makes one line
        export.saved_model(small[0], tmp_path / "a", mean=MEAN, std=STD)
    assert error.value.filename == str(tmp_path / "a")


@pytest.mark.parametrize("structure", [lambda x: [x], lambda x: {"y": x}], ids=["list", "dict"])
def test_a_model_may_have_its_output_in_a_list_or_a_dict(structure, tmp_path):
    pytest.importorskip("onnxruntime", reason="an extra that is not installed")
    plain = ending()
    network = keras.Model([plain.input], structure(plain.output))
    export.saved_model(network, tmp_path / "a", mean=MEAN, std=STD)
    expected = probabilities(plain)
    archive = tf.saved_model.load(tmp_path / "a")
    np.testing.assert_allclose(archive.serve(PICTURES), expected, rtol=1e-4)
    options = {"mean": MEAN, "std": STD, "pictures": PICTURES}
    assert export.onnx(network, tmp_path / "a.onnx", **options) < 1e-5
    joined = kr.ensemble.mean([network, plain])
    pixels = (PICTURES / 255.0 - MEAN) / STD
    np.testing.assert_allclose(np.exp(joined(pixels)), expected, rtol=1e-4)


def in_policy(policy, build):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_model_in_half_precision_is_written_in_float32(policy, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="an extra that is not installed")
    network, half = model(), in_policy(policy, model)
    half.set_weights(network.get_weights())
    options = {"mean": MEAN, "std": STD, "pictures": PICTURES}
    assert export.onnx(half, tmp_path / "a.onnx", **options) < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: PICTURES.astype("float32")})
    np.testing.assert_allclose(found, probabilities(network), atol=1e-5)
    assert half.layers[0].compute_dtype == policy.removeprefix("mixed_")  # it stays what it is
    # The session's policy is not the model's
    other = in_policy(policy, lambda: export.onnx(network, tmp_path / "b.onnx", **options))
    assert other < 1e-5


@pytest.mark.slow
def test_half_precision_is_written_for_litert(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="an extra that is not installed")
    half = in_policy("mixed_bfloat16", model)
    options = {"mean": MEAN, "std": STD, "pictures": PICTURES}
    assert export.litert(half, tmp_path / "a.tflite", **options) < 1e-5


@pytest.mark.slow
def test_shifted_windows_and_regions_of_several_sizes_are_written(tmp_path):
    pytest.importorskip("onnxruntime", reason="an extra that is not installed")
    pytest.importorskip("ai_edge_litert", reason="an extra that is not installed")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), "uint8")
    options = {"mean": MEAN, "std": STD, "pictures": pixels}
    swin = kr.models.Swin(4, width=24, depths=(2, 1), heads=(3, 6), window_size=4)
    scales = kr.models.CifarResNet8(calibration=kr.layers.MultiScaleRecalibration)
    for network in (swin, scales):
        for write in (export.onnx, export.litert):
            assert write(network, tmp_path / "file", **options) < 1e-5


def test_what_a_converter_cannot_do_is_told_in_a_line(small, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="an extra that is not installed")

    def fail(*_, **__):
        raise RuntimeError("\n  no Roll here\nand pages more")

    monkeypatch.setattr(keras.Model, "export", fail)
    with pytest.raises(kr.Mistake, match="as ONNX. Received: .* says: RuntimeError: no Roll here$"):
        export.onnx(small[0], tmp_path / "a", mean=MEAN, std=STD, pictures=PICTURES[:, :8, :8])
    assert not os.listdir(tmp_path)


def test_a_folder_that_holds_something_else_is_not_replaced(small, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("precious")
    (tmp_path / "link").symlink_to(small[1])
    for name, received in (("mine", "which holds something else"), ("link", "a link")):
        with pytest.raises(kr.Mistake, match=f"`path` must be a folder.*{received}"):
            export.saved_model(small[0], tmp_path / name, mean=MEAN, std=STD)
    assert (tmp_path / "mine" / "precious").read_text() == "precious"


def test_open_sides_of_a_model_take_those_of_the_pictures(tmp_path):
    pytest.importorskip("onnxruntime", reason="an extra that is not installed")
    images = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(images))
    network = keras.Model(images, keras.layers.Dense(3)(x))
    pictures = PICTURES[:2, :8, :10]
    options = {"mean": MEAN, "std": STD, "pictures": pictures}
    assert export.onnx(network, tmp_path / "a.onnx", **options) < 1e-5


@pytest.mark.parametrize(
    ("shape", "dtype"), [((0, 16, 16, 3), "uint8"), ((1, 8, 8, 3), "uint8"), ((1, 16, 16, 3), "U")]
)
def test_pictures_to_compare_on_must_fit_the_model(shape, dtype, tmp_path):
    pytest.importorskip("onnxruntime", reason="an extra that is not installed")
    with pytest.raises(kr.Mistake, match="`pictures` must be one picture or more of the model's"):
        export.onnx(
            model(), tmp_path / "a.onnx", mean=MEAN, std=STD, pictures=np.zeros(shape, dtype)
        )


@pytest.fixture
def handed(monkeypatch):
    """What the command hands over, in place of the writing of an ONNX file."""
    arguments = {}
    monkeypatch.setattr(portable, "check_onnx", lambda: None)
    monkeypatch.setattr(
        portable, "onnx", lambda model, path, **others: arguments.update(path=path, **others) or 0.0
    )
    return arguments


def test_the_command_compares_on_pixels_of_the_test_set(folder_run, handed, capsys):
    run_command("export", f"--workdir={folder_run / 'run'}")
    assert "model.onnx; it differs by 0 on 6 pictures." in capsys.readouterr().out
    assert handed["path"] == folder_run / "run" / "model.onnx"
    assert handed["pictures"].shape == (6, pictures.SIZE, pictures.SIZE, 3)
    file = sorted((folder_run / "pictures" / "val" / "cat").iterdir())[0]
    expected = np.asarray(pictures.crop_middle(Image.open(file)))
    np.testing.assert_allclose(handed["pictures"][0], expected.astype(int), atol=1.1)


@pytest.fixture
def python_run(finished_run, tmp_path):
    """A finished run that was started from Python on a dataset of your own."""
    run = shutil.copytree(finished_run, tmp_path / "run")
    (run / "recipe.py").unlink()
    return run


def test_a_run_from_python_is_exported(python_run, handed):
    run_command("export", f"--workdir={python_run}")
    assert handed["pictures"].shape == (64, 32, 32, 3)


def test_a_run_without_a_saved_model_gets_one_without_its_data(python_run, capsys):
    served = python_run / "saved_model"
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), "uint8")
    first = tf.saved_model.load(str(served))
    expected = first.serve(pixels).numpy()
    shutil.rmtree(served)  # as a run on JAX ends
    run_command("export", "--format=saved_model", f"--workdir={python_run}")
    assert f"Wrote {served}." in capsys.readouterr().out
    again = tf.saved_model.load(str(served))
    np.testing.assert_array_equal(again.serve(pixels).numpy(), expected)
    assert again.class_names().numpy().tolist() == [str(i).encode() for i in range(10)]


def test_train_takes_what_was_exported_again_for_whole(finished_run, tmp_path, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    run_command("export", "--format=saved_model", f"--workdir={run}")
    before = (run / "saved_model" / "saved_model.pb").stat().st_mtime_ns
    recipe = f"--recipe={run / 'recipe.py'}:dropout"
    run_command("training", recipe, "--set=epochs=2", f"--workdir={run}")
    assert "finished run" in capsys.readouterr().out
    assert (run / "saved_model" / "saved_model.pb").stat().st_mtime_ns == before


def test_the_command_writes_through_no_link(python_run, tmp_path, capsys):
    outside = tmp_path / "outside"
    (python_run / "saved_model").rename(outside)
    (python_run / "saved_model").symlink_to(outside)
    before = {file: file.stat().st_mtime_ns for file in outside.rglob("*")}
    message = answer("export", "--format=saved_model", f"--workdir={python_run}", capsys=capsys)
    assert "a link." in message
    assert {file: file.stat().st_mtime_ns for file in outside.rglob("*")} == before


def test_a_missing_package_is_named_before_the_work(finished_run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("keras_rescnet.export.comparison.pictures_of", None)
    message = answer("export", f"--workdir={finished_run}", capsys=capsys)
    assert 'pip install "keras_rescnet[onnx]"' in message
