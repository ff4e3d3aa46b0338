"""A training step here, in PyTorch and in plain Keras, side by side.

    python benchmarks/step.py [resnet rescnet gclu vgg vit bottleneck] [--rounds 7]
        [--threads 2]

Every round makes one step of each contestant of a comparison, in a new order, on as many
threads; a ratio is the median over the rounds of one round's times. On a machine with other work
compare with `--threads 1` too: PyTorch's threads wait for each other in every operation. The
PyTorch networks are in `torch_models.py` (channels last); SGD with momentum and weight decay, one
batch of noise, the input pipeline left out.

PyTorch runs in float32 and in bfloat16 (autocast), eager and compiled (`torch.compile`, which needs
a C++ compiler); what it has runs here in bfloat16 too (`mixed_bfloat16`). A figure "PyTorch's best
/ X" is the faster of eager and compiled by ours, both in one precision.

`plain` is the same network with Keras's own BatchNormalization. Two contestants are floors:
`a square` is the cheapest activation that has to keep its input as GCLU has, `forward only` a
ResCNet whose calibration leaves the gradient alone.
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
from keras_step import keras_step
from measurement import alternate, arguments_of, publish, ratio, table
from torch_models import GCLU, RCLayer, ViT, cifar_resnet, training_step, vgg16

from keras_rescnet import gclu, models
from keras_rescnet.gaussian import fused
from keras_rescnet.layers import RCLayer as CalibrationLayer


class Square(keras.layers.Layer):
    """`x |x|`, compiled and differentiated as GCLU is."""

    def call(self, inputs):
        """Returns the squares with the signs of `inputs`."""
        return _square(inputs)


@tf.custom_gradient
def _square(x):
    value = fused(lambda x: x * abs(x), forward=True)
    return value(x), partial(fused(lambda x, upstream: 2.0 * upstream * abs(x)), x)


class ForwardOnly(CalibrationLayer):
    """An RC Layer whose gradient is that of the identity."""

    def call(self, inputs):
        """Returns `inputs` with every response calibrated."""

        @tf.custom_gradient
        def calibrate(x):
            def gradient(upstream, variables=()):
                return upstream, [tf.zeros_like(variable) for variable in variables]

            return CalibrationLayer.call(self, x), gradient

        return calibrate(inputs)


PLAIN = partial(keras.layers.BatchNormalization, momentum=0.9, epsilon=1e-5)

HALF, COMPILED = ", bfloat16", ", compiled"

# name: batch size, contestants here, contestants in PyTorch
COMPARISONS = {
    "resnet": (
        128,
        {
            "ResNet-32": models.CifarResNet32,
            "ResNet-32, plain": partial(models.CifarResNet32, normalization=PLAIN),
        },
        {"ResNet-32": partial(cifar_resnet, 5)},
    ),
    "rescnet": (
        128,
        {
            "ResNet-32": models.CifarResNet32,
            "ResCNet-32": models.CifarResCNet32,
            "ResCNet-32, forward only": partial(
                models.CifarResNet32, calibration=partial(ForwardOnly, reduction=4)
            ),
        },
        {"ResCNet-32": partial(cifar_resnet, 5, calibration=RCLayer)},
    ),
    "gclu": (
        128,
        {
            "ResNet-8": models.CifarResNet8,
            "ResNet-8 + GCLU": partial(models.CifarResNet8, activation=gclu),
            "ResNet-8 + a square": partial(models.CifarResNet8, activation=Square()),
        },
        {"ResNet-8 + GCLU": lambda: cifar_resnet(1, activation=GCLU())},
    ),
    "vgg": (128, {"VGG-16": models.VGG16}, {"VGG-16": vgg16}),
    "vit": (128, {"ViT-Tiny": models.ViTTiny}, {"ViT-Tiny": ViT}),
    "bottleneck": (
        32,
        {"ResNet-50, CIFAR": models.CifarResNet50, "ResCNet-50, CIFAR": models.CifarResCNet50},
        {},
    ),
}


def compare(name, rounds):
    """Returns the batch size and the seconds of every contestant of a comparison."""
    batch, ours, theirs = COMPARISONS[name]
    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch, 32, 32, 3)).astype("float32")
    labels = generator.integers(0, 10, batch)
    steps = {title: keras_step(build, images, labels) for title, build in ours.items()}
    for title, build in theirs.items():
        steps[title + HALF] = keras_step(partial(in_bfloat16, ours[title]), images, labels)
        for half in ("", HALF):
            for compiled in ("", COMPILED):
                steps[f"{title}{half}, PyTorch{compiled}"] = training_step(
                    build(), images, labels, compiled=bool(compiled), half=bool(half)
                )
    return batch, alternate(steps, rounds)


def in_bfloat16(build):
    """Builds a model that computes in bfloat16."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return build()
    finally:
        keras.config.set_dtype_policy("float32")


def use_threads(count):
    """Gives both frameworks as many threads."""
    torch.set_num_threads(count)
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(COMPARISONS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = arguments_of(parser)
    use_threads(arguments.threads)
    rows, figures = [], {}
    for name in arguments.names:
        batch, times = compare(name, arguments.rounds)
        first = next(iter(times))
        for title, seconds in times.items():
            median = statistics.median(seconds)
            factor = ratio(times, title, first)
            rows.append(
                (
                    title,
                    batch,
                    f"{1e3 * median:.1f}",
                    f"{batch / median:.1f}",
                    f"{factor:.2f} x {first}" if title != first else "",
                )
            )
            figures[f"{title} / {first}"] = factor
            rivals = [f"{title}, PyTorch{compiled}" for compiled in ("", COMPILED)]
            if rivals[0] in times:
                figures[f"{rivals[0]} / {title}"] = ratio(times, rivals[0], title)
                best = min(rivals, key=lambda rival: statistics.median(times[rival]))
                figures[f"PyTorch's best / {title}"] = ratio(times, best, title)
            if title.endswith(HALF):
                figures[f"{title} / {title.removesuffix(HALF)}"] = ratio(
                    times, title, title.removesuffix(HALF)
                )
    head = ("", "batch", "ms per step", "images/s", "time as a multiple of")
    publish(
        arguments.json,
        table(head, rows) + f"\n\n{arguments.threads} threads, {arguments.rounds} rounds.",
        figures,
    )


if __name__ == "__main__":
    main()
