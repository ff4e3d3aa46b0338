"""docs/choosing.md is what the costs and the records say."""

import pathlib

import pytest

from keras_rescnet.analysis.records import read_records

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def choosing(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import choosing

    return choosing


def test_the_table_is_what_was_measured(choosing):
    _, _, rest = choosing.PAGE.read_text().partition("<!-- choosing -->")
    assert rest.partition("<!-- /choosing -->")[0] == f"\n{choosing.table()}"


def test_what_has_no_record_is_not_run(choosing):
    recipes = choosing.read_table(choosing.RECIPES)
    records = read_records(choosing.RECORDS)
    rows = [line.split(" | ") for line in choosing.table().splitlines() if line.startswith("| ")]
    cells = {row[0].removeprefix("| "): row[-len(recipes.columns) :] for row in rows}
    for row in recipes.rows:
        for name, cell in zip(row.cells, cells[row.name], strict=True):
            run = name is not None and f"rivals-{name}" in records
            assert ("not run" in cell) == (name is not None and not run)


def test_every_calibration_is_explained(choosing):
    text = choosing.PAGE.read_text()
    for row in choosing.read_table(choosing.RECIPES).rows:
        assert row.name == "plain" or f"\n| {row.name} | `" in text
