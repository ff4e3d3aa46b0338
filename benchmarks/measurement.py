"""How a benchmark says what it measured: Markdown to read, and figures for `run.py`."""

import argparse
import json
import os
import pathlib
import platform
import random
import statistics
import sys
import time

from keras_rescnet.training.environment import processor, versions


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Returns the parsed command line, with `--json FILE` added to it."""
    parser.add_argument("--json", help="a file to write the figures to as well")
    return parser.parse_args()


def publish(file, tables, figures):
    """Prints what was measured, and writes it to `file` unless that is `None`.

    Args:
        file: The value of `--json`.
        tables: Markdown.
        figures: `{name: number}`, those that targets are set for.
    """
    words = sys.argv.copy()
    if file is not None:  # is no part of what was measured
        del words[words.index("--json") : words.index("--json") + 2]
    name, *words = words
    words = ["DIR" if os.path.isabs(word) else word for word in words]  # is of this machine alone
    command = " ".join(["python", f"benchmarks/{pathlib.Path(name).name}", *words])
    head = f"`{command}`: {machine()}."
    print(f"{head}\n\n{tables}", flush=True)
    if file is not None:
        text = json.dumps({"head": head, "tables": tables, "figures": figures}, indent=2)
        pathlib.Path(file).write_text(text + "\n")


def machine():
    """Returns the machine and the versions, in words."""
    found = versions(("tensorflow", "keras", "keras-cv", "torch"))
    words = [f"{package} {version}" for package, version in found.items()]
    python = f"Python {platform.python_version()}"
    return f"{os.cpu_count()} cores of {processor()}, {', '.join([python, *words])}"


def table(head, rows):
    """Returns a Markdown table whose first column is words and whose others are numbers."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [head, rule, *rows])


def alternate(contestants, rounds):
    """Times functions against each other.

    Args:
        contestants: `{name: function of no arguments}`; each is called twice before.
        rounds: In each, every function is timed once, in a new order.

    Returns:
        Seconds, `{name: [rounds]}`.
    """
    for function in contestants.values():
        function()
        function()
    times = {name: [] for name in contestants}
    for _ in range(rounds):
        for name in random.sample(list(contestants), len(contestants)):
            start = time.perf_counter()
            contestants[name]()
            times[name].append(time.perf_counter() - start)
    return times


def ratio(times, name, base):
    """Returns the median over the rounds of `name`'s time by `base`'s."""
    pairs = zip(times[name], times[base], strict=True)
    return statistics.median(a / b for a, b in pairs)


def milliseconds(times, name):
    """Returns the median time."""
    return 1e3 * statistics.median(times[name])
