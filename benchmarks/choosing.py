"""Writes the table of docs/choosing.md: what each calibration costs, beside what it was worth.

    python benchmarks/choosing.py

Costs are those of `measured/calibration.json`, accuracies those of the records in
results/choosing/. A cell has the accuracy of the last epoch, in percent, as mean ± standard
deviation over the seeds.
"""

import json
import pathlib

from keras_rescnet.analysis.marked import update
from keras_rescnet.analysis.records import group_runs, mean_and_spread, read_records
from keras_rescnet.analysis.tables import read_table

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "choosing.md"
COSTS = ROOT / "benchmarks" / "measured" / "calibration.json"
RECIPES = ROOT / "recipes" / "rivals.py"
RECORDS = ROOT / "results" / "choosing"


def table():
    """Returns the table in Markdown."""
    measured = json.loads(COSTS.read_text())
    figures, recipes = measured["figures"], read_table(RECIPES)
    records = read_records(RECORDS)
    heads = ["", "parameters", "MACs (M)", "step x plain", "MiB kept x plain", *recipes.columns]
    lines = [heads, ["---"] + 4 * ["---:"] + ["---"] * len(recipes.columns)]
    for row in recipes.rows:
        costs = {
            cost: figures[f"{row.name}: {cost}"]
            for cost in ("parameters", "MACs", "step / plain", "bytes kept")
        }
        kept = costs["bytes kept"] / figures["plain: bytes kept"]
        accuracies = []
        for name in row.cells:
            if name is None:
                accuracies.append("")
                continue
            groups = group_runs(records.get(f"{RECIPES.stem}-{name}", []))
            described = [describe(epochs, runs) for (epochs, _), runs in groups.items()]
            accuracies.append("<br>".join(described) or "not run")
        lines.append(
            [
                row.name,
                f"{costs['parameters']:,}",
                f"{costs['MACs'] / 1e6:.3f}",
                f"{costs['step / plain']:.2f}",
                f"{kept:.2f}",
                *accuracies,
            ]
        )
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"\n{text}\n\nCosts in ResNet-32, by {measured['head']}\n\n"


def describe(epochs, runs):
    """Returns what runs of one recipe have reached after so many epochs."""
    return f"{mean_and_spread(runs)}, seeds: {len({run['seed'] for run in runs})}, epochs: {epochs}"


if __name__ == "__main__":
    update(PAGE, "choosing", table())
