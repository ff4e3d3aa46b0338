"""The tables of docs/ensembles.md are what was measured."""

import csv
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def ensembles(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import ensembles

    return ensembles


def test_the_tables_are_what_was_measured(ensembles):
    _, _, rest = ensembles.PAGE.read_text().partition("<!-- ensembles -->")
    assert rest.partition("<!-- /ensembles -->")[0] == f"\n{ensembles.tables()}"


@pytest.mark.parametrize(("file", "name"), [("plain", "ensemble of these 5"), ("forde", "FoRDE")])
def test_rows_are_means_over_all_corruptions(ensembles, file, name):
    with open(ensembles.RESULTS / f"{file}.csv", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["model"] == "ensemble"]
    corrupted = [row for row in rows if row["corruption"] != "none"]
    assert len(corrupted) == 8 * 5 and len(rows) == 41
    for pictures, chosen in (("clean", rows[:1]), ("corrupted", corrupted)):
        accuracy = 100 * sum(float(row["accuracy"]) for row in chosen) / len(chosen)
        assert f"| {pictures} | {name} | {accuracy:.2f} |" in ensembles.tables()
