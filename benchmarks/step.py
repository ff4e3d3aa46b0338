"""A training step here, in PyTorch and in plain Keras, side by side.

    python benchmarks/step.py [resnet rescnet gclu vgg vit bottleneck fast] [--rounds 7]
        [--threads 2]

Every round makes one step of each contestant of a comparison, in a new order, on as many
threads; a ratio is the median over the rounds of one round's times. On a machine with other work
compare with `--threads 1` too: PyTorch's threads wait for each other in every operation. The
PyTorch networks are in `torch_models.py` and `torch_airbench.py` (channels last); SGD with momentum
and weight decay, for the fast CIFAR-10 network Muon; one batch of noise, the input pipeline left
out.

All run in float32 and in bfloat16 (`mixed_bfloat16`, autocast), PyTorch eager and compiled
(`torch.compile`, which needs a C++ compiler). "PyTorch's best" is the faster of the two in one
precision.

`plain` is the same network with Keras's own BatchNormalization. Two contestants are floors:
`a square` is the cheapest activation that has to keep its input as GCLU has, `forward only` a
ResCNet whose calibration leaves the gradient alone.
"""

import argparse
import dataclasses
import os
import statistics
from collections.abc import Callable
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import torch
import torch_airbench
import torch_models
from fast import recipe_step
from keras_step import in_precision, keras_step, use_threads
from measurement import alternate, arguments_of, publish, ratio, table
from torch_models import cifar_resnet

from keras_rescnet import gclu, load_recipe, models
from keras_rescnet.gaussian import fused
from keras_rescnet.layers import RCLayer

HALF, COMPILED = ", bfloat16", ", compiled"
POLICIES = {"": "float32", HALF: "mixed_bfloat16"}
SLOW = 7  # rounds, of the comparisons whose steps take a second and more


class Square(keras.layers.Layer):
    """`x |x|`, compiled and differentiated as GCLU is."""

    def call(self, inputs):
        """Returns the squares with the signs of `inputs`."""
        return _square(inputs)


@tf.custom_gradient
def _square(x):
    value = fused(lambda x: x * abs(x), forward=True)
    return value(x), partial(fused(lambda x, upstream: 2.0 * upstream * abs(x)), x)


class ForwardOnly(RCLayer):
    """An RC Layer whose gradient is that of the identity."""

    def call(self, inputs):
        """Returns `inputs` with every response calibrated."""

        @tf.custom_gradient
        def calibrate(x):
            def gradient(upstream, variables=()):
                return upstream, [tf.zeros_like(variable) for variable in variables]

            return RCLayer.call(self, x), gradient

        return calibrate(inputs)


PLAIN = partial(keras.layers.BatchNormalization, momentum=0.9, epsilon=1e-5)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Networks whose steps are compared.

    Args:
        here: Builders of ours by title, the one first that the others are a multiple of.
        floors: Builders of ours that run in float32 alone.
        torch: Builders of the PyTorch networks by the titles of ours.
        batch: Images per step.
        rounds: At most so many.
        step: Function of a builder, a policy, images and labels that returns our step.
        torch_step: The same in PyTorch, as `torch_models.training_step`.
    """

    here: dict[str, Callable]
    floors: dict[str, Callable] = dataclasses.field(default_factory=dict)
    torch: dict[str, Callable] = dataclasses.field(default_factory=dict)
    batch: int = 128
    rounds: int = 99
    step: Callable = lambda build, policy, images, labels: keras_step(
        partial(in_precision, policy, build), images, labels
    )
    torch_step: Callable = torch_models.training_step


def comparisons():
    """Returns all `Comparison`s by the names that the command takes."""
    return {
        "resnet": Comparison(
            here={"ResNet-32": models.CifarResNet32},
            floors={"ResNet-32, plain": partial(models.CifarResNet32, normalization=PLAIN)},
            torch={"ResNet-32": partial(cifar_resnet, 5)},
        ),
        "rescnet": Comparison(
            here={"ResNet-32": models.CifarResNet32, "ResCNet-32": models.CifarResCNet32},
            floors={
                "ResCNet-32, forward only": partial(
                    models.CifarResNet32, calibration=partial(ForwardOnly, reduction=4)
                )
            },
            torch={"ResCNet-32": partial(cifar_resnet, 5, calibration=torch_models.RCLayer)},
        ),
        "gclu": Comparison(
            here={
                "ResNet-8": models.CifarResNet8,
                "ResNet-8 + GCLU": partial(models.CifarResNet8, activation=gclu),
            },
            floors={"ResNet-8 + a square": partial(models.CifarResNet8, activation=Square())},
            torch={"ResNet-8 + GCLU": lambda: cifar_resnet(1, activation=torch_models.GCLU())},
        ),
        "vgg": Comparison(
            here={"VGG-16": models.VGG16}, torch={"VGG-16": torch_models.vgg16}, rounds=SLOW
        ),
        "vit": Comparison(
            here={"ViT-Tiny": models.ViTTiny}, torch={"ViT-Tiny": torch_models.ViT}, rounds=SLOW
        ),
        "bottleneck": Comparison(
            here={
                "ResNet-50, CIFAR": models.CifarResNet50,
                "ResCNet-50, CIFAR": models.CifarResCNet50,
            },
            batch=32,
            rounds=SLOW,
        ),
        "fast": Comparison(  # a quarter of the recipe's batch, as images share all but Muon's work
            here={"fast network": load_recipe("cifar10_fast:gelu")},
            torch={"fast network": torch_airbench.Airbench94},
            batch=500,
            rounds=SLOW,
            step=recipe_step,
            torch_step=torch_airbench.training_step,
        ),
    }


def contestants(comparison):
    """Returns the steps of a comparison by name."""
    generator = np.random.default_rng(0)
    images = generator.normal(size=(comparison.batch, 32, 32, 3)).astype("float32")
    data = images, generator.integers(0, 10, comparison.batch)
    steps = {}
    for half, policy in POLICIES.items():
        for title, build in comparison.here.items():
            steps[title + half] = comparison.step(build, policy, *data)
        for title, build in comparison.torch.items():
            for compiled in ("", COMPILED):
                steps[f"{title}{half}, PyTorch{compiled}"] = comparison.torch_step(
                    build(), *data, compiled=bool(compiled), half=bool(half)
                )
    for title, build in comparison.floors.items():
        steps[title] = comparison.step(build, "float32", *data)
    return steps


def bases(comparison):
    """Returns by the name of each contestant the one that its time is a multiple of."""
    first, found = next(iter(comparison.here)), {}
    for half in POLICIES:
        for title in comparison.here:
            found[title + half] = first + half if title != first else first
        for title in comparison.torch:
            for compiled in ("", COMPILED):
                found[f"{title}{half}, PyTorch{compiled}"] = title + half
    return found | dict.fromkeys(comparison.floors, first)


def figures_of(comparison, times):
    """Returns the ratios that targets are set for."""
    figures = {
        f"{name} / {base}": ratio(times, name, base)
        for name, base in bases(comparison).items()
        if name != base
    }
    for title in comparison.here:
        figures[f"{title} / {title}{HALF}"] = ratio(times, title, title + HALF)
    for title in comparison.torch:
        for ours in (title, title + HALF):
            rivals = (f"{ours}, PyTorch", f"{ours}, PyTorch{COMPILED}")
            best = min(rivals, key=lambda rival: statistics.median(times[rival]))
            figures[f"PyTorch's best / {ours}"] = ratio(times, best, ours)
    return figures


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = comparisons()
    parser.add_argument("names", nargs="*", default=list(known))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = arguments_of(parser)
    use_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    rows, figures = [], {}
    for name in arguments.names:
        comparison = known[name]
        times = alternate(contestants(comparison), min(arguments.rounds, comparison.rounds))
        figures |= figures_of(comparison, times)
        for title, base in bases(comparison).items():
            median = statistics.median(times[title])
            factor = f"{ratio(times, title, base):.2f} x {base}" if title != base else ""
            speed = f"{comparison.batch / median:.1f}"
            rows.append((title, comparison.batch, f"{1e3 * median:.1f}", speed, factor))
    head = ("", "batch", "ms per step", "images/s", "time as a multiple of")
    notes = f"{arguments.threads} threads, {arguments.rounds} rounds (at most {SLOW} of VGG-16, "
    notes += "ViT-Tiny, ResNet-50 and the fast network)."
    publish(arguments.json, f"{table(head, rows)}\n\n{notes}", figures)


if __name__ == "__main__":
    main()
