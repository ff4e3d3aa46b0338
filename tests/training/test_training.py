"""`train`: every recipe runs, a run continues exactly, and a user's mistakes get a line."""

import contextlib
import csv
import dataclasses
import fcntl
import functools
import json
import os
import pathlib
import random
import re
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_rescnet
from keras_rescnet import load_recipe
from keras_rescnet.mistake import Mistake
from keras_rescnet.training import engines, setup
from keras_rescnet.training.engines.tensorflow import Engine as TensorFlowEngine
from keras_rescnet.training.run import Run
from support import ROOT, noise

PATHS = [  # of one recipe each
    path
    for path in sorted((ROOT / "recipes").glob("*.py"))
    if not re.match("alexnet_slopes|methods|rivals|table", path.stem)
]
LARGE = {  # how far their tests may wait
    "cifar10_fast": pytest.mark.slow,
    "cifar10_gclu_vgg16": pytest.mark.release,
    "cifar10_kerascv_rescnet32": pytest.mark.slow,
    "cifar10_rescnet32": pytest.mark.release,
    "cifar10_resnet32": pytest.mark.release,
    "imagefolder_rescnet18": pytest.mark.release,
    "tags_csv_resnet18": pytest.mark.release,
}
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


def small_recipe(**changes):
    return dataclasses.replace(noise.recipe, **changes)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=LARGE.get(path.stem, ()), id=path.stem) for path in PATHS],
)
def test_recipe_trains_and_exports(path, tmp_path):
    recipe = load_recipe(path)
    recipe = noise.with_random_pictures(
        recipe, batch_size=8, epochs=1, warmup_epochs=0, steps_per_epoch=1, learning_rate=1e-3
    )
    results = keras_rescnet.train(recipe, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == results
    assert (tmp_path / "run" / "recipe.py").read_text() == path.read_text()
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    pixels = np.zeros((1, *recipe.dataset.image_shape), "uint8")
    images = (pixels / 255 - recipe.dataset.mean) / recipe.dataset.std
    logits = keras.ops.convert_to_numpy(model(images.astype("float32")))
    expected = np.exp(logits - logits.max())
    expected /= expected.sum()
    if recipe.dataset.multi_label:
        expected = 1 / (1 + np.exp(-logits))
    if ON_TENSORFLOW:
        served = tf.saved_model.load(str(tmp_path / "run" / "saved_model"))
        # Graphs compute Phi in another form: in half precision a last bit is 2**-8 of a response
        atol = 1e-5 if recipe.precision == "float32" else 2e-4
        np.testing.assert_allclose(served.serve(pixels), expected, atol=atol)
        np.testing.assert_allclose(served.serve(pixels.astype("float32")), expected, atol=atol)
        assert served.class_names().shape == (recipe.dataset.classes,)


def files_of(workdir):
    return {
        name: (pathlib.Path(workdir) / name).read_bytes() for name in ("log.csv", "results.json")
    }


def weights_of(workdir):
    model = keras.models.load_model(pathlib.Path(workdir) / "model.keras")
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param(
            {"precision": "mixed_float16", "ema_momentum": 0.9, "global_clipnorm": 1.0},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"precision": "mixed_bfloat16", "gradient_accumulation_steps": 2, "evaluate_every": 2},
            marks=pytest.mark.slow,
        ),
        pytest.param({"trainable": ("logits/",), "ema_momentum": 0.9}, marks=pytest.mark.slow),
        pytest.param(noise.FAST, marks=pytest.mark.slow),
    ],
    ids=["plain", "float16", "bfloat16", "frozen", "fast"],
)
def test_a_stopped_run_goes_on_to_the_last_bit(changes, tmp_path, stop_after):
    whole = keras_rescnet.train(small_recipe(**changes), tmp_path / "whole")
    # 5 steps an epoch: the run is stopped within the first, at the end of it, and in the second
    recipe = small_recipe(steps_per_execution=1, **changes)
    for steps in (3, 2, 4):
        stop_after(steps)
        with pytest.raises(SystemExit) as caught:
            keras_rescnet.train(recipe, tmp_path / "parts")
        assert caught.value.code == 143
    assert keras_rescnet.train(recipe, tmp_path / "parts") == whole
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")
    for ours, theirs in zip(
        weights_of(tmp_path / "parts"), weights_of(tmp_path / "whole"), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    with open(tmp_path / "parts" / "log.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]


class Noise(keras.layers.Layer):
    """Draws random numbers without a seed, as a user may write it."""

    def call(self, x, training=False):
        return x + keras.random.normal(keras.ops.shape(x)) if training else x


def noisy(input_shape, classes):
    images = keras.Input(input_shape)
    x = Noise()(keras.layers.GlobalAveragePooling2D()(images))
    return keras.Model(images, keras.layers.Dense(classes)(x))


@pytest.mark.skipif(not ON_TENSORFLOW, reason="Keras on JAX refuses such numbers in a step")
def test_random_numbers_without_a_seed_go_on(tmp_path, stop_after):
    recipe = small_recipe(model=noisy, epochs=1, warmup_epochs=0, steps_per_execution=1)
    keras_rescnet.train(recipe, tmp_path / "whole")
    stop_after(3)
    with pytest.raises(SystemExit):
        keras_rescnet.train(recipe, tmp_path / "parts")
    keras_rescnet.train(recipe, tmp_path / "parts")
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")


def normalized(input_shape, classes):
    images = keras.Input(input_shape)
    x = keras.layers.Normalization(name="normalization")(images)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(classes)(x))


def adapt(model, images):
    model.get_layer("normalization").adapt(images.map(lambda batch: 4.0 * batch + 3.0))


def test_a_run_goes_on_with_what_a_normalization_was_adapted_to(tmp_path, stop_after):
    """Keras's layer computes with tensors that it makes of its weights once."""
    recipe = small_recipe(model=normalized, adapt=adapt, epochs=1, warmup_epochs=0)
    keras_rescnet.train(recipe, tmp_path / "whole")
    recipe = dataclasses.replace(recipe, steps_per_execution=1)
    stop_after(3)
    with pytest.raises(SystemExit):
        keras_rescnet.train(recipe, tmp_path / "parts")
    keras_rescnet.train(recipe, tmp_path / "parts")
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")


def test_the_callers_random_numbers_go_on_as_if_nothing_had_been_trained(tmp_path):
    recipe = small_recipe(epochs=1, warmup_epochs=0)
    drawn = []
    for train in (False, True):
        random.seed(3)
        np.random.seed(3)
        if train:
            keras_rescnet.train(recipe, tmp_path)
        drawn.append((random.random(), np.random.uniform()))
    assert drawn[0] == drawn[1]


def test_a_finished_run_is_not_repeated(tmp_path, capsys):
    results = keras_rescnet.train(small_recipe(), tmp_path)
    before = (tmp_path / "model.keras").stat().st_mtime_ns
    assert keras_rescnet.train(small_recipe(), tmp_path) == results
    assert (tmp_path / "model.keras").stat().st_mtime_ns == before
    assert "finished run: nothing is done again" in capsys.readouterr().out


def test_results_are_those_of_keras(tmp_path):
    recipe = small_recipe()
    results = keras_rescnet.train(recipe, tmp_path)
    model = keras.models.load_model(tmp_path / "model.keras")
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(5)],
    )
    examples = noise.random_pictures(recipe.dataset, "test")
    images = (examples.images / 255.0 - recipe.dataset.mean) / recipe.dataset.std
    expected = model.evaluate(images.astype("float32"), examples.labels, verbose=0, batch_size=20)
    ours = [results[f"test_{name}"] for name in ("loss", "accuracy", "top5_accuracy")]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_another_recipe_is_refused(tmp_path):
    keras_rescnet.train(small_recipe(), tmp_path)
    with pytest.raises(ValueError, match="another recipe: `epochs` was 3. Received: epochs=4"):
        keras_rescnet.train(small_recipe(epochs=4), tmp_path)


def test_other_data_are_refused(tmp_path, stop_after):
    stop_after(3)
    with pytest.raises(SystemExit):
        keras_rescnet.train(small_recipe(steps_per_execution=1), tmp_path)
    other = dataclasses.replace(noise.recipe.dataset, std=(0.5, 0.5, 0.5))
    message = (
        r"run on other data: `std` was \[0.376, 0.376, 0.376\]. Received: std=\[0.5, 0.5, 0.5\]"
    )
    with pytest.raises(ValueError, match=message):
        keras_rescnet.train(small_recipe(steps_per_execution=1, dataset=other), tmp_path)


def test_a_workdir_in_use_is_refused(tmp_path):
    with open(tmp_path / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="Another run is writing into this workdir"):
            keras_rescnet.train(small_recipe(), tmp_path)


def test_a_workdir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ValueError, match="`workdir` must be a folder. Received: .*file"):
        keras_rescnet.train(small_recipe(), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_workdir_that_cannot_be_written_is_refused():
    with pytest.raises(ValueError, match="must be a folder that can be written. Received: /proc/x"):
        keras_rescnet.train(small_recipe(), "/proc/x")


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    recipe = small_recipe(learning_rate=1e30, warmup_epochs=0, epochs=2)
    with pytest.raises(FloatingPointError, match=r"not finite at step \d, learning rate 1e\+30"):
        keras_rescnet.train(recipe, tmp_path)
    assert not (tmp_path / "results.json").exists()


class ExplodeOnce:
    """A learning rate that nothing survives, the first time the second epoch asks for it.

    Every run tries all epochs before.
    """

    calls = 0

    def __call__(self, epoch, epochs):
        ExplodeOnce.calls += epoch == 1
        return 1e30 if epoch == 1 and ExplodeOnce.calls == 2 else 1.0

    def __repr__(self):
        return "ExplodeOnce()"


def test_a_run_that_was_not_finite_goes_on_with_rollback(tmp_path, monkeypatch, capsys):
    recipe = small_recipe(decay=ExplodeOnce())
    monkeypatch.setattr(ExplodeOnce, "calls", 0)
    with pytest.raises(FloatingPointError):
        keras_rescnet.train(recipe, tmp_path)
    monkeypatch.setattr(ExplodeOnce, "calls", 0)
    again = dataclasses.replace(recipe, nan_policy="rollback")
    assert keras_rescnet.train(again, tmp_path)["epoch"] == 3
    output = capsys.readouterr().out
    assert "nan_policy='rollback'; it was 'stop'" in output
    assert "Goes back to the last checkpoint, with another order." in output


def test_a_run_goes_on_without_its_initial_weights(tmp_path, stop_after):
    noise.model((32, 32, 3), 10, 0.5).save(tmp_path / "first.keras")
    recipe = small_recipe(
        steps_per_execution=1, initial_weights=str(tmp_path / "first.keras"), epochs=2
    )
    stop_after(3)
    with pytest.raises(SystemExit):
        keras_rescnet.train(recipe, tmp_path / "run")
    (tmp_path / "first.keras").unlink()
    assert keras_rescnet.train(recipe, tmp_path / "run")["epoch"] == 2


def test_a_stop_that_cannot_be_saved_is_not_called_saved(
    small_disk, stop_after, monkeypatch, capsys
):
    disk = small_disk("2m")
    steps = Run._note_progress

    def fill(self):
        steps(self)
        with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as file:
            while True:
                file.write(b"0" * 4096)

    monkeypatch.setattr(Run, "_end_epoch", lambda self, epoch: (end(self, epoch), fill(self)))
    stop_after(7)
    with pytest.raises(SystemExit):
        keras_rescnet.train(small_recipe(steps_per_execution=1), disk / "run")
    output = capsys.readouterr().out
    assert "Stopped after step 7 of 15, but that could not be saved." in output
    assert "and saved" not in output


end = Run._end_epoch


def interrupted_model(input_shape, classes):
    os.kill(os.getpid(), signal.SIGINT)
    return noise.model(input_shape, classes, 0.5)


def test_an_interrupt_while_the_model_is_built_is_not_lost(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        keras_rescnet.train(small_recipe(model=interrupted_model), tmp_path / "run")
    assert "Stopped at once" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_what_a_run_has_trained_is_of_its_recipe_alone(tmp_path, stop_after):
    recipe = small_recipe(steps_per_execution=1)
    stop_after(3)
    with pytest.raises(SystemExit):
        keras_rescnet.train(recipe, tmp_path)
    (tmp_path / "run.json").unlink()
    with pytest.raises(Mistake, match="holds checkpoints of another recipe"):
        keras_rescnet.train(dataclasses.replace(recipe, learning_rate=0.01), tmp_path)
    results = keras_rescnet.train(recipe, tmp_path)
    assert results["recipe_digest"] == recipe.digest()
    (tmp_path / "run.json").unlink()
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()
    other = dataclasses.replace(recipe, seed=1)
    with pytest.raises(Mistake):
        keras_rescnet.train(other, tmp_path)


def below_zero(epoch, epochs):
    return 1.0 - (epoch + 1) / epochs


def two_logits(input_shape, classes):
    return noise.model(input_shape, 2, dropout=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 41}, "40 training images, 0 steps per epoch. Received: batch_size=41"),
        ({"steps_per_epoch": 6}, "5 steps per epoch. Received: batch_size=8, steps_per_epoch=6"),
        (
            {"exclude_from_weight_decay": ("bias", "gama")},
            "no weight has a name with 'gama'.*bias, gamma",
        ),
        ({"augment": lambda: None}, "`augment` must return a list of transforms. Received: None"),
        ({"drop_path": 0.1}, "`model` must take input_shape, classes, drop_path as named"),
        (
            {"model": functools.partial(keras_rescnet.models.CifarResNet8, activation="gleu")},
            "`activation` must be a name.*gleu",
        ),
        (
            {"decay": below_zero, "schedule_per_step": True},
            r"at least 0. Received: -0.1\d* from .* in epoch 1.2 of 2\.",
        ),
        ({"model": two_logits}, r"logits of shape \(None, 10\). Received: \(None, 2\)"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(changes, message, tmp_path):
    with pytest.raises((ValueError, TypeError), match=message):
        keras_rescnet.train(small_recipe(**changes), tmp_path)


def test_a_cluster_that_cannot_be_read_is_refused(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{cluster: ")
    with pytest.raises(ValueError, match="`TF_CONFIG` must be JSON.*Received: TF_CONFIG={cluster"):
        TensorFlowEngine()


def test_devices_are_not_chosen_in_a_cluster(monkeypatch):
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(ValueError, match="uses all devices that it sees.*Received: devices=1"):
        TensorFlowEngine(devices=1)


def test_a_batch_must_divide():
    recipe = small_recipe(gradient_accumulation_steps=2)
    message = "divisible by devices times .*batch_size=8, devices=3, gradient_accumulation_steps=2"
    with pytest.raises(ValueError, match=message):
        setup.check_batch(recipe, 3)


def test_other_backends_do_not_train(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="TensorFlow or JAX. Received: KERAS_BACKEND=torch"):
        engines.make_engine()
