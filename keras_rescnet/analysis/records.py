"""Records of finished runs: one small JSON file each, sealed by a checksum."""

import collections
import json
import pathlib
import statistics
from typing import Any

from keras_rescnet.arguments import is_integer, is_number
from keras_rescnet.files import checksum, write
from keras_rescnet.mistake import Mistake, shorten

_METRICS = ("accuracy", "mean_average_precision")


def check_folder(folder) -> None:
    """Makes the folder of records, before a run whose record could not be written.

    Raises:
        Mistake: If it cannot be made.
    """
    try:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise Mistake(
            f"--record must be a folder. Received: {shorten(str(folder), str)} "
            f"({getattr(error, 'strerror', None) or error})."
        ) from None


def write_record(folder, recipe, path, overrides, workdir) -> pathlib.Path:
    """Writes the record of a finished run.

    Args:
        folder: Where records are kept.
        recipe: The `Recipe` that was trained.
        path: `FILE` or `FILE:NAME`, as it was asked for.
        overrides: The `field=value` strings that replaced fields.
        workdir: The folder of the run.

    Returns:
        The path of the record.
    """
    from keras_rescnet.recipe import recipe_name

    run, results = (
        json.loads((pathlib.Path(workdir) / name).read_text(encoding="utf-8"))
        for name in ("run.json", "results.json")
    )
    environment = run["starts"][-1]["environment"]  # of the start that finished the run
    threads = environment["threads"]
    record = {
        "recipe": str(path),
        "overrides": list(overrides),
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "reference": recipe.reference,
        "results": results,
        "hours": round(run["seconds"] / 3600, 3),
        "machine": f"{environment['processor']}, {threads} CPU{'s' * (threads != 1)}",
        **environment,
        "starts": [  # the others of a run that was stopped
            {name: start[name] for name in ("step", "seconds", "environment")}
            for start in run["starts"][:-1]
        ],
    }
    record["checksum"] = checksum(record)
    file = pathlib.Path(folder) / f"{recipe_name(path)}-{record['checksum'][:8]}.json"
    write(file, json.dumps(record, indent=2) + "\n")
    return file


def read_record(file) -> dict[str, Any]:
    """Returns a record.

    Raises:
        Mistake: If it is not what `write_record` wrote.
    """
    try:
        record = json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or record.get("checksum") != checksum(record):
        raise Mistake(
            "A record must be as the run wrote it, but its checksum differs. "
            f"Received: {shorten(str(file), str)}. Run the recipe again with --record."
        )
    wrong = [name for name, holds in _CHECKS.items() if not holds(record.get(name))]
    if wrong:
        raise Mistake(
            f"A record must be as `train --record` writes it, but its {wrong[0]!r} is not. "
            f"Received: {shorten(str(file), str)}, {wrong[0]}={shorten(record.get(wrong[0]))}."
        )
    return record


def read_records(folder) -> dict[str, list[dict]]:
    """Returns the records of a folder by the name of their run.

    Raises:
        Mistake: If there is no such folder, or a record is not as the run wrote it.
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


def group_runs(records) -> dict[tuple[int, tuple[str, ...]], list[dict]]:
    """Returns the records of one recipe by their epochs and their overrides.

    Overrides that decide no result, and those of the seed and the epochs, separate no runs.
    """
    from keras_rescnet.recipe import FREE_FIELDS

    ignored = FREE_FIELDS | {"seed", "epochs"}
    groups = collections.defaultdict(list)
    for record in records:
        changes = {text for text in record["overrides"] if text.partition("=")[0] not in ignored}
        groups[record["epochs"], tuple(sorted(changes))].append(record)
    return dict(groups)


def percentages(records, name) -> list[float]:
    """Returns one result in % per seed: repeats of a seed say nothing about the spread."""
    accuracies = collections.defaultdict(list)
    for record in records:
        accuracies[record.get("seed")].append(100 * record["results"][name])
    return [statistics.mean(group) for group in accuracies.values()]


def mean_and_spread(records) -> str:
    """Returns the test metric of runs in %, with its standard deviation over several seeds.

    It is the accuracy, or that of `metric_of` with its name.
    """
    metric = metric_of(records)
    values = percentages(records, f"test_{metric}")
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    text = f"{statistics.mean(values):.2f}{spread}"
    return text if metric == "accuracy" else f"{text} {metric.replace('_', ' ')}"


def metric_of(records) -> str:
    """Returns the metric that runs of one recipe are reported by: accuracy, or that of tags."""
    return next(m for m in _METRICS if f"test_{m}" in records[0]["results"])


def _is_count(value):
    return is_integer(value) and value >= 1


def _is_positive(value):
    return is_number(value) and value >= 0


def _are_results(value):
    return isinstance(value, dict) and any(
        all(_is_accuracy(value.get(f"{name}_{metric}")) for name in ("test", "best_test"))
        for metric in _METRICS
    )


def _is_accuracy(value):
    return is_number(value) and 0 <= value <= 1


def _are_texts(value):
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


_CHECKS = {
    "recipe": lambda value: isinstance(value, str) and bool(value),
    "overrides": _are_texts,
    "epochs": _is_count,
    "results": _are_results,
    "hours": _is_positive,
    "machine": lambda value: isinstance(value, str),
}
