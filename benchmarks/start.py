"""Seconds from the command to `--help` and to the end of the first training step.

    python benchmarks/start.py [--data_dir DIR] [--pictures DIR] [--rounds 3]

Every start is a process of its own. CIFAR-10 is looked for in TensorFlow Datasets' folder or
--data_dir; recipes/imagefolder_rescnet18.py is started only if --pictures names a folder for it.
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
RECIPES += ("cifar10_gclu_vgg16", "imagefolder_rescnet18")
# train.py, but the process ends when the first step has: the step's time is what is asked for.
FIRST_STEP = """
import os, runpy, sys
sys.argv = sys.argv[1:]
from keras_rescnet.training.engines import tensorflow
steps = tensorflow.Engine.steps
def first(self, count):
    steps(self, 1)
    os._exit(0)
tensorflow.Engine.steps = first
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def seconds(command, rounds):
    """Returns the median time of a command, or `None` if it fails."""
    times = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            words = [sys.executable, *command, *(["--workdir", folder] if "-c" in command else [])]
            process = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
            times.append(time.perf_counter() - start)
        if process.returncode:
            print(" ".join(command[-3:]), process.stderr.strip()[-300:], file=sys.stderr)
            return None
    return statistics.median(times)


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir")
    parser.add_argument("--pictures")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = arguments_of(parser)
    figures = {"train.py --help": seconds(["train.py", "--help"], arguments.rounds)}
    for recipe in RECIPES:
        command = ["-c", FIRST_STEP, "train.py", "--recipe", f"recipes/{recipe}.py"]
        folder = arguments.pictures if recipe.startswith("imagefolder") else arguments.data_dir
        if recipe.startswith("imagefolder") and folder is None:
            continue
        if folder is not None:
            command += ["--data_dir", folder]
        figures[f"first step of {recipe}"] = seconds(command, arguments.rounds)
    rows = [(name, f"{s:.2f}" if s else "not run") for name, s in figures.items()]
    publish(
        arguments.json,
        table(("until", "seconds"), rows)
        + f"\n\nMedian of {arguments.rounds} processes, each starting anew.",
        {name: s for name, s in figures.items() if s},
    )


if __name__ == "__main__":
    main()
