"""The paper's tables with what was measured beside them, in Markdown."""

import collections
import dataclasses
import pathlib
import statistics

from keras_rescnet.analysis.records import read_record
from keras_rescnet.mistake import Mistake
from keras_rescnet.recipe import FREE_FIELDS, Recipe, execute, load_recipe, recipe_name

BEGIN, END = "<!-- report -->", "<!-- /report -->"


NOTE = """\
Test accuracy in %. The paper's figures are those of the best epoch of one run. Ours are those of
the last epoch, mean ± standard deviation over the runs, with the best epoch's in brackets. A cell
of which nothing is said has not been run; one without a figure of the paper is one whose
figure was not to be had."""


# Fields that decide no result, or have words of their own in a cell
_NOT_NAMED = FREE_FIELDS | {"seed", "epochs"}


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


def read_table(file):
    """Returns the `Table` that a recipe file is.

    Raises:
        ValueError: if it has no `recipes` and `columns`, or a recipe fits no column.
    """
    file = pathlib.Path(file)
    names = execute(file)
    if not {"recipes", "columns"} <= set(names):
        raise Mistake(
            f"A table's file must assign `recipes` and `columns`. Received: {file}, without."
        )
    recipes, columns = names["recipes"], names["columns"]
    rows = collections.defaultdict(dict)
    for name in recipes:
        fits = [
            (heading, name[len(start) : len(name) - len(end)])
            for heading, (start, _, end) in ((h, p.partition("*")) for h, p in columns.items())
            if name.startswith(start) and name.endswith(end)
        ]
        if len(fits) != 1:
            raise Mistake(
                f"{file}: every recipe must fit one of `columns`. "
                f"Received: {name!r}, which fits {len(fits)} of {list(columns.values())}."
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


def read_records(folder):
    """Returns the records of a folder by the name of their run.

    Raises:
        ValueError: if there is no such folder, or a record is not as the run wrote it.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise Mistake(f"--results must be a folder of records. Received: {folder}.")
    records = collections.defaultdict(list)
    for file in sorted(folder.glob("*.json")):
        record = read_record(file)
        records[recipe_name(record["recipe"])].append(record)
    return dict(records)


def render(results, recipes):
    """Returns the report as Markdown.

    Args:
        results: Folder of records.
        recipes: Folder of recipe files.

    Raises:
        ValueError: if a folder is missing, or a file in it is not what it must be.
    """
    records = read_records(results)
    files = sorted(pathlib.Path(recipes).glob("table*.py"))
    if not files:
        raise Mistake(f"--recipes must be a folder of table*.py. Received: {recipes}.")
    tables = [_render_table(table, records) for table in map(read_table, files)]
    if records:  # those of the tables are taken out
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
            found = records.pop(f"{table.file.stem}-{name}", [])
            figure = _figure(recipe)
            paper = [f"paper {figure}"] if figure else []
            cells.append("<br>".join([*paper, *_measured(found, recipe)]))
        lines.append(_line(row.name, *cells))
    return "\n".join(lines)


def _render_others(records, folder):
    lines = ["### Recipes that are in no table", "", _line("recipe", "paper", "measured")]
    lines.append(_line("---", "---", "---"))
    for found in records.values():
        path = found[0]["recipe"]
        try:
            recipe = load_recipe(folder / pathlib.Path(path).name)
        except Mistake:  # a recipe of someone's own, or one that is no more
            recipe = None
        name = pathlib.Path(path).name
        lines.append(_line(f"`{name}`", _figure(recipe), "<br>".join(_measured(found, recipe))))
    return "\n".join(lines)


def _figure(recipe):
    if recipe is None or recipe.reference is None:
        return ""
    text = f"{recipe.reference:.2f}"
    if recipe.reference_top5 is not None:
        text += f" / {recipe.reference_top5:.2f}"
    return text if recipe.reference_hours is None else f"{text} in {recipe.reference_hours:.2f} h"


def _line(*cells):
    return "| " + " | ".join(cells) + " |"


def _measured(records, recipe):
    """Returns what runs of one recipe measured, a text for each set of overrides."""
    groups = collections.defaultdict(list)
    for record in records:
        changes = [text for text in record["overrides"] if text.partition("=")[0] not in _NOT_NAMED]
        groups[record["epochs"], tuple(sorted(changes))].append(record)
    texts = []
    for (epochs, changes), group in groups.items():
        last = _accuracies(group, "test_accuracy")
        best = statistics.mean(_accuracies(group, "best_test_accuracy"))
        spread = f" ± {statistics.stdev(last):.2f}" if len(last) > 1 else ""
        text = f"{statistics.mean(last):.2f}{spread} ({best:.2f}), {_count(len(group), 'run')}"
        text += f" of {_count(epochs, 'epoch')}"
        if recipe is None:
            text += ", of a recipe that is not here"
        elif epochs < recipe.epochs or any(c.startswith("steps_per_epoch=") for c in changes):
            text += f", **shortened**: not the recipe's {recipe.epochs}"
        if changes:
            text += f"; with {', '.join(f'`{change}`' for change in changes)}"
        texts.append(text)
    return texts


def _accuracies(records, name):
    return [100 * record["results"][name] for record in records]


def _count(number, thing):
    return f"{number} {thing}{'' if number == 1 else 's'}"


def update(file, report):
    """Writes a report between the two marks of a file.

    Raises:
        ValueError: if the file has no such marks.
    """
    file = pathlib.Path(file)
    text = file.read_text() if file.is_file() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise Mistake(f"--update needs a file with {BEGIN} and {END}. Received: {file}.")
    file.write_text(f"{before}{BEGIN}\n{report}{END}{after}")
