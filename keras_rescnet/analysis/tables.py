"""The paper's tables with what was measured beside them, in Markdown."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import statistics
from typing import TYPE_CHECKING

from keras_rescnet.analysis.records import read_record
from keras_rescnet.files import write
from keras_rescnet.mistake import Mistake, shorten

if TYPE_CHECKING:
    from keras_rescnet.recipe import Recipe  # which imports TensorFlow, and so is imported late

BEGIN, END = "<!-- report -->", "<!-- /report -->"


NOTE = """\
Test accuracy in %. The paper reports the best epoch of one run. We report the last epoch: the mean
± the standard deviation over seeds, with the best epoch in brackets. An empty cell has not been
run; a cell without a figure of the paper has none that we could find."""


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
        Mistake: if it assigns no `recipes` and `columns`, or a recipe fits no column.
    """
    from keras_rescnet.recipe import Recipe, execute

    file = pathlib.Path(file)
    names = execute(file)
    recipes, columns = names.get("recipes"), names.get("columns")
    if not (_is_dict_of(Recipe, recipes) and _is_dict_of(str, columns)):
        raise Mistake(
            "A table's file must assign `recipes` and `columns`, dicts of names to recipes and of "
            f"headings to patterns. Received: {shorten(str(file), str)}, which does not."
        )
    rows = collections.defaultdict(dict)
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
        title=(names.get("__doc__") or file.stem).splitlines()[0].rstrip("."),
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


def read_records(folder) -> dict[str, list[dict]]:
    """Returns the records of a folder by the name of their run.

    Raises:
        Mistake: if there is no such folder, or a record is not as the run wrote it.
    """
    from keras_rescnet.recipe import recipe_name

    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise Mistake(
            f"--results must be a folder of records. Received: {shorten(str(folder), str)}."
        )
    records = collections.defaultdict(list)
    for file in sorted(folder.glob("*.json")):
        record = read_record(file)
        records[recipe_name(record["recipe"])].append(record)
    return dict(records)


def find_tables(recipes) -> list[pathlib.Path]:
    """Returns the files of tables in a folder.

    Raises:
        Mistake: if there are none.
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
        Mistake: if a folder is missing, or a file in it is not what it must be.
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
            cells.append("<br>".join([*paper, *_describe_runs(runs, recipe)]))
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
        lines.append(_line(f"`{name}`", _figure(recipe), "<br>".join(_describe_runs(runs, recipe))))
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


def _describe_runs(records, recipe):
    """Returns what runs of one recipe measured, one text for each set of overrides."""
    from keras_rescnet.recipe import FREE_FIELDS

    # Fields that decide no result, or that the text names in another way
    unmentioned = FREE_FIELDS | {"seed", "epochs"}
    groups = collections.defaultdict(list)
    for record in records:
        changes = {text for text in record["overrides"] if _field(text) not in unmentioned}
        groups[record["epochs"], tuple(sorted(changes))].append(record)
    texts = []
    for (epochs, changes), group in groups.items():
        last = _mean_of_seeds(group, "test_accuracy")
        best = statistics.mean(_mean_of_seeds(group, "best_test_accuracy"))
        spread = f" ± {statistics.stdev(last):.2f}" if len(last) > 1 else ""
        text = f"{statistics.mean(last):.2f}{spread} ({best:.2f}), {_count(len(group), 'run')}"
        if len(group) > len(last):
            text += f" with {_count(len(last), 'seed')}"
        text += f" of {_count(epochs, 'epoch')}"
        if recipe is None:
            text += ", of a recipe that is not here"
        elif epochs < recipe.epochs or any(_field(c) == "steps_per_epoch" for c in changes):
            text += f", **shortened**: not the recipe's {recipe.epochs}"
        if changes:
            text += f"; with {', '.join(f'`{change}`' for change in changes)}"
        texts.append(text)
    return texts


def _field(override):
    return override.partition("=")[0]


def _mean_of_seeds(records, name):
    """Returns one percentage per seed: repeats of a seed say nothing about the spread."""
    accuracies = collections.defaultdict(list)
    for record in records:
        accuracies[record.get("seed")].append(100 * record["results"][name])
    return [statistics.mean(group) for group in accuracies.values()]


def _count(number, thing):
    return f"{number} {thing}{'' if number == 1 else 's'}"


def split_at_marks(file) -> tuple[str, str]:
    """Returns what stands before and after the report in a file.

    Raises:
        Mistake: if the file does not have the two marks of a report.
    """
    file = pathlib.Path(file)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise Mistake(
            f"--update needs a file with {BEGIN} and {END}. Received: {shorten(str(file), str)}."
        )
    return before, after


def update(file, report: str) -> None:
    """Writes a report between the two marks of a file.

    Raises:
        Mistake: if the file has no such marks.
    """
    before, after = split_at_marks(file)
    write(file, f"{before}{BEGIN}\n{report}{END}{after}")
