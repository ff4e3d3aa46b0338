"""What GCLU costs in every way of running a network, beside ReLU and Keras's exact GELU.

    python benchmarks/modes.py [--rounds 11]

ResNet-8, batches of 128: a bare compiled step in float32 and in mixed_bfloat16, Keras's `fit`, a
step on two replicas under MirroredStrategy, and a call of the exported SavedModel.
"""

import argparse
import os
import tempfile
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from growth import noise, replicated
from keras_step import in_precision, keras_step
from measurement import alternate, arguments_of, milliseconds, publish, ratio, table

from keras_rescnet import export, gclu, models
from keras_rescnet.optimizers import SGD

ACTIVATIONS = {"GCLU": gclu, "ReLU": "relu", "GELU": "gelu"}
FIT_STEPS = 5


def bare(build, policy="float32"):
    """A step of a bare `tf.function`."""
    return keras_step(partial(in_precision, policy, build), *noise(128))


def fitted(build):
    """An epoch of `fit`."""
    model = build()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(SGD(0.01, momentum=0.9, weight_decay=5e-4), loss)
    images, labels = noise(128 * FIT_STEPS)
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(128, drop_remainder=True)
    options = tf.data.Options()
    options.autotune.enabled = False  # the end of an autotuned iterator can block
    return partial(model.fit, dataset.cache().with_options(options), verbose=0)


def exported(build):
    """A call of the SavedModel."""
    with tempfile.TemporaryDirectory() as folder:
        export.saved_model(build(), folder, mean=(0.5,) * 3, std=(0.25,) * 3)
        served = tf.saved_model.load(folder)
    pixels = tf.constant(noise(128)[0])
    return lambda: served.serve(pixels).numpy()


MODES = {
    "compiled step": bare,
    "compiled step, mixed_bfloat16": partial(bare, policy="mixed_bfloat16"),
    f"`fit`, {FIT_STEPS} steps": fitted,
    "MirroredStrategy, 2 replicas": partial(replicated, 2),
    "SavedModel, per call": exported,
}


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    arguments = arguments_of(parser)
    (cpu,) = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, devices)
    rows, figures = [], {}
    for mode, contestant in MODES.items():
        contestants = {
            name: contestant(partial(models.CifarResNet8, activation=activation))
            for name, activation in ACTIVATIONS.items()
        }
        times = alternate(contestants, arguments.rounds)
        figures |= {
            f"{mode}: GCLU / {other}": ratio(times, "GCLU", other) for other in ("ReLU", "GELU")
        }
        rows.append(
            (
                mode,
                *(f"{milliseconds(times, name):.1f}" for name in ACTIVATIONS),
                f"{figures[f'{mode}: GCLU / ReLU']:.2f}",
                f"{figures[f'{mode}: GCLU / GELU']:.2f}",
            )
        )
    head = ("", *(f"{name}, ms" for name in ACTIVATIONS), "GCLU / ReLU", "GCLU / GELU")
    publish(
        arguments.json,
        table(head, rows) + f"\n\nResNet-8, batches of 128, {arguments.rounds} rounds.",
        figures,
    )


if __name__ == "__main__":
    main()
