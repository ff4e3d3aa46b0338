"""Seconds from the command to the end of the first training step, and from there to the exit.

    python benchmarks/start.py [--data_dir DIR] [--pictures DIR] [--rounds 3]

Every start is a process of its own, a run of one step. CIFAR-10 is looked for in TensorFlow
Datasets' folder or --data_dir; recipes/imagefolder_rescnet18.py is started only if --pictures names
a folder for it. The end is what a run does once: it compiles the test and tests one batch (of
however many), writes a checkpoint, model.keras, the SavedModel, results and curves, and exits.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from measurement import arguments_of, publish, table

ROOT = pathlib.Path(__file__).parent.parent
RECIPES = ("digits_gclu_resnet8", "cifar10_gclu_resnet8", "cifar10_resnet32", "cifar10_rescnet32")
RECIPES += ("cifar10_gclu_vgg16", "cifar10_fast", "imagefolder_rescnet18")
# One step; the digits have none left for an epoch without warm-up
RUN = ["--set", "epochs=1", "--set", "steps_per_epoch=1", "--set", "warmup_epochs=0"]
# train.py, with the time after its last step on stderr, and one batch to test on.
ONE_BATCH = """
import runpy, sys, time
sys.argv = sys.argv[1:]
from keras_rescnet.command import quiet_imports
with quiet_imports():
    from keras_rescnet.training.engines import tensorflow
steps, evaluate = tensorflow.Engine.steps, tensorflow.Engine.evaluate
def timed(self, rates):
    rows = steps(self, rates)
    print("step", time.time(), file=sys.stderr)
    return rows
tensorflow.Engine.steps = timed
tensorflow.Engine.evaluate = lambda self, batches: evaluate(self, lambda **k: batches(**k).take(1))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(command):
    """Runs a command; returns its seconds to the end of its last step (`None`), and to its end."""
    start = time.time()
    process = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    end = time.time()
    if process.returncode:
        raise SystemExit(f"{' '.join(command[2:])}: {process.stderr.strip()[-300:]}")
    steps = [line for line in process.stderr.splitlines() if line.startswith("step ")]
    return float(steps[-1].split()[1]) - start if steps else None, end - start


def times_of(recipe, folder, rounds):
    """Returns the medians of the seconds to the end of the first step, and from there on."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as workdir:
            command = ["-c", ONE_BATCH, "train.py", "--recipe", f"recipes/{recipe}.py", *RUN]
            command += ["--workdir", workdir]
            found.append(run(command if folder is None else [*command, "--data_dir", folder]))
    return (
        statistics.median(first for first, _ in found),
        statistics.median(end - first for first, end in found),
    )


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir")
    parser.add_argument("--pictures")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = arguments_of(parser)
    helps = [run(["train.py", "--help"])[1] for _ in range(arguments.rounds)]
    figures = {"train.py --help": statistics.median(helps)}
    rows = [("`train.py --help`", f"{figures['train.py --help']:.2f}", "")]
    for recipe in RECIPES:
        folder = arguments.pictures if recipe.startswith("imagefolder") else arguments.data_dir
        if recipe.startswith("imagefolder") and folder is None:
            continue
        first, rest = times_of(recipe, folder, arguments.rounds)
        figures |= {f"first step of {recipe}": first, f"end of {recipe}": rest}
        rows.append((f"`{recipe}`", f"{first:.2f}", f"{rest:.2f}"))
    publish(
        arguments.json,
        table(("", "seconds to the end of the first step", "from there to the exit"), rows)
        + f"\n\nMedian of {arguments.rounds} processes, each starting anew.",
        figures,
    )


if __name__ == "__main__":
    main()
