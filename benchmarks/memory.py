"""Peak memory of a training step.

    python benchmarks/memory.py [--batch 32]

Each contestant makes three steps in a process of its own. The peak is that of the resident memory
during the third (Linux resets its high-water mark), less what was resident before the first step:
weights, velocities, and what TensorFlow has loaded do not count. `recomputed` builds the model in
`keras.RematScope`, Keras's rematerialisation: activations are computed again in the backward pass.
"""

import argparse
import multiprocessing
import os
import pathlib
import time
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from measurement import arguments_of, publish, table

BASE = "ResNet-50, ReLU"
CONTESTANTS = (
    BASE,
    "ResNet-50, GCLU",
    "ResNet-50, GCLU differentiated by TensorFlow",
    "ResNet-50, GCLU recomputed",
    "ResCNet-50, ReLU",
    "ResCNet-50, ReLU recomputed",
)


def builder(name):
    """Returns the function that builds a contestant."""
    import keras
    import keras.ops as ops

    from keras_rescnet import gclu, models

    def differentiated(x):
        p = 0.5 * (1.0 + ops.erf(x / 2.0**0.5))
        return x * ops.where(p < 0.5, p, 2.0 - p)

    network, activation = name.split(", ")
    build = {"ResNet-50": models.CifarResNet50, "ResCNet-50": models.CifarResCNet50}[network]
    if "GCLU" in activation:
        build = partial(build, activation=differentiated if "by" in activation else gclu)

    def recomputed():
        with keras.RematScope(mode="activations"):
            return build()

    return recomputed if "recomputed" in activation else build


def resident(field):
    """Returns a field of this process's memory in MiB: `VmRSS` now, `VmHWM` at its highest."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024


def measure(name, batch, send):
    """Sends the MiB that a step of a contestant adds at its peak, and its milliseconds."""
    import numpy as np
    from keras_step import keras_step, use_threads

    use_threads(2)
    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch, 32, 32, 3)).astype("float32")
    labels = generator.integers(0, 10, batch)
    step = keras_step(builder(name), images, labels)
    before = resident("VmRSS")
    step()
    step()
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    start = time.perf_counter()
    step()
    send.send((resident("VmHWM") - before, 1e3 * (time.perf_counter() - start)))


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    arguments = arguments_of(parser)
    context = multiprocessing.get_context("spawn")
    peaks, times = {}, {}
    for name in CONTESTANTS:
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=measure, args=(name, arguments.batch, send))
        process.start()
        send.close()
        peaks[name], times[name] = receive.recv()
        process.join()
    rows = [
        (name, f"{peak:.0f}", f"{peak / peaks[BASE]:.2f}", f"{times[name]:.0f}")
        for name, peak in peaks.items()
    ]
    publish(
        arguments.json,
        table(("", "MiB at the peak", f"x {BASE}", "ms per step"), rows)
        + f"\n\nCIFAR models, batches of {arguments.batch}.",
        {f"{name} / {BASE}": peak / peaks[BASE] for name, peak in peaks.items()},
    )


if __name__ == "__main__":
    main()
