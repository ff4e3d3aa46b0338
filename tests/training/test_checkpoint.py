"""Checkpoints by themselves: which stay, what they hold, and which are refused."""

import dataclasses
import gc
import hashlib
import io
import json
import types

import keras
import numpy as np
import pytest

import keras_rescnet
from keras_rescnet import Mistake
from keras_rescnet.optimizers import SGD, AdamW
from keras_rescnet.training.checkpoint import Checkpoints, match
from keras_rescnet.training.engines.task_engine import TaskEngine
from keras_rescnet.training.state import RunState
from keras_rescnet.training.variables import named_variables


def test_the_last_two_checkpoints_and_the_best_stay(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (5, 10, 15, 20):
        checkpoints.save(RunState(step), {"block/kernel": np.full(3, step)}, keep=5)
    checkpoints.close()
    assert [int(path.name[5:13]) for path in sorted(tmp_path.iterdir())] == [5, 15, 20]
    state, arrays = Checkpoints(tmp_path).last()
    assert state.step == 20 and list(arrays) == ["block/kernel"]
    np.testing.assert_array_equal(arrays["block/kernel"], [20, 20, 20])


def test_a_checkpoint_keeps_the_state_of_the_run(tmp_path):
    history = [{"epoch": 1, "train_loss": 0.1, "test_accuracy": None}]
    state = RunState(7, history, np.array([0.1, 2.0, 3.0]), rollbacks=1)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state, {"kernel": np.zeros(1)})
    state.add_steps(np.ones((2, 3)))  # while it is written
    checkpoints.close()
    kept, _ = Checkpoints(tmp_path).last()
    assert (kept.step, kept.history, kept.rollbacks) == (7, history, 1)
    np.testing.assert_array_equal(kept.sums, [0.1, 2.0, 3.0])


def test_a_full_disk_is_reported_and_harms_nothing(small_disk, capsys):
    disk = small_disk("64k")
    checkpoints = Checkpoints(disk)
    checkpoints.save(RunState(1), {"kernel": np.zeros(1000, "uint8")})
    assert checkpoints.wait()
    checkpoints.save(RunState(2), {"kernel": np.zeros(200_000, "uint8")})
    assert not checkpoints.wait()
    checkpoints.close()
    assert "of step 2 could not be written (No space left" in capsys.readouterr().out
    state, _ = Checkpoints(disk).last()
    assert state.step == 1
    assert [path.name[:13] for path in disk.iterdir()] == ["step-00000001"]


def test_checkpoints_of_another_recipe_are_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path, digest="a" * 32)
    checkpoints.save(RunState(3), {"kernel": np.zeros(3)})
    checkpoints.close()
    assert Checkpoints(tmp_path, digest="a" * 32).last()[0].step == 3
    with pytest.raises(Mistake, match="checkpoints of another recipe.*Received: step-00000003"):
        Checkpoints(tmp_path, digest="b" * 32).last()


VARIABLES = {"conv/kernel": np.zeros((3, 2)), "conv/bias": np.zeros(2), "sgd/rate": np.zeros(())}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv/kernel": None}, "2 arrays, and the first that differs is 'conv/kernel', none"),
        (
            {"conv/bias": np.zeros(5)},
            r"'conv/bias', of shape \(5,\) there and of shape \(2,\) here",
        ),
        ({"norm/gamma": np.zeros(2)}, r"'norm/gamma', of shape \(2,\) there and none here"),
    ],
)
def test_the_first_array_that_differs_is_named(changes, message):
    arrays = {**VARIABLES, **changes}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(Mistake, match=f"step 3 must hold the 3 arrays.*Received: .*{message}") as c:
        match(arrays, VARIABLES, 3)
    assert "\n" not in str(c.value)


def test_arrays_are_found_by_name_whatever_their_order():
    arrays = {name: array + place for place, (name, array) in enumerate(VARIABLES.items())}
    found = match(dict(reversed(arrays.items())), VARIABLES, 3)
    assert list(found) == list(VARIABLES)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_arrays_without_names_are_taken_by_order():
    arrays = [array + place for place, array in enumerate(VARIABLES.values())]
    found = match({f"array_{i:05d}": array for i, array in enumerate(arrays)}, VARIABLES, 3)
    assert [np.array_equal(*pair) for pair in zip(found.values(), arrays, strict=True)] == [
        True
    ] * 3
    with pytest.raises(Mistake, match="Received: 2 arrays, and the first .* is 'sgd/rate', none"):
        match({f"array_{i:05d}": array for i, array in enumerate(arrays[:2])}, VARIABLES, 3)
    more = {f"array_{i:05d}": array for i, array in enumerate([*arrays, np.ones(9)])}
    with pytest.raises(Mistake, match="4 arrays, and the first .* is 'array_00003'"):
        match(more, VARIABLES, 3)


def nested(name=None):
    inner = keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()], name=name)
    inputs = keras.Input((5,))
    x = keras.layers.Dense(5)(inputs)
    x = keras.layers.Dropout(0.5)(inner(x))
    return keras.Model(inputs, keras.layers.Dense(2, name="logits")(x))


@pytest.mark.parametrize("make", [lambda: SGD(0.1, 0.9), lambda: AdamW(use_ema=True)])
def test_names_do_not_depend_on_what_was_built_before(make):
    every = []
    for _ in range(3):
        model, optimizer = nested(), keras.optimizers.LossScaleOptimizer(make())
        optimizer.build(model.trainable_variables)
        every.append(named_variables(model, optimizer))
        assert list(every[-1].values()) == [*model.variables, *optimizer.variables]
    assert len({tuple(named) for named in every}) == 1
    names = list(every[0])
    assert names[:3] == ["dense_1/kernel", "dense_1/bias", "sequential/dense/kernel"]
    assert "logits/kernel" in names and "seed_generator/seed_generator_state" in names
    kind = type(make()).__name__.lower().replace("adamw", "adam_w")
    what = "velocity" if kind == "sgd" else "first_moment"
    assert f"{kind}/sequential_dense_kernel_{what}" in names
    assert "loss_scale_optimizer/dynamic_scale" in names


def test_names_are_the_paths_of_a_new_process(monkeypatch):
    monkeypatch.setattr(gc, "collect", int)  # which would walk over all that other tests left
    keras.utils.clear_session()
    model, optimizer = nested("inner"), SGD(0.1, 0.9)
    optimizer.build(model.trainable_variables)
    variables = [*model.variables, *optimizer.variables]
    assert list(named_variables(model, optimizer)) == [variable.path for variable in variables]


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer])
def test_the_product_of_nadam_has_a_name_that_lasts(wrap):
    """Keras gives it none, and a loss scale leaves it out of its variables."""
    for _ in range(2):
        model, nadam = nested(), keras.optimizers.Nadam()
        optimizer = wrap(nadam)
        optimizer.build(model.trainable_variables)
        named = named_variables(model, optimizer)
        assert named["/variable"] is nadam._u_product
        assert len(named) == len(set(map(id, named.values())))


def test_variables_without_a_name_are_found_under_the_number_that_keras_gave_them():
    variables = {**VARIABLES, "/variable": np.zeros(()), "/variable_1": np.ones(())}
    arrays = {**VARIABLES, "/variable_9": np.full((), 9), "/variable_12": np.full((), 12)}
    found = match(arrays, variables, 3)
    assert (found["/variable"], found["/variable_1"]) == (9, 12)


def test_weights_in_bfloat16_are_read_again(tmp_path):
    def engine(seed):
        keras.utils.set_random_seed(seed)
        images = keras.Input((5,))
        model = keras.Model(images, keras.layers.Dense(3, dtype="bfloat16")(images))
        optimizer = SGD(0.1, 0.9)
        optimizer.build(model.trainable_variables)
        engine = TaskEngine()
        engine.build(types.SimpleNamespace(model=model, optimizer=optimizer))
        return engine, model

    (one, ours), (other, theirs) = engine(0), engine(1)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(RunState(1), one.variables())
    checkpoints.close()
    other.assign(match(Checkpoints(tmp_path).last()[1], other.variables(), 1))
    for mine, read in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine.astype("float32"), read.astype("float32"))


def test_names_that_are_alike_are_told_apart():
    inputs = keras.Input((2,))
    twins = [keras.Sequential([keras.layers.Dense(2)], name="twin") for _ in range(2)]
    for twin in twins:
        twin.build((None, 2))
    layer = Twins(twins)
    model = keras.Model(inputs, layer(inputs))
    optimizer = SGD(0.1, 0.9)
    optimizer.build(model.trainable_variables)
    named = named_variables(model, optimizer)
    assert len(named) == len(model.variables) + len(optimizer.variables)


class Twins(keras.layers.Layer):
    def __init__(self, twins):
        super().__init__()
        self.twins = twins

    def call(self, inputs):
        return self.twins[0](inputs) + self.twins[1](inputs)


def test_a_run_goes_on_after_other_models_were_built(noise_recipe, tmp_path, stop_after):
    recipe = dataclasses.replace(noise_recipe, steps_per_execution=1)
    whole = keras_rescnet.train(recipe, tmp_path / "whole")
    stop_after(7)
    with pytest.raises(SystemExit):
        keras_rescnet.train(recipe, tmp_path / "parts")
    nested(), keras.layers.Conv2D(1, 1), keras.layers.BatchNormalization(), SGD()
    assert keras_rescnet.train(recipe, tmp_path / "parts") == whole


@pytest.mark.slow
def test_a_checkpoint_without_names_goes_on(noise_recipe, tmp_path, stop_after):
    """As versions before 0.2 wrote them: arrays by number, "" for what was not measured."""
    recipe = dataclasses.replace(noise_recipe, steps_per_execution=1, evaluate_every=2)
    whole = keras_rescnet.train(recipe, tmp_path / "whole")
    stop_after(7)
    with pytest.raises(SystemExit):
        keras_rescnet.train(recipe, tmp_path / "parts")
    (last,) = sorted((tmp_path / "parts" / "checkpoints").glob("step-00000007*"))
    with np.load(last) as file:
        facts = json.loads(str(file["facts"]))
        arrays = [file[name] for name in file.files if name != "facts"]
    assert facts["history"][0]["test_loss"] is None
    facts["history"][0] = {k: "" if v is None else v for k, v in facts["history"][0].items()}
    del facts["recipe"]
    payload = io.BytesIO()
    names = {f"array_{i:05d}": array for i, array in enumerate(arrays)}
    np.savez(payload, facts=np.array(json.dumps(facts)), **names)
    last.unlink()
    digest = hashlib.sha256(payload.getvalue()).hexdigest()[:32]
    last.with_name(f"step-00000007.{digest}.npz").write_bytes(payload.getvalue())
    assert keras_rescnet.train(recipe, tmp_path / "parts") == whole


def test_a_checkpoint_of_another_model_is_refused(noise_recipe, tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").mkdir()
    checkpoints.save(RunState(3), {"dense/kernel": np.zeros(3)})
    checkpoints.close()
    message = r"step 3 must hold the \d+ arrays of this model and optimizer. Received: 1 arrays"
    with pytest.raises(Mistake, match=message) as caught:
        keras_rescnet.train(noise_recipe, tmp_path)
    assert "\n" not in str(caught.value)
