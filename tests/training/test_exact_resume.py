"""Keras's own `fit`, stopped and started again: as if it had never stopped."""

import collections
import functools
import os
import random
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_rescnet as kr
from faults import trials

EPOCHS, STEPS = 6, 5


class Stop(Exception):
    """What ends a `fit` in these tests."""


class Counter(keras.callbacks.Callback):
    """A callback of a user, which keeps what it has seen."""

    def __init__(self):
        super().__init__()
        self.seen = {"steps": 0}
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen["steps"] += 1
        self.losses.append(np.float64(logs["loss"]))


def pictures():
    generator = np.random.default_rng(0)
    images = generator.normal(size=(40, 4, 4, 1)).astype("float32")
    return images, (images.mean((1, 2, 3)) > 0).astype("int32")


def batches_of(epoch):
    rows = tf.data.Dataset.from_tensor_slices(pictures())
    # Keras on JAX looks at the first batch before it trains, and so reads a dataset twice
    rows = rows.shuffle(40, seed=epoch, reshuffle_each_iteration=False)
    return rows.batch(8).prefetch(1)


def network(steps_per_execution=1):
    """Random numbers, moving statistics, and an optimizer with a state of its own."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.GaussianNoise(0.1),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            kr.layers.GCLU(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(2),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(0.05)
    model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=steps_per_execution)
    return model


def callbacks_in(folder):
    return [
        keras.callbacks.EarlyStopping(patience=4, restore_best_weights=True),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        keras.callbacks.ReduceLROnPlateau(patience=1, factor=0.5, min_delta=0.01),
        keras.callbacks.ModelCheckpoint(folder / "best.keras", save_best_only=True),
        keras.callbacks.ModelCheckpoint(folder / "step{batch}.weights.h5", "loss", 0, False, True,
                                        save_freq=7),
        keras.callbacks.CSVLogger(folder / "log.csv"),
        keras.callbacks.CSVLogger(folder / "more.csv", append=True),
        Counter(),
    ]  # fmt: skip


def run(folder, batches=None, extra=(), epochs=EPOCHS, model=None, **options):
    """Calls `fit`, and returns all that it leaves."""
    folder.mkdir(exist_ok=True)
    model = network() if model is None else model
    callbacks = callbacks_in(folder)
    history = model.fit(
        batches,
        epochs=epochs,
        validation_data=pictures(),
        callbacks=[*callbacks[:3], *extra, *callbacks[3:]],
        shuffle=False,
        verbose=0,
        **options,
    )
    return {
        "variables": [np.array(v) for v in [*model.variables, *model.optimizer.variables]],
        "metrics": {name: float(value) for name, value in model.get_metrics_result().items()},
        "history": history.history,
        "epochs": history.epoch,
        "stopping": [callbacks[0].best, callbacks[0].wait, callbacks[0].best_epoch],
        "plateau": [callbacks[2].best, callbacks[2].wait],
        "best": [np.array(v) for v in keras.models.load_model(folder / "best.keras").variables],
        "logs": [(folder / name).read_bytes() for name in ("log.csv", "more.csv")],
        "counter": [callbacks[-1].seen, callbacks[-1].losses],
    }


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        if name in ("variables", "best"):
            for one, other in zip(ours[name], theirs[name], strict=True):
                np.testing.assert_array_equal(one, other, err_msg=name)
        else:
            assert ours[name] == theirs[name], name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What Keras alone does, on the batches of all epochs in a row."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "more.csv").write_text("the log of another fit\n")
    keras.utils.set_random_seed(1)  # which is a part of the seed of every dataset
    every = functools.reduce(tf.data.Dataset.concatenate, map(batches_of, range(EPOCHS)))
    return run(folder, every, steps_per_epoch=STEPS)


def stopping(hook, count):
    """A callback that ends `fit` when it hears of something for the given time."""
    left = count

    def stop(*_, **__):
        nonlocal left
        left -= 1
        if not left:
            raise Stop

    return keras.callbacks.LambdaCallback(**{hook: stop})


def started(folder, *extra, minutes=0.0, **options):
    """Starts the same script again: everything is made anew."""
    keras.utils.set_random_seed(1)
    batches = kr.data.resumable(batches_of)
    resume = kr.ExactResume(folder / "resume", batches, checkpoint_minutes=minutes)
    return run(folder, batches, [resume, *extra], **options)


@pytest.mark.slow
def test_a_fit_that_is_stopped_again_and_again_ends_as_that_of_keras(undisturbed, tmp_path, capsys):
    (tmp_path / "more.csv").write_text("the log of another fit\n")
    places = [
        ("on_epoch_begin", 1, 0.0),  # before the first step
        ("on_train_batch_end", 3, 0.0),
        ("on_test_batch_end", 2, 0.0),
        ("on_train_batch_end", 6, 60.0),  # checkpoints of epochs alone
        ("on_epoch_end", 2, 0.0),
        ("on_train_end", 1, 0.0),
    ]
    for hook, count, minutes in places:
        with pytest.raises(Stop):
            started(tmp_path, stopping(hook, count), minutes=minutes)
    with open(tmp_path / "log.csv", "a") as file:
        file.write("a row that came too late")
    assert_same(started(tmp_path), undisturbed)
    assert_same(started(tmp_path), undisturbed)  # of a finished one
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "Continues after step 0 of 5 of epoch 1 of 6.",
        "Continues after step 2 of 5 of epoch 1 of 6.",
        "Continues after step 4 of 5 of epoch 1 of 6.",
        "Continues after step 0 of 5 of epoch 2 of 6.",
        "Continues after step 4 of 5 of epoch 3 of 6.",
        f"{tmp_path / 'resume'} holds a finished fit: nothing is trained again.",
        f"{tmp_path / 'resume'} holds a finished fit: nothing is trained again.",
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Nadam(0.1),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Nadam(0.1)),
    ],
    ids=["nadam", "scaled nadam"],
)
def test_optimizers_go_on_to_the_last_bit(make, tmp_path):
    assert_goes_on(tmp_path, functools.partial(dense, make))


def dense(optimizer):
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2))
    model.compile(optimizer(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def assert_goes_on(tmp_path, make):
    """Compares the weights of a model after three epochs with those of one stopped in the third."""

    def weights(folder, *extra):
        keras.utils.set_random_seed(1)
        batches = kr.data.resumable(batches_of)
        model = make()
        callbacks = [*extra, kr.ExactResume(folder, batches)]
        model.fit(batches, epochs=3, callbacks=callbacks, shuffle=False, verbose=0)
        return model.get_weights()

    with pytest.raises(Stop):
        weights(tmp_path / "stopped", stopping("on_epoch_begin", 2))
    pairs = zip(weights(tmp_path / "stopped"), weights(tmp_path / "whole"), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


class Pair(keras.Model):
    """Two halves with optimizers of their own, as a GAN has them."""

    def compile(self, *optimizers):
        super().compile(loss="mse")
        self.one, self.others = optimizers[0], {"two": optimizers[1]}
        for layer, optimizer in zip(self.layers[-2:], optimizers, strict=True):
            optimizer.build(layer.trainable_weights)

    def train_step(self, batch):
        images, labels = batch
        with tf.GradientTape(persistent=True) as tape:
            loss = tf.reduce_mean((tf.cast(labels, "float32") - self(images)[:, 0]) ** 2)
        for layer, optimizer in zip(self.layers[-2:], [self.one, self.others["two"]], strict=True):
            gradients = tape.gradient(loss, layer.trainable_weights)
            optimizer.apply(gradients, layer.trainable_weights)
        return {"loss": loss}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the step is TensorFlow's")
def test_a_model_with_several_optimizers_goes_on_to_the_last_bit(tmp_path):
    def pair():
        images = keras.Input((4, 4, 1))
        x = keras.layers.Dense(3)(keras.layers.Flatten()(images))
        model = Pair(images, keras.layers.Dense(1)(x))
        model.compile(keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.1, momentum=0.9))
        return model

    assert_goes_on(tmp_path, pair)


def test_data_that_fail_while_steps_are_skipped_leave_a_model_that_trains(tmp_path):
    failing = False

    def read(epoch):
        def look(place):
            if failing:
                raise OSError("the disk of the data is away")
            return place

        places = tf.data.Dataset.range(STEPS)
        places = places.map(lambda place: tf.numpy_function(look, [place], tf.int64))
        return tf.data.Dataset.zip(batches_of(epoch), places).map(lambda batch, place: batch)

    batches = kr.data.resumable(read)
    model = dense(lambda: keras.optimizers.SGD(0.1))

    def fit(*others):
        callbacks = [kr.ExactResume(tmp_path, batches, checkpoint_minutes=0), *others]
        model.fit(batches, callbacks=callbacks, shuffle=False, verbose=0)

    with pytest.raises(Stop):
        fit(stopping("on_train_batch_end", 4))
    failing = True
    with pytest.raises(Exception, match="the disk of the data is away"):
        fit()
    before = model.get_weights()
    model.fit(*pictures(), batch_size=8, verbose=0)
    assert np.abs(model.get_weights()[0] - before[0]).max() > 1e-3


def test_a_folder_that_was_removed_since_is_made_anew(tmp_path):
    make = functools.partial(dense, lambda: keras.optimizers.SGD(0.1))
    batches = kr.data.resumable(batches_of)

    def fit(*others):
        callbacks = [kr.ExactResume(tmp_path / "run", batches), *others]
        make().fit(batches, callbacks=callbacks, shuffle=False, verbose=0)

    with pytest.raises(Stop):
        fit(stopping("on_train_batch_end", 2))
    shutil.rmtree(tmp_path / "run")
    fit()
    assert (tmp_path / "run" / "run.json").exists()
    assert list((tmp_path / "run" / "checkpoints").iterdir())


# KILLS=200 pytest -m slow tests/training/test_exact_resume.py is the long exam.
class Writer(keras.callbacks.Callback):
    """Writes losses to a file, and keeps kinds of data that a user may think of."""

    def __init__(self, path):
        super().__init__()
        self.path, self.pictures = str(path), np.zeros((256, 1024))
        self.signs = collections.Counter()
        self.newest = Newest(-1, None)

    def on_epoch_end(self, epoch, logs=None):
        self.signs[f"epoch {epoch}"] += 1
        self.newest = Newest(epoch, self.signs.most_common(1)[0][1])
        with open(self.path, "a") as file:
            file.write(f"{self.newest.epoch}\n")


Newest = collections.namedtuple("Newest", ["epoch", "most"])


def test_a_callback_of_a_user_has_the_arguments_of_the_script_and_what_it_has_counted(
    tmp_path, capsys
):
    def fit(path, *others):
        model = dense(keras.optimizers.SGD)
        batches = kr.data.resumable(batches_of)
        writer = Writer(path)
        callbacks = [kr.ExactResume(tmp_path / "run", batches), writer, *others]
        model.fit(batches, epochs=4, callbacks=callbacks, shuffle=False, verbose=0)
        return writer

    with pytest.raises(Stop):
        fit(tmp_path / "old.txt", stopping("on_epoch_end", 2))
    assert "Not saved, so that what depends on it may differ after a stop: Writer.newest." in (
        capsys.readouterr().out
    )
    writer = fit(tmp_path / "new.txt")
    assert writer.signs == collections.Counter([f"epoch {epoch}" for epoch in range(4)])
    assert (tmp_path / "old.txt").read_text() == "0\n1\n"
    assert (tmp_path / "new.txt").read_text() == "1\n2\n3\n"  # the stop came before a checkpoint
    sizes = [file.stat().st_size for file in (tmp_path / "run").rglob("*.npz")]
    assert sizes and max(sizes) < writer.pictures.nbytes / 10


@pytest.mark.slow
def test_a_fit_of_the_digits_that_is_killed_at_random_ends_as_that_of_keras(tmp_path):
    kills, killed = int(os.environ.get("KILLS", 3)), 0
    generator = random.Random(0)
    while killed < kills:
        killed += trials.killed_fit(tmp_path, generator, kills - killed)
