"""Curves of runs: error and loss by epoch.

    python -m keras_rescnet.curves runs/cifar10_resnet32 runs/cifar10_rescnet32 --output curves.png

Draws the test error (full) and the training error (dashed) of one or several runs, and beside
them the losses, as Figure 4 of the paper does. Beside the picture lies a CSV file of its numbers.
"""

import csv
import pathlib
import sys

from absl import flags

from keras_rescnet.command import check_output, run_command


def read_log(workdir):
    """Returns the rows of a run's `log.csv` as dicts of floats, `None` where nothing was measured.

    Raises:
        ValueError: if there is none.
    """
    file = pathlib.Path(workdir) / "log.csv"
    if not file.is_file():
        raise ValueError(f"A run's folder must hold a log.csv. Received: {workdir}.")
    with open(file) as lines:
        return [
            {name: float(text) if text else None for name, text in row.items()}
            for row in csv.DictReader(lines)
        ]


def run_names(workdirs):
    """Returns the runs' names in a picture: their folders', or the paths if two are alike."""
    names = [pathlib.Path(workdir).resolve().name for workdir in workdirs]
    return names if len(set(names)) == len(names) else list(workdirs)


def plot_run(workdir):
    """Draws `curves.png` into a run's folder; prints why not where matplotlib is missing."""
    folder = pathlib.Path(workdir)
    try:
        plot({folder.name: read_log(folder)}, folder / "curves.png")
    except ValueError as error:
        print(f"No curves.png. {error}", flush=True)


def plot(runs, path):
    """Draws errors and losses of runs by epoch.

    Args:
        runs: Dict of names to rows, as `read_log` returns them.
        path: PNG file to write; the numbers go into a CSV file beside it.

    Raises:
        ValueError: if matplotlib is missing.
    """
    pyplot = import_pyplot()
    figure, (errors, losses) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for number, (name, rows) in enumerate(runs.items()):
        for split, style in (("test", "-"), ("train", "--")):
            measured = [row for row in rows if row[f"{split}_accuracy"] is not None]
            epochs = [row["epoch"] for row in measured]
            look = {"color": f"C{number}", "linestyle": style, "label": f"{name}, {split}"}
            errors.plot(epochs, [100 - 100 * row[f"{split}_accuracy"] for row in measured], **look)
            losses.plot(epochs, [row[f"{split}_loss"] for row in measured], **look)
    for axes, what in ((errors, "top-1 error, %"), (losses, "cross-entropy")):
        axes.set(xlabel="epoch", ylabel=what)
        axes.grid(alpha=0.3)
    errors.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    with open(pathlib.Path(path).with_suffix(".csv"), "w", newline="") as file:
        columns = list(dict.fromkeys(name for rows in runs.values() for name in rows[0]))
        writer = csv.DictWriter(file, ["run", *columns], lineterminator="\n")
        writer.writeheader()
        writer.writerows({"run": name, **row} for name, rows in runs.items() for row in rows)


def import_pyplot():
    """Returns `matplotlib.pyplot`, set to draw into files.

    Raises:
        ValueError: if it is missing.
    """
    try:
        import matplotlib
    except ImportError:
        raise ValueError(
            'A figure needs matplotlib. Received: none installed. pip install -e ".[plot]"'
        ) from None
    matplotlib.use("agg")
    from matplotlib import pyplot

    return pyplot


def main(arguments):
    """Draws the curves of the runs that are named."""
    values = flags.FlagValues()
    output = flags.DEFINE_string("output", "curves.png", "PNG to write.", flag_values=values)

    def draw(workdirs):
        if not workdirs:
            raise ValueError("Name at least one run's folder. Received: none.")
        check_output("output", output.value)
        plot(dict(zip(run_names(workdirs), map(read_log, workdirs), strict=True)), output.value)
        print(f"Wrote {output.value} and the CSV file of its numbers.")

    run_command("curves", __doc__, arguments, values, draw, takes_words=True)


if __name__ == "__main__":
    main(sys.argv)
