"""Time and memory of GCLU and the RC Layer beside GELU and ReLU, forward and backward.

    python benchmarks/activations.py [--rounds 15] [--shape 128 32 32 64] [--dtype float32]

Every round times each once, in a new order; a ratio is the median over the rounds of one round's
times. Bytes kept are counted on the graph: the tensors that forward operations make (or are given)
and backward operations read. The bandwidth is that of numpy's copy between two arrays of the same
size by all cores; the limit is the time in which the bytes that must move pass at it.
"""

import argparse
import concurrent.futures
import os

import keras
import numpy as np
import tensorflow as tf
from keras_step import bytes_between
from measurement import alternate, arguments_of, milliseconds, publish, ratio, table

from keras_rescnet import gclu, gclu_sigmoid, gclu_tanh
from keras_rescnet.layers import RCLayer

GELU = "exact GELU, Keras's"


def gclu_autodiff(x):
    """GCLU as the reference writes it, its gradient left to the tape."""
    p = 0.5 * (1.0 + tf.math.erf(x / 2.0**0.5))
    return x * tf.where(p < 0.5, p, 2.0 - p)


ACTIVATIONS = {
    "ReLU": keras.activations.relu,
    GELU: lambda x: keras.activations.gelu(x, approximate=False),
    "GCLU": gclu,
    "GCLU, sigmoid form": gclu_sigmoid,
    "GCLU, tanh form": gclu_tanh,
    "GCLU, differentiated by TensorFlow": gclu_autodiff,
}
# Tensors read and written: y of x, then the gradient of both; the RC Layer also needs the mean
# before it can start, and the gradient of its statistics before it can end.
MOVES = {"ReLU": 5, "GCLU": 5, "RC Layer": 8}


def compiled(activation):
    """Returns a graph from `(x, upstream)` to the activation and its gradient."""

    @tf.function
    def step(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = activation(x)
        return y, tape.gradient(y, x, upstream)

    return step


def copy_of(size):
    """Returns a function that reads and writes so many bytes, all cores sharing them."""
    cores = os.cpu_count()
    sources = np.array_split(np.ones(size, "uint8"), cores)
    targets = np.array_split(np.zeros(size, "uint8"), cores)
    pool = concurrent.futures.ThreadPoolExecutor(cores)
    return lambda: list(pool.map(np.copyto, targets, sources))


def bytes_kept(activation, shape, dtype):
    """Returns the bytes of the tensors that cross from the forward into the backward pass."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(dtype, shape)
        upstream = tf.compat.v1.placeholder(dtype, shape)
        y = activation(x)
        forward = {operation.name for operation in graph.get_operations()}
        return bytes_between(forward, tf.gradients(y, x, upstream), given=[upstream])


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--shape", type=int, nargs=4, default=[128, 32, 32, 64])
    parser.add_argument("--dtype", default="float32")
    arguments = arguments_of(parser)

    x = tf.cast(tf.random.stateless_normal(arguments.shape, (0, 1)), arguments.dtype)
    upstream = tf.cast(tf.random.stateless_normal(arguments.shape, (0, 2)), arguments.dtype)
    layer = RCLayer(dtype=arguments.dtype)
    layer.build(x.shape)
    functions = {**ACTIVATIONS, "RC Layer": layer}
    steps = {name: compiled(function) for name, function in functions.items()}
    contestants = {
        name: lambda step=step: step(x, upstream)[1].numpy() for name, step in steps.items()
    }
    size = x.shape.num_elements() * x.dtype.size
    contestants["copy"] = copy_of(size)
    times = alternate(contestants, arguments.rounds)

    rows = []
    for name, function in functions.items():
        limit = MOVES[name] / 2 * milliseconds(times, "copy") if name in MOVES else None
        kept = ""
        if name in ACTIVATIONS:
            kept = f"{bytes_kept(function, arguments.shape, arguments.dtype) / size:.2f}"
        rows.append(
            (
                name,
                f"{milliseconds(times, name):.1f}",
                f"{ratio(times, name, GELU):.2f}",
                kept,
                f"{milliseconds(times, name) / limit:.2f}" if limit else "",
            )
        )
    head = ("", "median ms", "x exact GELU", "kept for the backward pass, x the input")
    bandwidth = 2e-9 * size / (1e-3 * milliseconds(times, "copy"))
    publish(
        arguments.json,
        table((*head, "x the bandwidth limit"), rows)
        + f"\n\n{arguments.dtype} {tuple(arguments.shape)}, {arguments.rounds} rounds; a copy "
        f"moves {bandwidth:.1f} GB/s.",
        {
            "GCLU / exact GELU": ratio(times, "GCLU", GELU),
            "GCLU / differentiated": ratio(times, "GCLU", "GCLU, differentiated by TensorFlow"),
        },
    )


if __name__ == "__main__":
    main()
