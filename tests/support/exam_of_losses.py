"""Trains for losses of all kinds on one device and on two; what comes out, as JSON.

In TensorFlow or JAX, whichever is Keras's backend; two devices are two halves of the CPU.
"""

import dataclasses
import functools
import json
import sys

import keras
import numpy as np

import keras_rescnet as kr
from keras_rescnet.training import setup
from keras_rescnet.training.data import RunData
from keras_rescnet.training.engines import Task, make_engine
from keras_rescnet.training.losses import build_losses, build_teacher
from keras_rescnet.training.metrics import ClassMetrics, TagMetrics
from support import noise, tagged


def teacher(input_shape, classes):
    """A model whose weights are a function of their places."""
    return with_known_weights(tagged.model(input_shape, classes))


def with_known_weights(model):
    for number, variable in enumerate(model.weights):
        generator = np.random.default_rng(number)
        variable.assign(0.1 * generator.standard_normal(variable.shape).astype("float32"))
    return model


tags = dataclasses.replace(tagged.recipe, learning_rate=0.01)
classes = dataclasses.replace(noise.recipe, model=tagged.model, learning_rate=0.01)
CASES = {
    "tags in parts": dataclasses.replace(tags, gradient_accumulation_steps=2),
    "focal tags in bfloat16": dataclasses.replace(
        tags, loss=kr.losses.binary_focal_crossentropy, precision="mixed_bfloat16"
    ),
    "loss of keras": dataclasses.replace(
        tags, loss=keras.losses.BinaryFocalCrossentropy(from_logits=True), class_weights=None
    ),
    "weighted classes": dataclasses.replace(classes, class_weights={"3": 5.0}, label_smoothing=0.1),
    "distillation": dataclasses.replace(
        classes,
        loss=kr.losses.Distillation(teacher, temperature=3.0),
        gradient_accumulation_steps=2,
    ),
}


def train(recipe, devices):
    """Returns what three steps on so many devices leave, and what is predicted then."""
    keras.config.set_dtype_policy(recipe.precision)
    engine, run_data = make_engine(devices), RunData(recipe)
    with engine.scope():
        model = with_known_weights(setup.build_model(recipe, devices))
        optimizer = setup.build_optimizer(recipe, model)
        taught = build_teacher(recipe)
    keras.config.set_dtype_policy("float32")
    losses = build_losses(recipe, run_data.train.class_names)
    metrics = (TagMetrics if recipe.dataset.multi_label else ClassMetrics)(losses)
    engine.build(
        Task(
            model,
            optimizer,
            metrics.train_statistics,
            metrics.test_statistics,
            recipe.batch_size,
            recipe.gradient_accumulation_steps,
            taught,
        )
    )
    engine.feed(functools.partial(run_data.train_batches, 0, 3))
    sums = engine.steps([recipe.learning_rate] * 3)
    labels, logits = engine.predict(run_data.test_batches)
    order = np.lexsort(np.round(logits, 3).T)
    before = None if taught is None else teacher((32, 32, 3), 10)
    return {
        "sums": sums.tolist(),
        "arrays": [np.asarray(v.value, "float32").tolist() for v in model.trainable_variables],
        "names": list(engine.variables()),
        "test": metrics.of_test(engine, run_data.test_batches, len(run_data.test)),
        "labels": labels[order].tolist(),
        "logits": logits[order].tolist(),
        "teacher_moved": before is not None
        and not all(
            np.array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
            for a, b in zip(before.weights, taught.weights, strict=True)
        ),
    }


if __name__ == "__main__":
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        half = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(cpu, [half, half])
    found = {name: [train(recipe, devices) for devices in (1, 2)] for name, recipe in CASES.items()}
    json.dump(found, sys.stdout)
