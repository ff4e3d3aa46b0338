"""Runs the benchmarks, and writes what they measured into docs/performance.md and docs/choosing.md.

    python benchmarks/run.py                 all of them, about 40 minutes on two cores
    python benchmarks/run.py step memory     these; the others' figures stay
    python benchmarks/run.py --page          none; writes the page again

Prints every target with what was measured. Keeps what the scripts say in `measured/`, and writes
it between the lines `<!-- NAME -->` and `<!-- /NAME -->` of the page. The machine should be quiet.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import choosing
from measurement import table
from targets import TARGETS

from keras_rescnet.analysis.marked import update

HERE = pathlib.Path(__file__).parent
MEASURED = HERE / "measured"
PAGE = HERE.parent / "docs" / "performance.md"
BENCHMARKS = {
    "activations": ["--rounds", "25"],
    "step": ["--rounds", "11"],
    "calibration": ["--rounds", "7"],
    "modes": [],
    "inference": [],
    "memory": [],
    "trainer": ["--rounds", "9"],
    "optimizers": [],
    "waiting": [],
    "pipeline": ["--memory"],
    "start": [],
    "growth": ["--plot", "docs/growth.png"],
}


def measure(name, more):
    """Runs a benchmark in a process of its own."""
    MEASURED.mkdir(exist_ok=True)
    file = MEASURED / f"{name}.json"
    command = [sys.executable, HERE / f"{name}.py", *BENCHMARKS[name], *more, "--json", file]
    subprocess.run(command, cwd=HERE.parent, check=True)


def measured():
    """Returns what the benchmarks said when they last ran, `{name: dict}`."""
    return {
        name: json.loads((MEASURED / f"{name}.json").read_text())
        for name in BENCHMARKS
        if (MEASURED / f"{name}.json").is_file()
    }


def targets(results):
    """Returns the table of the targets, and what was tried where one is not met."""
    rows, tried = [], {}
    for target in TARGETS:
        figures = results.get(target.benchmark, {}).get("figures", {})
        value = figures.get(target.figure)
        bound = (
            f"<= {target.at_most:g}" if target.at_most is not None else f">= {target.at_least:,g}"
        )
        said, verdict = "not run", ""
        if value is not None:
            said = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
            said = f"{said} {target.unit}"
            verdict = "met" if target.met(value) else "not met"
            if not target.met(value):
                tried.setdefault(target.tried, []).append(f"**{target.words}**")
        rows.append((target.words, f"{bound} {target.unit}", said, verdict))
    text = table(("", "target", "measured", ""), rows)
    missed = [f"- {'; '.join(words)}: {why}" for why, words in tried.items()]
    return text + ("\n\nNot met:\n\n" + "\n".join(missed) if missed else "")


def page(text, results):
    """Returns the page with the results between its marks."""
    blocks = {name: f"{result['head']}\n\n{result['tables']}" for name, result in results.items()}
    blocks["targets"] = targets(results)
    for name, block in blocks.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise SystemExit(f"{PAGE} must have the lines {begin} and {end}.")
        text = f"{before}{begin}\n\n{block}\n\n{end}{after}"
    return text


def main():
    """Measures, prints the targets, writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=", ".join(BENCHMARKS))
    parser.add_argument("--page", action="store_true", help="measure nothing")
    parser.add_argument("--pictures", help="a folder of class folders of JPEG files")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {list(BENCHMARKS)}")
    names = [] if arguments.page else arguments.names or list(BENCHMARKS)
    for name in names:
        pictures = name in ("pipeline", "start") and arguments.pictures
        measure(name, ["--pictures", arguments.pictures] if pictures else [])
    results = measured()
    print(targets(results))
    PAGE.write_text(page(PAGE.read_text(), results))
    update(choosing.PAGE, "choosing", choosing.table())


if __name__ == "__main__":
    main()
