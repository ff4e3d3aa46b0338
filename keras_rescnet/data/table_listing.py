"""The pictures in a table: which files, of which classes or tags, for which split."""

import csv
import dataclasses
import numbers
import os
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np

from keras_rescnet.data.folder_listing import TEST, VALIDATION, Listing, divide, show
from keras_rescnet.mistake import Mistake, nearest, shorten

BETWEEN_TAGS = "|"
_KINDS = ("label", "tags")
_USES = {"train": "train on", "test": "test with"}
_COLUMNS = "path, and label or tags; split is a third one"


@dataclasses.dataclass(frozen=True, repr=False)
class Table:
    """The columns of a table, as text.

    Args:
        name: What messages call it.
        first: Number of its first row, in messages.
        multi_label: Whether a picture has any number of tags, instead of one class.
        paths: Path of every picture.
        labels: The classes or tags of each.
        splits: The split of each; `None` without such a column.
    """

    name: str
    first: int
    multi_label: bool
    paths: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    splits: tuple[str, ...] | None

    def __repr__(self):
        # What a recipe's description holds: what is read is compared when it has been read
        return f"Table of {'tags' if self.multi_label else 'classes'}"


def read_csv(file: pathlib.Path) -> Table:
    """Returns the `Table` of a CSV file.

    Raises:
        Mistake: If it cannot be read, or a line of it has not the cells of the first.
    """
    try:
        with open(file, encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, strict=True)
            header = [name.strip() for name in next(reader, [])]
            rows = []
            for row in reader:
                if row and len(row) != len(header):
                    raise Mistake(
                        f"A row must have the {len(header)} cells of the first line. Received: "
                        f"{show(file)}, line {reader.line_num}: {shorten(','.join(row), str)}."
                    )
                rows.append(row or [""] * len(header))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        if isinstance(error, csv.Error):
            reason = f"line {reader.line_num}: {error}"
        raise Mistake(
            f"A table must be a CSV file in UTF-8. Received: {show(file)}: {reason}."
        ) from None
    while rows and not any(rows[-1]):  # empty lines at the end
        rows.pop()
    columns = dict(
        zip(header, zip(*rows, strict=True) if rows else [()] * len(header), strict=False)
    )
    return _table(show(file), 2, header, columns)


def table_of(columns: Mapping) -> Table:
    """Returns the `Table` of a DataFrame or a dict of columns.

    Raises:
        Mistake: If it is none, or lacks a column.
    """
    header = list(getattr(columns, "columns", columns if isinstance(columns, Mapping) else ()))
    try:
        found = {name: list(columns[name]) for name in header if name in ("path", *_KINDS, "split")}
        lengths = {len(column) for column in found.values()}
    except TypeError:  # a column is no sequence
        header = []
    if not header or len(lengths) > 1:
        raise Mistake(
            "`table` must be a CSV file, a DataFrame or a dict of columns of one length. "
            f"Received: table={shorten(columns)}."
        )
    return _table("the table", 1, header, found)


def _table(name, first, header, columns):
    kinds = [kind for kind in _KINDS if kind in header]
    twice = len(set(header)) < len(header)
    if "path" not in header or len(kinds) != 1 or twice:
        raise Mistake(
            f"A table must have the columns {_COLUMNS}. "
            f"Received: {name} with {shorten(', '.join(map(str, header)), str) or 'none'}."
        )
    multi_label = kinds == ["tags"]
    labels = [_labels(cell, multi_label) for cell in columns[kinds[0]]]
    splits = tuple(map(_text, columns["split"])) if "split" in header else None
    table = Table(
        name, first, multi_label, tuple(map(_text, columns["path"])), tuple(labels), splits
    )
    for row, (path, found) in enumerate(zip(table.paths, labels, strict=True)):
        if not path or "\0" in path:
            raise _unfit(table, row, "A row must have the path of a picture", path)
        if not multi_label and not found:
            raise _unfit(table, row, "A picture must have a label", path)
        if not all(tag.isprintable() for tag in found):
            raise _unfit(table, row, "Labels must be printable", ascii(found))
    return table


def _labels(cell, multi_label):
    if multi_label and isinstance(cell, Iterable) and not isinstance(cell, str):
        parts = [_text(item) for item in cell]
    else:
        text = _text(cell)
        parts = text.split(BETWEEN_TAGS) if multi_label else [text]
    return tuple(sorted({part.strip() for part in parts} - {""}))


def _text(cell):
    """Returns a cell as text; what is missing in a DataFrame is `None`, NaN or NA."""
    missing = cell is None or type(cell).__name__ == "NAType"
    missing = missing or (isinstance(cell, numbers.Real) and cell != cell)  # NaN of any precision
    return "" if missing else str(cell).strip()


def list_table(
    table, root, facts, validation_share=None, class_names=None, needed=("train", "test")
) -> Listing:
    """Returns the `Listing` of a `Table`.

    Args:
        table: The `Table`.
        root: The folder that its paths start from.
        facts: File to keep in what is found by looking through the pictures.
        validation_share: Share to test with, of a table without splits.
        class_names: Names of the classes in their order; all of the table in alphabetical order
            if `None`.
        needed: Splits that must have pictures.

    Raises:
        Mistake: If a row, a class or a split is not as it must be.
    """
    root = pathlib.Path(root)
    _check_paths(table, root)
    rows = dict(zip(table.paths, table.labels, strict=True))
    files = _splits(table, rows, validation_share)
    there = {split: {name for path in files[split] for name in rows[path]} for split in files}
    names = list(class_names or sorted(there["train"]))
    least = 1 if table.multi_label else 2
    for split in files:
        strange = sorted(there[split] - set(names))
        if strange:
            raise Mistake(
                f"Every class of {table.name} must have a picture to train on. "
                f"Received: {shorten(strange[0])}, which only {split} has."
            )
        if not files[split] and split in needed:
            raise Mistake(
                f"A table must have pictures to {' and to '.join(_USES[name] for name in needed)}. "
                f"Received: {table.name}, none for {split}."
            )
    if len(names) < least:
        raise Mistake(
            f"There must be {least} or more {'tags' if table.multi_label else 'classes'}. "
            f"Received: {shorten(names)} in {table.name}."
        )
    number = {name: i for i, name in enumerate(names)}

    def label(path):
        numbers = [number[name] for name in rows[path]]
        if not table.multi_label:
            return numbers[0]
        tags = np.zeros(len(names), "uint8")
        tags[numbers] = 1
        return tags

    labels = {split: [label(path) for path in files[split]] for split in files}
    return Listing(root, names, files, labels, [], pathlib.Path(facts))


def _check_paths(table, root):
    """Raises a `Mistake` if a picture is there twice, or not at all."""
    seen: dict[str, int] = {}
    for row, path in enumerate(table.paths):
        place = os.path.abspath(root / path)
        if place in seen:
            raise Mistake(
                "A table must name every picture once. "
                f"Received: {shorten(path)} in rows {table.first + seen[place]} and "
                f"{table.first + row} of {table.name}."
            )
        seen[place] = row
    missing = [row for row, path in enumerate(table.paths) if not os.path.isfile(root / path)]
    if missing:
        count = f"{len(missing)} of {len(table.paths)} that are no files, the first is "
        raise _unfit(table, missing[0], "A table must name files", table.paths[missing[0]], count)


def _splits(table, rows, validation_share):
    """Returns the paths of each split."""
    if (table.splits is None) == (validation_share is None):
        there = "no column split" if table.splits is None else "a column split"
        raise Mistake(
            "A table must have a column split, or else image_table a `validation_share`. Received: "
            f"{table.name} with {there} and validation_share={validation_share}."
        )
    if table.splits is None:
        classes: dict[str, list[str]] = {}
        for path, labels in rows.items():
            classes.setdefault("all" if table.multi_label else labels[0], []).append(path)
        divided = divide(classes, validation_share)
        if table.multi_label:
            _leave_every_tag(divided, rows)
        chosen = {path for paths in divided["test"].values() for path in paths}
        splits = ["test" if path in chosen else "train" for path in table.paths]
    else:
        splits = ["test" if split in VALIDATION else split for split in table.splits]
        for row, split in enumerate(splits):
            if split not in ("train", TEST):
                near = nearest(split, ("train", TEST, *VALIDATION))
                what = f"`split` must be train or test; nearest to this is {near}"
                raise _unfit(table, row, what, split)
    return {
        name: [path for path, split in zip(table.paths, splits, strict=True) if split == name]
        for name in ("train", "test")
    }


def _leave_every_tag(divided, rows):
    """Leaves pictures in `train` that have a tag which no other picture there has."""
    (train,), (test,) = divided["train"].values(), divided["test"].values()
    there = {tag for path in train for tag in rows[path]}
    for path in list(test):
        if not there.issuperset(rows[path]):
            there.update(rows[path])
            train.append(path)
            test.remove(path)


def _unfit(table, row, what, value, before=""):
    return Mistake(
        f"{what}. Received: {before}{shorten(value)} in row {table.first + row} of {table.name}."
    )
