"""A step of `recipes/cifar10_fast.py` here and in PyTorch, side by side.

    python benchmarks/fast.py [relu gelu gclu gelu-rc] [--rounds 5] [--batch 2000] [--threads 2]

Every round makes one step of each contestant, in a new order; a ratio is the median over the
rounds of one round's times. The step is all of the recipe's but its data: the network, forward and
backward, and Muon. PyTorch runs channels last, in float32 and in bfloat16, eager and compiled; its
best is the fastest of the four.
"""

import argparse
import os
import statistics
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import torch
import torch_airbench
from keras_step import in_precision, use_threads
from measurement import alternate, arguments_of, publish, ratio, table

from keras_rescnet import load_recipe
from keras_rescnet.training import setup

ARMS = ("relu", "gelu", "gclu", "gelu-rc")


def recipe_step(recipe, precision, images, labels):
    """Returns a function that makes one step of a bare `tf.function`."""
    build = partial(recipe.model, input_shape=images.shape[1:], classes=10)
    model = in_precision(precision, build)
    optimizer = setup.build_optimizer(recipe, model)
    values = [variable.value for variable in model.trainable_variables]
    images, labels = tf.constant(images), tf.one_hot(labels, 10)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            logits = model(images, training=True)
            losses = keras.losses.categorical_crossentropy(
                labels, logits, from_logits=True, label_smoothing=recipe.label_smoothing
            )
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, values), model.trainable_variables)
        return loss

    return lambda: float(step())


def contestants(arm, batch):
    """Returns the steps of an arm by name; those of PyTorch begin with its name."""
    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch, 32, 32, 3)).astype("float32")
    labels = generator.integers(0, 10, batch)
    recipe = load_recipe(f"cifar10_fast:{arm}")
    steps = {
        precision: recipe_step(recipe, precision, images, labels)
        for precision in ("mixed_bfloat16", "float32")
    }
    activation = arm.removesuffix("-rc")
    build = torch_airbench.with_rc_layers if arm != activation else torch_airbench.Airbench94
    for half in (False, True):
        for compiled in (False, True):
            name = f"PyTorch {'bfloat16' if half else 'float32'}{', compiled' * compiled}"
            steps[name] = torch_airbench.training_step(
                build(activation), images, labels, compiled=compiled, half=half
            )
    return steps


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arms", nargs="*", default=list(ARMS), metavar="arm")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = arguments_of(parser)
    use_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    rows, figures = [], {}
    for arm in arguments.arms:
        times = alternate(contestants(arm, arguments.batch), arguments.rounds)
        medians = {name: statistics.median(seconds) for name, seconds in times.items()}
        ours = min(("mixed_bfloat16", "float32"), key=medians.get)
        best = min((name for name in medians if name.startswith("PyTorch")), key=medians.get)
        for name, median in medians.items():
            speed = f"{arguments.batch / median:,.0f}"
            rows.append(
                (arm, name, f"{1e3 * median:,.0f}", speed, f"{ratio(times, name, best):.2f}")
            )
        figures[f"{arm}: here / PyTorch's best"] = ratio(times, ours, best)
        figures[f"{arm}: images/s"] = arguments.batch / medians[ours]
    head = ("arm", "", "ms per step", "images/s", "x PyTorch's best")
    notes = f"Batches of {arguments.batch}, {arguments.threads} threads, {arguments.rounds} rounds."
    publish(arguments.json, f"{table(head, rows)}\n\n{notes}", figures)


if __name__ == "__main__":
    main()
