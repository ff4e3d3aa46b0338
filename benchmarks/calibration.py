"""What a calibration costs: every one of recipes/rivals.py in ResNet-32, side by side.

    python benchmarks/calibration.py [rc se eca ...] [--rounds 7] [--batch 128] [--threads 2]

Parameters and multiply-accumulates are counted on the model. Every round makes one training step of
each contestant, in a new order; a ratio is the median over the rounds of one round's times. Bytes
kept are those of the tensors that the step's graph makes in the forward pass and reads in the
backward pass, for one batch.
"""

import argparse
import os
import pathlib
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from keras_step import bytes_kept, keras_step
from measurement import alternate, arguments_of, publish, ratio, table

from keras_rescnet.analysis.tables import read_table
from keras_rescnet.models.complexity import count_parameters, multiplications

RECIPES = pathlib.Path(__file__).parents[1] / "recipes" / "rivals.py"
NETWORK = "cifar10-resnet32-"
PLAIN = "plain"


def builders():
    """Returns what builds ResNet-32 with each calibration, by name."""
    recipes = read_table(RECIPES).recipes
    return {
        name.removeprefix(NETWORK): recipe.model
        for name, recipe in recipes.items()
        if name.startswith(NETWORK)
    }


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="calibrations; all, if none is named")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    arguments = arguments_of(parser)
    known = builders()
    unknown = sorted(set(arguments.names) - set(known))
    if unknown:
        parser.error(f"no calibration {', '.join(unknown)}; there are {', '.join(known)}")
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    names = [name for name in known if name in (PLAIN, *(arguments.names or known))]
    generator = np.random.default_rng(0)
    images = generator.normal(size=(arguments.batch, 32, 32, 3)).astype("float32")
    labels = generator.integers(0, 10, arguments.batch)
    models = {name: known[name]() for name in names}
    steps = {name: keras_step(lambda m=m: m, images, labels) for name, m in models.items()}
    kept = {name: bytes_kept(model, arguments.batch) for name, model in models.items()}
    times = alternate(steps, arguments.rounds)
    rows, figures = [], {}
    for name, model in models.items():
        costs = {
            "parameters": count_parameters(model),
            "MACs": multiplications(model)[0],
            "step / plain": round(ratio(times, name, PLAIN), 3),
            "bytes kept": kept[name],
        }
        figures |= {f"{name}: {cost}": figure for cost, figure in costs.items()}
        rows.append(
            (
                name,
                f"{costs['parameters']:,}",
                f"{costs['MACs'] / 1e6:.3f}",
                f"{1e3 * statistics.median(times[name]):.0f}",
                f"{costs['step / plain']:.2f}",
                f"{kept[name] / 2**20:.0f}",
                f"{kept[name] / kept[PLAIN]:.2f}",
            )
        )
    head = ("", "parameters", "MACs (M)", "ms per step", "x plain", "MiB kept", "x plain")
    publish(
        arguments.json,
        table(head, rows)
        + f"\n\nResNet-32, float32, batches of {arguments.batch}, {arguments.threads} threads, "
        f"{arguments.rounds} rounds.",
        figures,
    )


if __name__ == "__main__":
    main()
