"""The paper's tables with what was measured beside them, in Markdown."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import statistics
from typing import TYPE_CHECKING

from keras_rescnet.analysis.records import (
    group_runs,
    mean_and_spread,
    metric_of,
    percentages,
    read_records,
)
from keras_rescnet.console import counted
from keras_rescnet.mistake import Mistake, shorten

if TYPE_CHECKING:
    from keras_rescnet.recipe import Recipe  # which imports TensorFlow, and so is imported late

NOTE = """\
Test accuracy in %: top-1, or top-1 / top-5. The paper reports the best epoch of one run. We report
the last epoch: the mean ± the standard deviation over seeds, with the best epoch in brackets. A
cell with the paper's figure alone has not been run."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Args:
        name: What its recipes have in common.
        cells: Name of the recipe in each column; `None` where there is none.
    """

    name: str
    cells: tuple[str | None, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """A recipe file that reads as a table.

    Args:
        file: The recipe file.
        title: First line of its docstring.
        columns: Headings to patterns of names.
        recipes: Names to recipes.
        rows: The rows, in the order of the recipes.
    """

    file: pathlib.Path
    title: str
    columns: dict[str, str]
    recipes: dict[str, Recipe]
    rows: tuple[Row, ...]


def read_table(file) -> Table:
    """Returns the `Table` that a recipe file makes.

    Raises:
        Mistake: If it assigns no `recipes` and `columns`, or a recipe fits no column.
    """
    from keras_rescnet.recipe import Recipe, execute

    file = pathlib.Path(file)
    names = execute(file)
    recipes: dict[str, Recipe] = names.get("recipes", {})
    columns: dict[str, str] = names.get("columns", {})
    if not (_is_dict_of(Recipe, recipes) and _is_dict_of(str, columns)):
        raise Mistake(
            "A table's file must assign `recipes` and `columns`, dicts of names to recipes and of "
            f"headings to patterns. Received: {shorten(str(file), str)}, which does not."
        )
    rows: dict[str, dict[str, str]] = collections.defaultdict(dict)
    for name in recipes:
        fits = [
            (heading, name[len(start) : len(name) - len(end)])
            for heading, (start, _, end) in ((h, p.partition("*")) for h, p in columns.items())
            if name.startswith(start) and name.endswith(end)
        ]
        if len(fits) != 1:
            raise Mistake(
                f"{file}: every recipe must fit one of `columns`. Received: {shorten(name)}, "
                f"which fits {len(fits)} of {shorten(list(columns.values()))}."
            )
        heading, row = fits[0]
        rows[row][heading] = name
    return Table(
        file=file,
        title=(str(names.get("__doc__") or "").strip() or file.stem).splitlines()[0].rstrip("."),
        columns=columns,
        recipes=recipes,
        rows=tuple(Row(row, tuple(map(cells.get, columns))) for row, cells in rows.items()),
    )


def _is_dict_of(cls, value):
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(key, str) for key in value)
        and all(isinstance(item, cls) for item in value.values())
    )


def find_tables(recipes) -> list[pathlib.Path]:
    """Returns the files of tables in a folder.

    Raises:
        Mistake: If there are none.
    """
    files = sorted(pathlib.Path(recipes).glob("table*.py"))
    if not files:
        raise Mistake(
            "--recipes must be a folder of table*.py. "
            f"Received: {shorten(str(recipes), str)}, which has none."
        )
    return files


def render(results, recipes) -> str:
    """Returns the report as Markdown.

    Args:
        results: Folder of records.
        recipes: Folder of recipe files, which are executed.

    Raises:
        Mistake: If a folder is missing, or a file in it is not what it must be.
    """
    files = find_tables(recipes)
    records = read_records(results)
    tables = [_render_table(table, records) for table in map(read_table, files)]
    if records:  # `_render_table` has taken its own
        tables.insert(0, _render_others(records, pathlib.Path(recipes)))
    return "\n\n".join([NOTE, *tables]) + "\n"


def _render_table(table, records):
    """Takes the table's records out of `records`."""
    example = next(iter(table.columns.values())).replace("*", "ROW")
    lines = [
        f"### {table.title}",
        "",
        f"`python train.py --recipe recipes/{table.file.name}:{example}`",
        "",
        _line("", *table.columns),
        _line(*["---"] * (1 + len(table.columns))),
    ]
    for row in table.rows:
        cells = []
        for name in row.cells:
            recipe = table.recipes.get(name)
            runs = records.pop(f"{table.file.stem}-{name}", [])
            figure = _figure(recipe)
            paper = [f"paper {figure}"] if figure else []
            cells.append("<br>".join([*paper, *describe_runs(runs, recipe)]))
        lines.append(_line(row.name, *cells))
    return "\n".join(lines)


def _render_others(records, folder):
    from keras_rescnet.recipe import load_recipe

    lines = ["### Recipes that are in no table", "", _line("recipe", "paper", "measured")]
    lines.append(_line("---", "---", "---"))
    for runs in records.values():
        name = pathlib.Path(runs[0]["recipe"]).name
        try:
            recipe = load_recipe(folder / name)
        except Mistake:  # a recipe from elsewhere, or one that was removed
            recipe = None
        lines.append(_line(f"`{name}`", _figure(recipe), "<br>".join(describe_runs(runs, recipe))))
    return "\n".join(lines)


def _figure(recipe):
    if recipe is None or recipe.reference is None:
        return ""
    text = f"{recipe.reference:.2f}"
    if recipe.reference_top5 is not None:
        text += f" / {recipe.reference_top5:.2f}"
    return text if recipe.reference_hours is None else f"{text} in {recipe.reference_hours:.2f} h"


def _line(*cells):
    return "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells) + " |"


def describe_runs(records, recipe):
    """Returns what runs of one recipe measured, one text for each set of overrides."""
    texts = []
    for (epochs, changes), group in group_runs(records).items():
        best = statistics.mean(percentages(group, f"best_test_{metric_of(group)}"))
        text = f"{mean_and_spread(group)} ({best:.2f}), {counted(len(group), 'run')}"
        seeds = len({record.get("seed") for record in group})
        if len(group) > seeds:
            text += f" with {counted(seeds, 'seed')}"
        text += f" of {counted(epochs, 'epoch')}"
        if recipe is None:
            text += ", of a recipe that is not here"
        elif epochs < recipe.epochs or any(c.startswith("steps_per_epoch=") for c in changes):
            text += f", **shortened**: not the recipe's {recipe.epochs}"
        if changes:
            text += f"; with {', '.join(f'`{change}`' for change in changes)}"
        texts.append(text)
    return texts
