"""Time and memory of GCLU beside GELU and ReLU, forward and backward, in one run.

    python benchmarks/activations.py [--rounds 15] [--shape 128 32 32 64] [--dtype float32]

Every round times each activation once, in a new order; a ratio is the median over the rounds of
one round's time by the same round's exact GELU. Bytes kept are counted on the graph: the tensors
that forward operations make (or are given) and backward operations read.
"""

import argparse
import platform
import random
import statistics
import sys
import time

import keras
import tensorflow as tf

from keras_rescnet import gclu, gclu_sigmoid, gclu_tanh

BASELINE = "gelu, exact"


def gclu_autodiff(x):
    """GCLU as the reference writes it, its gradient left to the tape."""
    p = 0.5 * (1.0 + tf.math.erf(x / 2.0**0.5))
    return x * tf.where(p < 0.5, p, 2.0 - p)


ACTIVATIONS = {
    "relu": keras.activations.relu,
    BASELINE: lambda x: keras.activations.gelu(x, approximate=False),
    "gclu": gclu,
    "gclu, sigmoid": gclu_sigmoid,
    "gclu, tanh": gclu_tanh,
    "gclu, autodiff": gclu_autodiff,
}


def compiled(activation):
    """Returns a graph from `(x, upstream)` to the activation and its gradient."""

    @tf.function
    def step(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = activation(x)
        return y, tape.gradient(y, x, upstream)

    return step


def bytes_kept(activation, shape, dtype):
    """Returns the bytes of the tensors that cross from the forward into the backward pass."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(dtype, shape)
        upstream = tf.compat.v1.placeholder(dtype, shape)
        y = activation(x)
        forward = {operation.name for operation in graph.get_operations()}
        gradient = tf.gradients(y, x, upstream)[0]
        kept, seen, pending = {}, set(), [gradient]
        while pending:
            tensor = pending.pop()
            while tensor.op.type in ("Identity", "IdentityN"):  # one buffer, many names
                tensor = tensor.op.inputs[int(tensor.name.split(":")[1])]
            if tensor.name in seen:
                continue
            seen.add(tensor.name)
            if tensor.op.name not in forward:
                pending.extend(tensor.op.inputs)
            elif tensor is not upstream:
                kept[tensor.name] = tensor.shape.num_elements() * tensor.dtype.size
    return sum(kept.values())


def seconds(step, *arguments):
    """Returns the wall time of one call."""
    start = time.perf_counter()
    step(*arguments)[1].numpy()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--shape", type=int, nargs="+", default=[128, 32, 32, 64])
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()

    x = tf.cast(tf.random.stateless_normal(arguments.shape, (0, 1)), arguments.dtype)
    upstream = tf.cast(tf.random.stateless_normal(arguments.shape, (0, 2)), arguments.dtype)
    steps = {name: compiled(activation) for name, activation in ACTIVATIONS.items()}
    for step in steps.values():
        seconds(step, x, upstream)
        seconds(step, x, upstream)
    rounds = []
    for _ in range(arguments.rounds):
        order = random.sample(list(steps), len(steps))
        rounds.append({name: seconds(steps[name], x, upstream) for name in order})

    print("python " + " ".join(sys.argv))
    print(
        f"Python {platform.python_version()}, TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}, {', '.join(d.name for d in tf.config.list_logical_devices())}"
    )
    print(f"shape {tuple(arguments.shape)}, {arguments.dtype}, {arguments.rounds} rounds\n")
    print(f"{'':16} {'median ms':>10} {'x exact GELU':>13} {'bytes kept / input':>19}")
    size = x.shape.num_elements() * x.dtype.size
    for name, activation in ACTIVATIONS.items():
        ratio = statistics.median(timed[name] / timed[BASELINE] for timed in rounds)
        median = 1e3 * statistics.median(timed[name] for timed in rounds)
        kept = bytes_kept(activation, arguments.shape, arguments.dtype) / size
        print(f"{name:16} {median:10.1f} {ratio:13.2f} {kept:19.2f}")


if __name__ == "__main__":
    main()
