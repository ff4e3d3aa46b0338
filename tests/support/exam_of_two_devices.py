"""Trains on a CPU that is split into two devices; what comes out, as JSON, for test_devices.py."""

import dataclasses
import functools
import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.data.ops import iterator_ops

import keras_rescnet as kr
from keras_rescnet.data import evaluation_batches
from keras_rescnet.data.array_examples import ArrayExamples
from keras_rescnet.models.complexity import count_parameters
from keras_rescnet.training import metrics, setup
from keras_rescnet.training.data import RunData
from keras_rescnet.training.engines import Task
from keras_rescnet.training.engines.tensorflow import Engine, _sum_no_more
from keras_rescnet.training.engines.tensorflow_steps import train_step
from support import noise

COMPARED = {
    "plain": {},
    "clipped, averaged": {"global_clipnorm": 0.01, "ema_momentum": 0.5},
    "in parts": {"gradient_accumulation_steps": 2},
    "adamw": {"optimizer": kr.optimizers.AdamW, "learning_rate": 0.01, "global_clipnorm": 0.1},
    "frozen": {"trainable": ("dense/",), "global_clipnorm": 0.01, "ema_momentum": 0.5},
    "loss scale": {"precision": "mixed_float16", "global_clipnorm": 0.01},
    "overflow": {"precision": "mixed_float16", "scale": 2.0**60},
    "muon": {"optimizer": kr.optimizers.Muon, "learning_rate_multipliers": {"bias": 0.5}},
}


def model(input_shape, classes):
    """Without batch normalization, so that the order of rows within a batch decides nothing."""
    inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(4, 3, strides=4, kernel_regularizer=keras.regularizers.L2(0.01))(inputs)
    x = keras.layers.Flatten()(kr.layers.GCLU()(x))
    return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32")(x))


class Reduced:
    """Counts the numbers that replicas send each other, while a step is traced."""

    def __enter__(self):
        self.count, self.original = 0, tf.distribute.ReplicaContext.all_reduce

        def all_reduce(context, operation, value, *arguments):
            others = context.num_replicas_in_sync - 1  # every replica is traced, and sends to them
            numbers = sum(int(np.prod(tensor.shape)) for tensor in tf.nest.flatten(value))
            self.count += numbers * others / context.num_replicas_in_sync
            return self.original(context, operation, value, *arguments)

        tf.distribute.ReplicaContext.all_reduce = all_reduce
        return self

    def __exit__(self, *_):
        tf.distribute.ReplicaContext.all_reduce = self.original


class Autotuned:
    """Counts the iterators that are made with a thread to tune them."""

    def __enter__(self):
        self.count, self.original = 0, iterator_ops.OwnedIterator.__init__

        def __init__(iterator, dataset=None, *arguments, **options):
            if dataset is not None:
                self.count += dataset.options().autotune.enabled is not False
            self.original(iterator, dataset, *arguments, **options)

        iterator_ops.OwnedIterator.__init__ = __init__
        return self

    def __exit__(self, *_):
        iterator_ops.OwnedIterator.__init__ = self.original


def train(devices, scale=None, **changes):
    """Returns what three steps on so many devices leave."""
    recipe = dataclasses.replace(noise.recipe, model=model, **changes)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(recipe.precision)
    engine, run_data = Engine(devices), RunData(recipe)
    with engine.scope():
        built = setup.build_model(recipe, devices)
        optimizer = setup.build_optimizer(recipe, built)
    keras.config.set_dtype_policy("float32")
    if scale is not None:
        optimizer.dynamic_scale.assign(scale)
    sizes = {"batch_size": 8, "accumulation_steps": recipe.gradient_accumulation_steps}
    engine.build(Task(built, optimizer, metrics.statistics, metrics.statistics, **sizes))
    with Autotuned() as autotuned:
        engine.feed(functools.partial(run_data.train_batches, 0, 3))
    with Reduced() as reduced:
        sums = engine.steps([recipe.learning_rate] * 3)
    if recipe.trainable is not None:  # what devices share before is the frozen weights, too
        engine.evaluate(run_data.test_batches)
    return {
        "sums": sums.tolist(),
        "arrays": {name: array.tolist() for name, array in engine.variables().items()},
        "loss_scale": engine.loss_scale(),
        "reduced": reduced.count,
        "autotuned": autotuned.count,
        "parameters": count_parameters(built),
    }


def many_pictures(dataset, split, data_dir=None):
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (400, *dataset.image_shape), "uint8")
    names = tuple(map(str, range(dataset.classes)))
    return ArrayExamples(dataset, images, generator.integers(0, dataset.classes, 400), names)


def tested(folder):
    """Returns the results of a run on two devices, and the same of its saved model."""
    dataset = dataclasses.replace(noise.recipe.dataset, read=many_pictures)
    recipe = dataclasses.replace(noise.recipe, dataset=dataset, epochs=2, steps_per_epoch=4)
    results = kr.train(recipe, folder, devices=2)
    saved = keras.models.load_model(pathlib.Path(folder) / "model.keras")
    losses, hits = [], []
    for batch in evaluation_batches(many_pictures(dataset, "test"), batch_size=8):
        logits = saved(batch["images"], training=False).numpy().astype("float64")
        truth = batch["labels"].numpy().argmax(1)
        log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        losses += (-log[np.arange(len(truth)), truth]).tolist()
        hits += (logits.argmax(1) == truth).tolist()
    return {"run": results, "loss": np.mean(losses), "accuracy": np.mean(hits)}


def collectives():
    """Returns the numbers in each collective operation of one device in a step, traced alone.

    A strategy of its own: an engine's adds up on one device where there are CPUs alone.
    """
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    layers = [keras.layers.Dense(1024, use_bias=False) for _ in range(16)]  # of 4 MiB each
    with strategy.scope():
        built = keras.Sequential([keras.Input((1024,)), *layers])
        optimizer = kr.optimizers.SGD(0.1, momentum=0.9)
        optimizer.build(built.trainable_variables)
    _sum_no_more(optimizer)
    task = Task(built, optimizer, metrics.statistics, metrics.statistics, batch_size=4)

    @tf.function(autograph=False)
    def step(batch):
        return strategy.run(functools.partial(train_step, task), args=(batch,))

    rows = tf.TensorSpec((2, 1024))
    operations = step.get_concrete_function({"images": rows, "labels": rows}).graph.get_operations()
    found = [op for op in operations if op.type.startswith("Collective")]
    return [op.inputs[0].shape.num_elements() for op in found if op.device.endswith("CPU:1")]


if __name__ == "__main__":
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    found = {
        name: [train(devices, **changes) for devices in (1, 2)]
        for name, changes in COMPARED.items()
    }
    found["collectives"] = collectives()
    found["tested"] = tested(sys.argv[1])
    print(json.dumps(found))
