"""A training step here, in PyTorch and in plain Keras, side by side.

    python benchmarks/step.py [resnet rescnet gclu vgg vit bottleneck] [--rounds 7]
        [--threads 2]

Every round makes one step of each contestant of a comparison, in a new order, on as many
threads; a ratio is the median over the rounds of one round's times. On a machine with other work
compare with `--threads 1` too: PyTorch's threads wait for each other in every operation. The
PyTorch networks are in `torch_models.py` (channels last); SGD with momentum and weight decay, one
batch of noise, the input pipeline left out. `plain` is the same network with Keras's own
BatchNormalization.
"""

import argparse
import os
import random
import statistics
import sys
import time
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import torch
from torch_models import GCLU, RCLayer, ViT, cifar_resnet, training_step, vgg16

from keras_rescnet import gclu, models, optimizers
from keras_rescnet.models import blocks


def keras_step(build, images, labels):
    """Returns a function that makes one step of a bare `tf.function`."""
    model = build()
    optimizer = optimizers.SGD(0.01, momentum=0.9, weight_decay=5e-4)
    optimizer.build(model.trainable_variables)
    values = [variable.value for variable in model.trainable_variables]
    images, labels = tf.constant(images), tf.constant(labels)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        optimizer.apply(tape.gradient(loss, values), model.trainable_variables)
        return loss

    return lambda: float(step())


def plain(build):
    """`build` with Keras's own batch normalization."""

    def build_plain():
        own = blocks.BatchNormalization
        blocks.BatchNormalization = partial(
            keras.layers.BatchNormalization, momentum=0.9, epsilon=1e-5
        )
        try:
            return build()
        finally:
            blocks.BatchNormalization = own

    return build_plain


# name: batch size, contestants here, contestants in PyTorch
COMPARISONS = {
    "resnet": (
        128,
        {"ResNet-32": models.CifarResNet32, "ResNet-32, plain": plain(models.CifarResNet32)},
        {"ResNet-32": partial(cifar_resnet, 5)},
    ),
    "rescnet": (
        128,
        {"ResNet-32": models.CifarResNet32, "ResCNet-32": models.CifarResCNet32},
        {"ResCNet-32": partial(cifar_resnet, 5, calibration=RCLayer)},
    ),
    "gclu": (
        128,
        {
            "ResNet-8": models.CifarResNet8,
            "ResNet-8 + GCLU": partial(models.CifarResNet8, activation=gclu),
        },
        {"ResNet-8 + GCLU": lambda: cifar_resnet(1, activation=GCLU())},
    ),
    "vgg": (128, {"VGG-16": models.VGG16}, {"VGG-16": vgg16}),
    "vit": (128, {"ViT-Tiny": models.ViTTiny}, {"ViT-Tiny": ViT}),
    "bottleneck": (
        16,
        {"ResNet-50": models.CifarResNet50, "ResCNet-50": models.CifarResCNet50},
        {},
    ),
}


def alternate(steps, rounds):
    """Returns the seconds of every step, `{name: [rounds]}`."""
    for step in steps.values():
        step()
        step()
    times = {name: [] for name in steps}
    for _ in range(rounds):
        for name in random.sample(list(steps), len(steps)):
            start = time.perf_counter()
            steps[name]()
            times[name].append(time.perf_counter() - start)
    return times


def ratio(times, name, base):
    """Returns the median over the rounds of `name`'s time by `base`'s."""
    pairs = zip(times[name], times[base], strict=True)
    return statistics.median(a / b for a, b in pairs)


def compare(name, rounds):
    """Returns the batch size and the seconds of every contestant of a comparison."""
    batch, ours, theirs = COMPARISONS[name]
    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch, 32, 32, 3)).astype("float32")
    labels = generator.integers(0, 10, batch)
    steps = {title: keras_step(build, images, labels) for title, build in ours.items()}
    for title, build in theirs.items():
        steps[f"{title}, PyTorch"] = training_step(build(), images, labels)
    return batch, alternate(steps, rounds)


def use_threads(count):
    """Gives both frameworks as many threads."""
    torch.set_num_threads(count)
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)


def main():
    """Prints milliseconds, images per second and ratios to the first contestant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(COMPARISONS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    print("python", *sys.argv)
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, PyTorch {torch.__version__}")
    for name in arguments.names:
        batch, times = compare(name, arguments.rounds)
        first = next(iter(times))
        print(f"\nbatch {batch}, {arguments.rounds} rounds")
        for title, seconds in times.items():
            median = statistics.median(seconds)
            print(
                f"  {title:24}{1e3 * median:9.1f} ms{batch / median:9.1f} images/s"
                f"   {ratio(times, title, first):6.2f} x {first}",
                flush=True,
            )


if __name__ == "__main__":
    main()
