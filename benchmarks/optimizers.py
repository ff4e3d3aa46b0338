"""Time in which an optimizer moves the weights of a network, beside Keras's own and PyTorch's.

    python benchmarks/optimizers.py [vit] [resnet50] [--rounds 21] [--threads 2]

The gradients are given, so that nothing else is timed. float32; weight decay on every weight, and
momentum 0.9 in SGD. PyTorch moves weights one by one, which is its default on a CPU, or with
`foreach`, or with `fused`; "PyTorch's best" is the fastest of the three in one round.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import torch
from keras_step import use_threads
from measurement import alternate, arguments_of, milliseconds, publish, ratio, table

from keras_rescnet import models, optimizers

NETWORKS = {"vit": ("ViT-Tiny", models.ViTTiny), "resnet50": ("ResNet-50", models.ResNet50)}
OURS = {
    "SGD": lambda: optimizers.SGD(1e-3, momentum=0.9, weight_decay=5e-4),
    "AdamW": lambda: optimizers.AdamW(1e-3, weight_decay=0.05),
}
KERAS = {
    "SGD": lambda: keras.optimizers.SGD(1e-3, momentum=0.9, weight_decay=5e-4),
    "AdamW": lambda: keras.optimizers.AdamW(1e-3, weight_decay=0.05),
}
TORCH = {
    "SGD": lambda weights, **mode: torch.optim.SGD(
        weights, 1e-3, momentum=0.9, weight_decay=5e-4, **mode
    ),
    "AdamW": lambda weights, **mode: torch.optim.AdamW(weights, 1e-3, weight_decay=0.05, **mode),
}
MODES = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def keras_update(optimizer, arrays):
    """Returns a function that moves weights once with a Keras optimizer."""
    variables = [keras.Variable(array) for array in arrays]
    optimizer.build(variables)
    gradients = [tf.constant(1e-3 * array) for array in arrays]

    @tf.function(autograph=False)
    def update():
        optimizer.apply(gradients, variables)
        return optimizer.iterations.value + 0

    return lambda: int(update())


def torch_update(optimizer, arrays, mode):
    """Returns a function that moves weights once with a PyTorch optimizer."""
    weights = [torch.nn.Parameter(torch.from_numpy(array.copy())) for array in arrays]
    for weight, array in zip(weights, arrays, strict=True):
        weight.grad = torch.from_numpy(1e-3 * array)
    return optimizer(weights, **mode).step


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=2)
    arguments = arguments_of(parser)
    use_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    generator = np.random.default_rng(0)
    rows, figures = [], {}
    for title, build in map(NETWORKS.get, arguments.names):
        shapes = [variable.shape for variable in build().trainable_variables]
        arrays = [generator.normal(size=shape).astype("float32") for shape in shapes]
        size = sum(array.size for array in arrays)
        for name in OURS:
            contestants = {
                "here": keras_update(OURS[name](), arrays),
                "Keras": keras_update(KERAS[name](), arrays),
                **{
                    f"PyTorch, {kind}": torch_update(TORCH[name], arrays, mode)
                    for kind, mode in MODES.items()
                },
            }
            times = alternate(contestants, arguments.rounds)
            torch_times = [times[f"PyTorch, {kind}"] for kind in MODES]
            times["PyTorch's best"] = list(map(min, *torch_times))
            figures[f"{name} by Keras's: {title}"] = ratio(times, "here", "Keras")
            figures[f"PyTorch's best / {name}: {title}"] = ratio(times, "PyTorch's best", "here")
            for contestant in contestants:
                rows.append(
                    (
                        f"{title}, {size / 1e6:.1f} M weights: {name}, {contestant}",
                        f"{milliseconds(times, contestant):.1f}",
                        f"{ratio(times, contestant, 'here'):.2f}",
                    )
                )
    publish(arguments.json, table(("", "ms per step", "x here"), rows), figures)


if __name__ == "__main__":
    main()
