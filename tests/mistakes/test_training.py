"""Arguments of `train`, models, optimizers, environments and checkpoints that are refused."""

import contextlib
import dataclasses
import functools
import json
import socket

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet import models
from keras_rescnet.optimizers import SGD
from keras_rescnet.training import setup
from keras_rescnet.training.checkpoint import Checkpoints, match
from keras_rescnet.training.data import RunData
from keras_rescnet.training.engines import make_engine
from keras_rescnet.training.engines import tensorflow as tensorflow_engine
from keras_rescnet.training.engines.addresses import meet
from keras_rescnet.training.state import RunState
from support import noise

TRAIN = {  # positional and named arguments of `train`
    "file": (("recipe.py", "run"), {}, "must be a Recipe: load_recipe.*Received: recipe='recipe"),
    "nothing": ((None, "run"), {}, "must be a Recipe. Received: recipe=None"),
    "dict": (({"epochs": 3}, "run"), {}, "must be a Recipe. Received: recipe={'epochs': 3}"),
    "the class": ((kr.Recipe, "run"), {}, "must be a Recipe. Received: recipe=<class"),
    "a model": ((models.CifarResNet8, "run"), {}, "must be a Recipe. Received: recipe=<function"),
    "no folder": ((noise.recipe, None), {}, "`workdir` must be .* folder. Received: workdir=None"),
    "a number": ((noise.recipe, 3), {}, "`workdir` must be .* folder. Received: workdir=3"),
    "empty name": ((noise.recipe, ""), {}, "`workdir` must be .* folder. Received: workdir=''"),
    "data": ((noise.recipe, "run"), {"data_dir": 5}, "`data_dir` must .* Received: data_dir=5"),
    "empty data": ((noise.recipe, "run"), {"data_dir": ""}, "`data_dir` must .* data_dir=''"),
    "devices": ((noise.recipe, "run"), {"devices": 0}, "`devices` must .* devices=0"),
    "long": (("a" * 9999, "run"), {}, r"must be a Recipe.*\.\.\.\."),
}


@pytest.mark.parametrize("case", TRAIN)
def test_train(case, assert_refused, tmp_path, monkeypatch):
    arguments, options, pattern = TRAIN[case]
    monkeypatch.chdir(tmp_path)
    assert_refused(lambda: kr.train(*arguments, **options), pattern)
    assert not list(tmp_path.iterdir())


ENGINES = [
    ({"devices": 0}, "`devices` must be a positive integer. Received: devices=0"),
    ({"devices": -1}, "Received: devices=-1"),
    ({"devices": True}, "Received: devices=True"),
    ({"devices": 1.5}, "Received: devices=1.5"),
    ({"devices": "2"}, "Received: devices='2'"),
    ({"devices": [0, 1]}, r"Received: devices=\[0, 1\]"),
    ({"devices": 99}, "has 1 CPU devices. Received: devices=99"),
    ({"timeout": 0}, "`timeout` must be a number, at least 1. Received: timeout=0"),
    ({"timeout": None}, "Received: timeout=None"),
    ({"timeout": "300"}, "Received: timeout='300'"),
    ({"timeout": float("nan")}, "Received: timeout=nan"),
]


@pytest.mark.parametrize(("arguments", "pattern"), ENGINES)
def test_engine(arguments, pattern, assert_refused):
    assert_refused(lambda: make_engine(**arguments), pattern)


def config(cluster=None, **task):
    hosts = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]} if cluster is None else cluster
    return json.dumps({"cluster": hosts, "task": {"type": "worker", "index": 0, **task}})


TF_CONFIGS = {
    "no JSON": ("{cluster: ", "must be JSON"),
    "empty text": (" ", "must be JSON"),
    "a list": ("[1, 2]", "must be a JSON object"),
    "a number": ("3", "must be a JSON object"),
    "a list of hosts": (config(["a:1", "b:1"]), '"cluster" of the form'),
    "parameter servers": (config({"worker": ["a:1"], "ps": ["b:1"]}), '"cluster" of the form'),
    "a host": (config({"worker": "a:1"}), 'every process of its "cluster" as "host:port"'),
    "no port": (config({"worker": ["a", "b"]}), 'as "host:port"'),
    "wordy port": (config({"worker": ["a:http", "b:1"]}), 'as "host:port"'),
    "port 0": (config({"worker": ["a:0", "b:1"]}), 'as "host:port"'),
    "port 65536": (config({"worker": ["a:65536", "b:1"]}), 'as "host:port"'),
    "a space": (config({"worker": ["a b:1", "b:1"]}), 'as "host:port"'),
    "twice": (config({"worker": ["a:1", "a:1"]}), "once, and at most one"),
    "two chiefs": (config({"chief": ["a:1", "b:1"]}), "once, and at most one"),
    "no task": (json.dumps({"cluster": {"worker": ["a:1", "b:1"]}}), 'must have a "task"'),
    "unknown task": (config(type="evaluator"), 'must have a "task"'),
    "wordy index": (config(index="0"), "must have an integer"),
    "no index": (config(index=None), "must have an integer"),
    "a flag": (config(index=True), "must have an integer"),
    "index too large": (config(index=2), 'an "index" from 0 to 1'),
    "index below 0": (config(index=-1), 'an "index" from 0 to 1'),
    "a thousand hosts": (config({"worker": ["a:1"] * 1000}), r"once.*\.\.\.\.$"),
}


@pytest.mark.parametrize("case", TF_CONFIGS)
def test_tf_config(case, assert_refused, monkeypatch):
    text, pattern = TF_CONFIGS[case]
    monkeypatch.setenv("TF_CONFIG", text)
    assert_refused(tensorflow_engine.Engine, f"`TF_CONFIG` .*{pattern}")


NAMES = ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
KERAS_DISTRIBUTION = {
    "no number": ("a:1,b:1", None, "0", "NUM_PROCESSES` must be the number"),
    "a word": ("a:1,b:1", "two", "0", "Received: KERAS_DISTRIBUTION_NUM_PROCESSES=two"),
    "no processes": ("a:1,b:1", "0", "0", "Received: KERAS_DISTRIBUTION_NUM_PROCESSES=0"),
    "below 0": ("a:1,b:1", "-2", "0", "Received: KERAS_DISTRIBUTION_NUM_PROCESSES=-2"),
    "a fraction": ("a:1,b:1", "2.0", "0", "Received: KERAS_DISTRIBUTION_NUM_PROCESSES=2.0"),
    "no place": ("a:1,b:1", "2", None, "PROCESS_ID` must be the place.*=nothing"),
    "wordy place": ("a:1,b:1", "2", "first", "PROCESS_ID` must be .*PROCESS_ID=first"),
    "place too large": ("a:1,b:1", "2", "2", "from 0 to 1: .*PROCESS_ID=2"),
    "no addresses": (None, "2", "0", "JOB_ADDRESSES` must be 2 addresses.*=nothing"),
    "no port": ("a,b", "2", "0", "JOB_ADDRESSES` must be 2 addresses.*=a,b"),
    "too few": ("a:1,b:1", "3", "0", "JOB_ADDRESSES` must be 3 addresses.*=a:1,b:1"),
    "semicolons": ("a:1;b:1", "2", "0", "JOB_ADDRESSES` must be 2 addresses.*=a:1;b:1"),
}


@pytest.mark.parametrize("case", KERAS_DISTRIBUTION)
def test_keras_distribution(case, assert_refused, monkeypatch):
    from keras_rescnet.training.engines.jax import Engine

    *values, pattern = KERAS_DISTRIBUTION[case]
    for name, value in zip(NAMES, values, strict=True):
        if value is not None:
            monkeypatch.setenv(f"KERAS_DISTRIBUTION_{name}", value)
    assert_refused(Engine, f"KERAS_DISTRIBUTION_.*{pattern}.*multi_machine|{pattern}")


@pytest.mark.parametrize("library", ["tensorflow", "jax"])
def test_port(library, assert_refused, monkeypatch):
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        if library == "tensorflow":
            call = functools.partial(meet, [address, "127.0.0.1:1"], 0, 1)
        else:
            from keras_rescnet.training.engines.jax import Engine

            for name, value in zip(NAMES, (address, "2", "0"), strict=True):
                monkeypatch.setenv(f"KERAS_DISTRIBUTION_{name}", value)
            call = Engine
        assert_refused(call, f"port .* must be free.*Received: {address} ")


def built(*last, inputs=1, outputs=1, classes=10, shape=(32, 32, 3)):
    """Returns a builder of a model that ends in `last`."""

    def build(input_shape, classes=classes):
        images = [keras.Input(shape) for _ in range(inputs)]
        x = keras.layers.Flatten()(images[0])
        ends = [
            keras.layers.Dense(count, name=f"logits{i}")(x)
            for i, count in enumerate([last[0]] * outputs)
        ]
        for layer in last[1:]:
            ends = [layer(end) for end in ends]
        return keras.Model(images, ends if outputs > 1 else ends[0])

    return build


class Subclassed(keras.Model):
    """A model whose layers Keras does not know before it is called."""

    def __init__(self, input_shape, classes):
        super().__init__()
        self.dense = keras.layers.Dense(classes)

    def call(self, inputs):
        return self.dense(keras.ops.reshape(inputs, (-1, 3072)))


def unbuilt(input_shape, classes):
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(classes)])


def weightless(input_shape, classes):
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, keras.ops.tile(keras.ops.mean(inputs, (1, 2))[:, :1], (1, classes)))


def returning(value):
    return lambda input_shape, classes: value


class Scale(keras.layers.Layer):
    """A layer that Keras cannot make again: its `get_config` lacks the function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)

    def compute_output_shape(self, shape):
        return shape


RESNET = models.CifarResNet8
MODELS = {
    "not saved": (
        built(10, Scale(lambda x: 2.0 * x)),
        "that Keras can save: .* Received: functional.*; NotImplementedError: Object Scale was",
    ),
    "nothing": (returning(None), r"keras.Model with logits of shape \(None, 10\). Received: None"),
    "a list": (returning([1]), r"must return a keras.Model.*Received: \[1\]"),
    "a layer": (returning(keras.layers.Dense(10)), "must return a keras.Model.*Received: <Dense"),
    "a builder": (returning(RESNET), "must return a keras.Model.*Received: <function"),
    "classes": (built(2), r"logits of shape \(None, 10\). Received: \(None, 2\)"),
    "a map": (built(10, keras.layers.Reshape((1, 10))), r"Received: \(None, 1, 10\)"),
    "two inputs": (built(10, inputs=2), "one input and one output.*Received: Functional with 2"),
    "two outputs": (built(10, outputs=2), "one input and one output.*Received: Functional"),
    "another size": (built(10, shape=(8, 8, 3)), r"of images of shape \(32, 32, 3\). Received: in"),
    "subclassed": (Subclassed, "functional or Sequential.*Received: Subclassed with 0"),
    "unbuilt": (unbuilt, "functional or Sequential.*Received: Sequential with 0"),
    "weightless": (weightless, "with weights to train. Received: functional"),
    "softmax": (built(10, keras.layers.Softmax()), "must return logits.*ends in softmax"),
    "sigmoid": (built(10, keras.ops.sigmoid), "must return logits.*ends in sigmoid"),
    "activation": (functools.partial(RESNET, activation="gleu"), "Received: activation=.gleu"),
    "a raised error": (
        returning,
        "`model` must take input_shape, classes as named.*Received: <fun",
    ),
    "no arguments": (
        lambda: None,
        "`model` must take input_shape, classes as named.*Received: <fu",
    ),
    "other arguments": (lambda shape, labels: None, "`model` must take input_shape, classes as na"),
    "partial classes": (
        functools.partial(RESNET, classes=100),
        "leave `classes` out, or have that of the dataset, 10. Received: classes=100",
    ),
    "partial shape": (
        functools.partial(RESNET, input_shape=(224, 224, 3)),
        r"leave `input_shape` out, .* \(32, 32, 3\). Received: input_shape=\(224, 224, 3\)",
    ),
    "partial of partial": (
        functools.partial(functools.partial(RESNET, classes=3), activation="relu"),
        "leave `classes` out, .* Received: classes=3 in its partial",
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_model(case, assert_refused):
    model, pattern = MODELS[case]
    recipe = dataclasses.replace(noise.recipe, model=model)
    assert_refused(lambda: setup.build_model(recipe, 1), f"`model`.*{pattern}|{pattern}")


def test_drop_path(assert_refused):
    recipe = dataclasses.replace(noise.recipe, drop_path=0.1)
    assert_refused(
        lambda: setup.build_model(recipe, 1), "must take input_shape, classes, drop_path"
    )
    recipe = dataclasses.replace(recipe, model=functools.partial(models.ViTTiny, drop_path=0.2))
    pattern = "leave `drop_path` out, .* recipe's drop_path, 0.1. Received: drop_path=0.2"
    assert_refused(lambda: setup.build_model(recipe, 1), pattern)


def taking_rates(learning_rate):
    return SGD(learning_rate)


def following_a_schedule(learning_rate):
    return SGD(keras.optimizers.schedules.CosineDecay(learning_rate, 100))


def leaving_out(learning_rate, **options):
    return SGD(learning_rate)


OPTIMIZERS = {
    "a schedule": (
        {"optimizer": following_a_schedule},
        "leave the schedule to the recipe: `decay`.*Received: .*LearningRateSchedule from <func",
    ),
    "averages left out": (
        {"optimizer": leaving_out, "ema_momentum": 0.9},
        "must pass `use_ema` on .* Received: use_ema=False instead of True from <function",
    ),
    "norm left out": (
        {"optimizer": leaving_out, "global_clipnorm": 1.0},
        "`global_clipnorm` on .* Received: global_clipnorm=None instead of 1.0 from <function",
    ),
    "nothing": ({"optimizer": lambda learning_rate: None}, "must return a Keras opt.*: None from"),
    "the class": ({"optimizer": lambda **options: SGD}, "must return a Keras opt.*<class"),
    "options": (
        {"optimizer": taking_rates, "global_clipnorm": 1.0},
        "`optimizer` failed .*unexpected keyword argument .global_clipnorm.*Received: ",
    ),
    "momentum": ({"optimizer": functools.partial(SGD, momentum=1.5)}, "Received: .*momentum=1.5"),
    "two norms": (
        {"optimizer": functools.partial(SGD, clipnorm=1.0), "global_clipnorm": 1.0},
        "`optimizer` failed .*Only one of `clipnorm`.*Received: optimizer=functools.partial",
    ),
    "unknown option": (
        {"optimizer": functools.partial(keras.optimizers.Adam, beta=0.9)},
        "`optimizer` failed .*not recognized.*beta.*Received: optimizer=functools.partial",
    ),
    "no such name": ({"exclude_from_weight_decay": ("gama",)}, "no weight has.*'gama'.*Received: "),
    "a bracket": ({"exclude_from_weight_decay": ("(",)}, r"regular expressions. Received: '\('"),
    "a number": ({"exclude_from_weight_decay": (3,)}, "regular expressions. Received: 3"),
    "empty": ({"exclude_from_weight_decay": ("",)}, "no weight has a name with ''"),
}


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_optimizer(case, assert_refused):
    changes, pattern = OPTIMIZERS[case]

    def call():
        recipe = dataclasses.replace(noise.recipe, **changes)  # some are refused here already
        return setup.build_optimizer(recipe, noise.model((32, 32, 3), 10, 0.5))

    assert_refused(call, pattern)


def failing(path):
    raise KeyError(path)


TRAINABLE = {
    "a text": ("logits", "`trainable` must be tuple or a function or None.*='logits'"),
    "a number": ((3,), "tuple of regular expressions. Received: 3"),
    "a bracket": (("logits/", "("), r"tuple of regular expressions. Received: '\('"),
    "no such name": (
        ("logits/", "logit$"),
        r"found in paths of .*'small/logits/bias'; none has 'logit\$'. Received: .*logits/",
    ),
    "empty": (("",), "found in paths of weights, .* none has ''"),
    "none": ((), r"must leave weights to train. .*small/conv2d/kernel.*Received: trainable=\(\)"),
    "statistics": (("moving_",), "must leave weights to train. .*Received: trainable=.'moving_'"),
    "a function": (lambda path: False, "must leave weights to train. .*Received: .*function"),
    "that fails": (failing, "`trainable` failed in .*test_training.py:.*KeyError"),
}


@pytest.mark.parametrize("case", TRAINABLE)
def test_trainable(case, assert_refused):
    value, pattern = TRAINABLE[case]

    def call():
        recipe = dataclasses.replace(noise.recipe, trainable=value)  # some are refused here already
        return setup.build_optimizer(recipe, noise.model((32, 32, 3), 10, 0.5))

    assert_refused(call, pattern)


@pytest.mark.parametrize(
    ("batch_size", "steps", "replicas"), [(8, 1, 3), (8, 2, 3), (8, 4, 4), (6, 1, 4)]
)
def test_batch(batch_size, steps, replicas, assert_refused):
    recipe = dataclasses.replace(
        noise.recipe, batch_size=batch_size, gradient_accumulation_steps=steps
    )
    pattern = f"Received: batch_size={batch_size}, devices={replicas}, gradient_accum.*={steps}"
    assert_refused(lambda: setup.check_batch(recipe, replicas), pattern)


def untested(dataset, split, data_dir=None):
    examples = noise.random_pictures(dataset, split)
    if split == "train":
        return examples
    return kr.data.ArrayExamples(
        dataset, examples.images[:0], examples.labels[:0], examples.class_names
    )


DATA = {
    "batch": ({"batch_size": 41}, "40 training images, 0 steps per epoch. Received: batch_size=41"),
    "steps": ({"steps_per_epoch": 6}, "5 steps per epoch. Received: .*steps_per_epoch=6"),
    "no transforms": ({"augment": lambda: None}, "must return a list .*Received: None"),
    "one transform": (
        {"augment": kr.augment.RandomFlip},
        "must return a list of transforms. Received: <keras_rescnet.*RandomFlip",
    ),
    "nothing to test on": (
        {"dataset": dataclasses.replace(noise.recipe.dataset, read=untested)},
        "Received: int64 of shape ",
    ),
}


@pytest.mark.parametrize("case", DATA)
def test_run_data(case, assert_refused):
    changes, pattern = DATA[case]
    assert_refused(lambda: RunData(dataclasses.replace(noise.recipe, **changes)), pattern)


VARIABLES = {"kernel": np.zeros((2, 3)), "bias": np.zeros(3)}
ARRAYS = {
    "none": ({}, "Received: 0 arrays, and the first that differs is 'kernel'"),
    "another": ({"gamma": np.zeros(3)}, "Received: 1 arrays, .*'kernel', none there"),
    "shape": ({**VARIABLES, "bias": np.zeros(4)}, r"'bias', of shape \(4,\) there and .*\(3,\)"),
    "more": ({**VARIABLES, "gamma": np.zeros(4)}, "3 arrays, .*'gamma', .*none here"),
    "without names": ({"array_00000": np.zeros(7)}, r"'kernel', of shape \(7,\) there"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays(case, assert_refused):
    arrays, pattern = ARRAYS[case]
    assert_refused(lambda: match(arrays, VARIABLES, 5), f"step 5 must hold the 2 .*{pattern}")


def test_checkpoint_of_another_recipe(assert_refused, tmp_path):
    checkpoints = Checkpoints(tmp_path, digest="1" * 32)
    checkpoints.save(RunState(2), VARIABLES)
    checkpoints.close()
    other = Checkpoints(tmp_path, digest="2" * 32)
    assert_refused(other.last, "checkpoints of another recipe.*Received: step-00000002.*11111111")


class Together:
    """An engine of two processes, of which the other one has other facts."""

    chief, processes = True, 2

    def __init__(self, place):
        self.place = place

    def gather(self, text):
        return [text, text[: self.place] + "?" + text[self.place + 1 :]]


@pytest.mark.parametrize(("place", "name"), [(0, "recipe"), (63, "recipe"), (64, "versions")])
def test_processes(place, name, assert_refused):
    pattern = f"All 2 processes .* same recipe and versions.* another {name} in process 1"
    call = functools.partial(setup.check_same, Together(place), recipe={"seed": 1}, versions={})
    assert_refused(call, pattern)


def failing_views(images):
    raise KeyError("left")


VIEWS = {
    "a view": (lambda images: images, "Received: 2 views of .*which are no pairs"),
    "no weights": (lambda images: [images, images], "Received: 2 views of .*which are no pairs"),
    "too much": (lambda images: [(1, images), (1, images)], r"add up to 1.* with weights \[1, 1\]"),
    "none": (lambda images: [], r"Received: 0 views of .* with weights \[\]"),
    "a wordy weight": (lambda images: [("1", images)], r"with weights \['1'\]"),
    "an error": (failing_views, "recipe's `test_views` failed in .*KeyError: 'left'"),
}


@pytest.mark.parametrize("case", VIEWS)
def test_views(case, tmp_path, assert_refused):
    """Before the first step, and not after an epoch."""
    views, pattern = VIEWS[case]
    recipe = dataclasses.replace(noise.recipe, test_views=views)
    assert_refused(lambda: kr.train(recipe, tmp_path / "run"), pattern)
    assert not list(tmp_path.rglob("log.csv"))


def test_views_that_are_a_name(assert_refused):
    model = noise.recipe.model(input_shape=(32, 32, 3), classes=10)
    call = functools.partial(kr.evaluate, model, noise.recipe.dataset, views="mirrored")
    assert_refused(call, "`views` must be a function such as .* Received: 'mirrored'")
