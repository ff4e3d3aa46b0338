"""What was run: one row per recipe, with accuracy, seeds, time, hardware and command."""

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
    that of the fastest run, since other work on the machine can only add to it.

    Args:
        results: Folder of records.

    Raises:
        Mistake: if there is no such folder, or a record in it is not as the run wrote it.
    """
    lines = [_line(*_HEADINGS), _line("---", "--:", "--:", "--:", "--:", "---", "---")]
    for name, records in read_records(results).items():
        for (epochs, changes), runs in group_runs(records).items():
            path = runs[0]["recipe"]
            options = [f"--set {change}" for change in changes]
            if any(text.startswith("epochs=") for text in runs[0]["overrides"]):
                options.insert(0, f"--set epochs={epochs}")
            command = " ".join(["python train.py --recipe", f"recipes/{_file(path)}", *options])
            lines.append(
                _line(
                    name,
                    mean_and_spread(runs),
                    str(len(percentages(runs, f"test_{metric_of(runs)}"))),
                    str(epochs),
                    _duration(min(run["hours"] for run in runs)),
                    "; ".join(sorted({run["machine"] for run in runs})),
                    f"`{command}`",
                )
            )
    return "\n".join(lines) + "\n"


def _file(path):
    return path.replace("\\", "/").rpartition("/")[2]


def _duration(hours):
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{60 * hours:.0f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"


def _line(*cells):
    return "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells) + " |"
