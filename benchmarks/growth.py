"""How the time of a training step grows.

    python benchmarks/growth.py [--rounds 5] [--plot FILE]

With the batch size, the side of the images, the depth of the network, and the number of replicas
that share a batch. Replicas are logical devices of one CPU and share its cores: what they show is
the cost of replication, not its gain.
"""

import argparse
import os
import statistics
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from keras_step import keras_step
from measurement import alternate, arguments_of, publish, table

from keras_rescnet import Recipe, gclu, models
from keras_rescnet.data import CIFAR10
from keras_rescnet.layers import RCLayer
from keras_rescnet.optimizers import SGD
from keras_rescnet.training import metrics, setup
from keras_rescnet.training.engines import Task
from keras_rescnet.training.engines.tensorflow import Engine

REPLICAS = (1, 2, 4)
Y_TICKS = (10, 20, 50, 100, 200, 500)
MODEL = partial(models.CifarResNet8, activation=gclu)
DEEP = partial(
    models.ResNet, widths=(16, 32, 64), small_images=True, input_shape=(32, 32, 3), classes=10
)


def noise(batch, side=32):
    """Returns a batch of images and labels."""
    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch, side, side, 3)).astype("float32")
    return images, generator.integers(0, 10, batch)


def replicated(replicas, build_model=MODEL, batch=128):
    """Returns a function that makes one step on so many devices."""
    engine = Engine(devices=replicas)
    optimizer = partial(SGD, momentum=0.9, weight_decay=5e-4)
    recipe = Recipe(
        dataset=CIFAR10,
        model=build_model,
        optimizer=optimizer,
        batch_size=batch,
        epochs=1,
        learning_rate=0.01,
    )
    with engine.scope():
        model = setup.build_model(recipe, replicas)
        optimizer = setup.build_optimizer(recipe, model)
    statistics = metrics.statistics
    engine.build(Task(model, optimizer, statistics, statistics, batch))
    images, labels = noise(batch)
    batches = {"images": images, "labels": np.eye(10, dtype="float32")[labels]}
    dataset = tf.data.Dataset.from_tensors(batches)
    dataset = dataset.map(
        lambda batch: {name: tf.ensure_shape(x, batches[name].shape) for name, x in batch.items()}
    )
    engine.feed(lambda num_shards, shard_index: dataset.cache().repeat())
    return partial(engine.steps, [recipe.learning_rate])


def sweeps():
    """Returns the sweeps: title to `{value: function that makes one step}`."""
    depths = {6 * blocks + 2: (blocks,) * 3 for blocks in (1, 3, 5, 9)}
    return {
        "batch size (ResNet-8 with GCLU)": {
            batch: keras_step(MODEL, *noise(batch)) for batch in (16, 32, 64, 128, 256, 512)
        },
        "side of the images (ResNet-8 with GCLU, batch 32)": {
            side: keras_step(partial(MODEL, input_shape=(side, side, 3)), *noise(32, side))
            for side in (16, 32, 64, 128)
        },
        "layers (ResNet, batch 64)": {
            layers: keras_step(partial(DEEP, blocks), *noise(64))
            for layers, blocks in depths.items()
        },
        "layers (ResCNet, batch 64)": {
            layers: keras_step(
                partial(DEEP, blocks, calibration=partial(RCLayer, reduction=4)),
                *noise(64),
            )
            for layers, blocks in depths.items()
        },
        "replicas (ResNet-8 with GCLU, batch 128 in all)": {
            replicas: replicated(replicas) for replicas in REPLICAS
        },
    }


def plot(file, measured):
    """Draws the sweeps on logarithmic axes, all of one height, so that slopes can be compared."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(9, 7), layout="constrained", sharey=True)
    figure.suptitle("Time of a training step, two CPU cores")
    panels = dict.fromkeys(title.split(" (")[0] for title in measured)
    for axis, panel in zip(axes.flat, panels, strict=True):
        sweeps = {title: times for title, times in measured.items() if title.startswith(panel)}
        for place, (title, times) in enumerate(sweeps.items()):
            values, heights = list(times), [1e3 * s for s in times.values()]
            label = title.split(" (")[1].rstrip(")")
            axis.loglog(values, heights, "o-", label=label)
            offset, vertical = ((0, 8), "bottom") if place else ((0, -8), "top")  # 2nd line above
            for value, height in zip(values, heights, strict=True):
                axis.annotate(
                    f"{height:.0f}",
                    (value, height),
                    offset,
                    textcoords="offset points",
                    ha="center",
                    va=vertical,
                )
            axis.set_xticks(values, values)
        axis.minorticks_off()
        axis.set(xlabel=panel, ylabel="ms per step", ylim=(8, 800))
        axis.set_yticks(Y_TICKS, Y_TICKS)
        axis.tick_params(labelleft=True)
        axis.margins(x=0.12)
        axis.legend(frameon=False, loc="upper left")
        axis.grid(alpha=0.3)
    figure.savefig(file, dpi=110)


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot", help="a PNG file")
    arguments = arguments_of(parser)
    (cpu,) = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration()] * max(REPLICAS)
    tf.config.set_logical_device_configuration(cpu, devices)

    measured = {}
    for title, steps in sweeps().items():
        times = alternate(steps, arguments.rounds)
        measured[title] = {value: statistics.median(seconds) for value, seconds in times.items()}
    rows = []
    for title, times in measured.items():
        first = next(iter(times.values()))
        rows += [
            (title if s == first else "", value, f"{1e3 * s:.1f}", f"{s / first:.2f}")
            for value, s in times.items()
        ]
    if arguments.plot:
        plot(arguments.plot, measured)
    head = ("growing", "value", "ms per step", "x the first")
    publish(arguments.json, table(head, rows) + f"\n\n{arguments.rounds} rounds.", {})


if __name__ == "__main__":
    main()
