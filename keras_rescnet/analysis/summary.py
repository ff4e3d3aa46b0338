"""What was run: one row per recipe, with accuracy, seeds, time, hardware and command."""

import shlex
import statistics

from keras_rescnet.analysis.records import (
    group_runs,
    mean_and_spread,
    metric_of,
    percentages,
    read_records,
)

_HEADINGS = ("recipe", "test accuracy, %", "seeds", "epochs", "fastest run", "hardware", "command")


def render_summary(results) -> str:
    """Returns a table in Markdown of all recorded runs, those of one recipe on one row.

    The accuracy is that of the last epoch, mean ± standard deviation over the seeds; the time is
    that of the fastest run, since other work on the machine can only add to it. The most accurate
    recipes come first, and all of one file together.

    Args:
        results: Folder of records.

    Raises:
        Mistake: If there is no such folder, or a record in it is not as the run wrote it.
    """
    rows = []
    for name, records in read_records(results).items():
        for (epochs, changes), runs in group_runs(records).items():
            rows.append((name, epochs, changes, runs))
    best: dict[str, float] = {}
    for *_, runs in rows:
        best[_file(runs)] = max(_accuracy(runs), best.get(_file(runs), 0.0))
    rows.sort(key=lambda row: (-best[_file(row[-1])], _file(row[-1]), -_accuracy(row[-1])))
    lines = [_line(*_HEADINGS), _line("---", "--:", "--:", "--:", "--:", "---", "---")]
    return "\n".join([*lines, *(_row(*row) for row in rows)]) + "\n"


def _row(name, epochs, changes, runs):
    options = [f"--set {shlex.quote(change)}" for change in changes]
    if any(text.startswith("epochs=") for text in runs[0]["overrides"]):
        options.insert(0, f"--set epochs={epochs}")
    words = ["python train.py --recipe", f"recipes/{_recipe(runs)}", *options]
    return _line(
        name,
        mean_and_spread(runs),
        str(len(percentages(runs, f"test_{metric_of(runs)}"))),
        str(epochs),
        _duration(min(run["hours"] for run in runs)),
        # as records had it at first
        "; ".join(sorted({run["machine"].replace(" 1 CPUs", " 1 CPU") for run in runs})),
        f"`{' '.join(words)}`",
    )


def _accuracy(runs):
    return statistics.mean(percentages(runs, f"test_{metric_of(runs)}"))


def _recipe(runs):
    return runs[0]["recipe"].replace("\\", "/").rpartition("/")[2]


def _file(runs):
    return _recipe(runs).partition(":")[0]


def _duration(hours):
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{60 * hours:.0f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"


def _line(*cells):
    return "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells) + " |"
