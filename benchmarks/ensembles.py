"""Writes the tables of docs/ensembles.md: a single network, a plain ensemble and FoRDE.

    python benchmarks/ensembles.py [FORDE]

What was measured lies in results/ensembles/, as `kr.ensemble.write_csv` writes it: plain.csv is the
ensemble.csv of `python -m keras_rescnet.ensemble`, for seeds 0 to 4. With FORDE, the `model.keras`
of examples/forde.py, this measures its members on CIFAR-10 and writes forde.csv first.
"""

import csv
import pathlib
import sys

import numpy as np

from keras_rescnet.analysis.marked import update

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "ensembles.md"
RESULTS = ROOT / "results" / "ensembles"
SCORES = ("accuracy", "negative_log_likelihood", "brier_score", "calibration_error")


def read(name):
    """Returns the scores `(models, scores)` by corruption and severity; the ensemble is last."""
    conditions = {}
    with open(RESULTS / f"{name}.csv", newline="") as file:
        for row in csv.DictReader(file):
            values = [float(row[score]) for score in (*SCORES, "disagreement") if row[score]]
            values += [np.nan] * (5 - len(values))
            conditions.setdefault((row["corruption"], int(row["severity"])), []).append(values)
    return {condition: np.array(rows) for condition, rows in conditions.items()}


def measure(path):
    """Writes forde.csv: scores of the members of a saved model, clean and corrupted."""
    import keras

    import keras_rescnet as kr

    members = [x for x in keras.models.load_model(path).layers if isinstance(x, keras.Model)]
    corruptions = [getattr(kr.corruptions, name) for name in kr.corruptions.__all__]
    rows = kr.ensemble.measure(members, kr.data.CIFAR10, corruptions=corruptions)
    kr.ensemble.write_csv(rows, RESULTS / "forde.csv")


def tables():
    """Returns both tables in Markdown."""
    plain, forde = read("plain"), read("forde")
    models = {
        "single network, mean of 5 seeds": (plain, slice(0, -1)),
        "ensemble of these 5": (plain, slice(-1, None)),
        "FoRDE, mean of its 5 members": (forde, slice(0, -1)),
        "FoRDE": (forde, slice(-1, None)),
    }
    groups = {
        "clean": [condition for condition in plain if condition[1] == 0],
        "corrupted": [condition for condition in plain if condition[1] > 0],
    }
    heads = ["pictures", "", "accuracy, %", "NLL", "Brier", "ECE", "disagreement, %"]
    lines = [heads, ["---", "---"] + 5 * ["---:"]]
    for pictures, conditions in groups.items():
        for model, (scores, rows) in models.items():
            values = np.mean([scores[condition][rows] for condition in conditions], axis=0)
            accuracy, *others, disagreement = values.mean(0)
            spread = f" ± {100 * values[:, 0].std(ddof=1):.2f}" if len(values) > 1 else ""
            cells = [f"{100 * accuracy:.2f}{spread}", *(f"{other:.4f}" for other in others)]
            cells.append("" if np.isnan(disagreement) else f"{100 * disagreement:.2f}")
            lines.append([pictures, model, *cells])
    kinds = list(dict.fromkeys(name for name, severity in plain if severity > 0))
    each = [["accuracy, %", *models], ["---"] + 4 * ["---:"]]
    for kind in kinds:
        conditions = [condition for condition in plain if condition[0] == kind]
        means = [
            np.mean([scores[condition][rows, 0] for condition in conditions])
            for scores, rows in models.values()
        ]
        each.append([f"`{kind}`", *(f"{100 * mean:.2f}" for mean in means)])
    texts = ["\n".join(f"| {' | '.join(cells)} |" for cells in rows) for rows in (lines, each)]
    return "\n" + "\n\n".join(texts) + "\n\n"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1])
    update(PAGE, "ensembles", tables())
