"""What `ExactResume` and `resumable` refuse, before the first step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_rescnet as kr
from support import noise

ROWS = tf.data.Dataset.from_tensor_slices((np.ones((8, 2), "float32"), np.arange(8.0)))
BATCHES = ROWS.batch(4)
UNORDERED = tf.data.Options()
UNORDERED.deterministic = False
NOISE = tf.random.Generator.from_seed(1)


def noisy(x, y):
    return x + NOISE.normal(tf.shape(x)), y


RESUMABLE = {
    "a generator": ((batch for batch in ()), "a tf.data.Dataset, or a function .*generator"),
    "arrays": ((np.ones(8), np.ones(8)), "must be a tf.data.Dataset.*which gives tuple"),
    "a function of arrays": (lambda epoch: np.ones(8), "which gives ndarray"),
    "endless": (BATCHES.repeat(), "`.take.steps.` ends .* with cardinality -1"),
    "unknown": (BATCHES.filter(lambda x, y: True), "assert_cardinality.* with cardinality -2"),
    "empty": (BATCHES.take(0), "with cardinality 0"),
    "shuffled without a seed": (ROWS.shuffle(8).batch(8), "same whenever .* seed=epoch"),
    "shuffled anew": (ROWS.shuffle(8, seed=1).batch(8), "same whenever .* seed=epoch"),
    "no seed in the function": (lambda epoch: ROWS.shuffle(8).batch(8), "same whenever"),
    "noise": (BATCHES.map(noisy), "same whenever"),
    "unordered": (BATCHES.with_options(UNORDERED), "which is not deterministic"),
}


@pytest.mark.parametrize("case", RESUMABLE)
def test_resumable(case, assert_refused):
    batches, pattern = RESUMABLE[case]
    assert_refused(lambda: kr.data.resumable(batches), pattern)


def test_epochs_of_other_lengths(assert_refused):
    batches = kr.data.resumable(lambda epoch: BATCHES.take(2 - epoch))
    batches.seek(1)
    assert_refused(lambda: iter(batches), "as the first, 2. Received: 1 batches in epoch 1")


RESUMABLES = kr.data.resumable(BATCHES)
ARGUMENTS = {
    "no folder": ((None, RESUMABLES), {}, "`workdir` must be .* workdir=None"),
    "empty name": (("", RESUMABLES), {}, "`workdir` must be .* workdir=''"),
    "a dataset": (("run", BATCHES), {}, "must be what `kr.data.resumable` returns"),
    "minutes": (("run", RESUMABLES), {"checkpoint_minutes": -1}, "at least 0.*=-1"),
    "a flag": (("run", RESUMABLES), {"checkpoint_minutes": True}, "at least 0.*=True"),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments(case, assert_refused):
    arguments, options, pattern = ARGUMENTS[case]
    assert_refused(lambda: kr.ExactResume(*arguments, **options), pattern)


def network():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def unbuilt():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def fit(folder, data=RESUMABLES, model=network, others=(), epochs=2, batches=RESUMABLES, **options):
    resume = kr.ExactResume(folder / "run", batches)
    model = model()
    arguments = {"verbose": 0, "shuffle": False, **options}
    model.fit(data, epochs=epochs, callbacks=[*others, resume], **arguments)


FITS = {
    "a plain dataset": ({"data": BATCHES}, "batches of ExactResume as they are"),
    "arrays": (
        {"data": np.ones((8, 2), "float32"), "y": np.ones(8), "batch_size": 4},
        "must be given the batches of ExactResume",
    ),
    "class weights": ({"class_weight": dict.fromkeys(range(8), 2.0)}, "without `class_weight`"),
    "steps": ({"steps_per_epoch": 1}, "Received: 1 steps per epoch, where the batches are 2"),
    "BackupAndRestore": (
        {"others": [keras.callbacks.BackupAndRestore("run/backup")]},
        "One callback alone can .* ExactResume and BackupAndRestore",
    ),
}


@pytest.mark.parametrize("case", FITS)
def test_fit(case, assert_refused, tmp_path):
    options, pattern = FITS[case]
    assert_refused(lambda: fit(tmp_path, **options), pattern)


def test_a_model_that_is_not_built(assert_refused, tmp_path):
    if keras.backend.backend() == "tensorflow":  # JAX builds it
        assert_refused(lambda: fit(tmp_path, model=unbuilt), "begin it with keras.Input")


class Halving(keras.optimizers.schedules.LearningRateSchedule):
    """Has no `get_config`, as in many tutorials, so that nobody knows how a model is compiled."""

    def __call__(self, step):
        return 0.1 / (1.0 + keras.ops.cast(step, "float32"))


def test_other_steps_per_execution_within_an_epoch(assert_refused, tmp_path):
    def start(steps_per_execution, *others):
        model = network()
        optimizer = keras.optimizers.SGD(Halving())
        model.compile(optimizer, "mse", steps_per_execution=steps_per_execution)
        resume = kr.ExactResume(tmp_path, RESUMABLES, checkpoint_minutes=0)
        callbacks = [resume, *others]
        return model.fit(RESUMABLES, epochs=2, callbacks=callbacks, shuffle=False, verbose=0).epoch

    def stop(batch, logs):
        assert batch < 1

    with pytest.raises(AssertionError):
        start(1, keras.callbacks.LambdaCallback(on_train_batch_end=stop))
    pattern = "must divide the 1 steps .* epoch 1 of .* Received: steps_per_execution=2"
    assert_refused(lambda: start(2), pattern)
    assert start(1) == [0, 1]  # nothing is lost


def test_an_optimizer_that_is_not_built(assert_refused, tmp_path):
    def two():
        model = network()
        model.second = [keras.optimizers.Adam(name="second")]
        return model

    assert_refused(lambda: fit(tmp_path, model=two), "optimizer.*before `fit`.*: second, which is")


def test_a_callback_without_its_list(assert_refused):
    resume = kr.ExactResume("run", RESUMABLES)
    assert_refused(lambda: resume.set_model(network()), "list of callbacks of `fit`")


class Net(keras.callbacks.Callback):
    """A callback that keeps what no checkpoint can hold."""

    def __init__(self):
        super().__init__()
        self.seen = 0
        self.teacher = network()


def other_rate():
    model = network()
    model.compile(keras.optimizers.SGD(0.5), "mse")
    return model


def wider():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


OTHER = kr.data.resumable(BATCHES.map(lambda x, y: (2 * x, y)))
CHANGES = {
    "another rate": ({"model": other_rate}, "another `fit`: `compiled.*learning_rate` was 0.0"),
    "another model": ({"model": wider}, "arrays of this model and optimizer"),
    "fewer epochs": ({"epochs": 1}, "`epochs` must be at least 2"),
    "another callback": (
        {"others": [keras.callbacks.EarlyStopping("loss")]},
        "must be those .*: Net, History. Received: EarlyStopping, History",
    ),
    "other data": ({"data": OTHER, "batches": OTHER}, "another `fit`: `first_batch` was"),
}


def test_changes_of_a_fit_are_refused(assert_refused, tmp_path, capsys):
    fit(tmp_path, others=[Net()])
    assert "may differ after a stop: Net.teacher.\n" in capsys.readouterr().out
    for options, pattern in CHANGES.values():
        assert_refused(lambda options=options: fit(tmp_path, **options), pattern)
    fit(tmp_path, others=[Net()])  # nothing is lost
    assert "holds a finished fit" in capsys.readouterr().out
    assert_refused(lambda: kr.train(noise.recipe, tmp_path / "run"), "a run.json of something else")
