"""Logs of runs: `log.csv`, a row per epoch."""

import csv
import math
import pathlib

from keras_rescnet.files import is_file
from keras_rescnet.mistake import Mistake, shorten

_LOGGED = ("epoch", "train_loss", "train_{}", "test_loss", "test_{}")


def read_log(workdir) -> list[dict[str, float | None]]:
    """Returns the rows of a run's `log.csv`, with `None` where nothing was measured.

    Raises:
        Mistake: If there is none, or it is not as a run wrote it.
    """
    file = pathlib.Path(workdir) / "log.csv"
    if not is_file(file):
        raise Mistake(
            "A run's folder must hold a log.csv, which its first epoch writes. "
            f"Received: {shorten(str(workdir), str)}, which has none."
        )
    try:
        with open(file, encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, strict=True))
    except (OSError, UnicodeError, csv.Error) as error:
        raise _damaged_log(file, str(error)) from error
    logged = [name.format(curve_metric(rows)) for name in _LOGGED]
    if not rows or not set(logged) <= set(rows[0]):
        raise _damaged_log(file, f"it must have rows and the columns {', '.join(logged)}")
    parsed = [_parse_row(row, number, file) for number, row in enumerate(rows, start=2)]
    epochs = [row["epoch"] for row in parsed]
    if epochs != sorted(set(epochs)):
        raise _damaged_log(file, "its epochs must increase")
    return parsed


def curve_metric(rows) -> str:
    """Returns the metric beside the loss that is drawn of a log: accuracy, or of tags F1."""
    return "f1" if rows and "test_f1" in rows[0] else "accuracy"


def _parse_row(row, number, file):
    if None in row or None in row.values():
        raise _damaged_log(file, f"line {number} has not as many cells as the first")
    try:
        parsed = {name: float(text) if text else None for name, text in row.items()}
    except ValueError:
        raise _damaged_log(file, f"line {number} must have numbers") from None
    epoch = parsed["epoch"]
    if epoch is None or not math.isfinite(epoch) or epoch < 1 or epoch != int(epoch):
        raise _damaged_log(file, f"line {number} must have an epoch, 1 or more")
    if any(value is not None and not math.isfinite(value) for value in parsed.values()):
        raise _damaged_log(file, f"line {number} must have finite numbers")
    return parsed


def _damaged_log(file, reason):
    return Mistake(
        f"A log.csv must be as a run wrote it: {shorten(reason, str, 200)}. "
        f"Received: {shorten(str(file), str)}."
    )
