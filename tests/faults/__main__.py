"""Tries faults at random for some time, and prints how many were tried, survived and lost.

    python -m tests.faults --minutes 60

In a checkout, with the packages of the extra `test`; KERAS_BACKEND=jax tries them with JAX. A trial
that loses something keeps its folder and goes on. The full disk needs root, and is left out
without. Exit code: 0 if nothing was lost, else 1.
"""

import argparse
import collections
import pathlib
import random
import shutil
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def main():
    """Runs trials of all kinds in turn until the time is over."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to go on")
    parser.add_argument("--seed", type=int, default=0, help="seed of what is done when")
    arguments = parser.parse_args()
    from faults import trials

    generator = random.Random(arguments.seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="faults-"))
    counts = {trial.__name__: collections.Counter() for trial in trials.ALL}
    end = time.monotonic() + 60.0 * arguments.minutes
    while time.monotonic() < end:
        for trial in trials.ALL:
            count = counts[trial.__name__]
            try:
                tried = trial(folder, generator)
                count["tried"] += tried
                count["survived"] += tried
            except AssertionError:
                traceback.print_exc()
                count["tried"] += 1
                count["lost"] += 1
                shutil.move(folder, f"{folder}.lost-{trial.__name__}-{count['lost']}")
                folder.mkdir()
            print(
                f"{trial.__name__}: {count['tried']} tried, {count['survived']} survived, "
                f"{count['lost']} lost",
                flush=True,
            )
            if time.monotonic() > end:
                break
    shutil.rmtree(folder)
    sys.exit(any(count["lost"] for count in counts.values()))


if __name__ == "__main__":
    main()
