"""Tries faults at random, and prints how many were tried, survived and lost.

    python -m tests.faults --minutes 60              all kinds in turn
    python -m tests.faults --kills 200 --of fit      a fit under ExactResume, killed 200 times
    python -m tests.faults --kills 500 --of train    the same for runs of kr.train

In a checkout, with the packages of the extra `test`; KERAS_BACKEND=jax tries them with JAX. A trial
that loses something counts as one lost, keeps its folder, and others follow. The full disk needs
root, and is left out without. Exit code: 0 if nothing was lost, else 1.
"""

import argparse
import collections
import itertools
import math
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
    """Runs trials in turn until the time is over, or as many kills are done."""
    from faults.trials import KINDS

    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, help="how long to continue; 10 without --kills")
    parser.add_argument("--kills", type=int, help="how many of `fit` or `train`, then it ends")
    parser.add_argument("--of", choices=KINDS, help="one kind alone")
    parser.add_argument("--seed", type=int, default=0, help="seed of what is done when")
    arguments = parser.parse_args()
    if arguments.kills and arguments.of not in ("fit", "train"):
        parser.error("--kills counts those of one kind: it needs --of fit or --of train.")
    chosen = [name for name in KINDS if arguments.of in (None, name)]
    end = time.monotonic() + 60.0 * (arguments.minutes or (math.inf if arguments.kills else 10.0))
    generator = random.Random(arguments.seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="faults-"))
    counts = {name: collections.Counter() for name in chosen}
    for name in itertools.cycle(chosen):
        count = counts[name]
        if time.monotonic() > end or count["tried"] >= (arguments.kills or math.inf):
            break
        left = [arguments.kills - count["tried"]] if arguments.kills else []
        try:
            tried = KINDS[name](folder, generator, *left)
            count["tried"] += tried
            count["survived"] += tried
        except AssertionError:
            traceback.print_exc()
            count["tried"] += 1
            count["lost"] += 1
            shutil.move(folder, f"{folder}.lost-{name}-{count['lost']}")
            folder.mkdir()
        print(
            f"{name}: {count['tried']} tried, {count['survived']} survived, {count['lost']} lost",
            flush=True,
        )
    shutil.rmtree(folder)
    sys.exit(any(count["lost"] for count in counts.values()))


if __name__ == "__main__":
    main()
