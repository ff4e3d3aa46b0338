"""Every picture that this package draws, with the numbers beside it."""

import csv
import pathlib

import numpy as np

from keras_rescnet.analysis.normality import gaussian_distance
from keras_rescnet.analysis.runs import read_log
from keras_rescnet.console import say
from keras_rescnet.mistake import Mistake


def plot_run(workdir):
    """Draws `curves.png` into a run's folder; prints why not where matplotlib is missing."""
    folder = pathlib.Path(workdir)
    try:
        plot_curves({folder.name: read_log(folder)}, folder / "curves.png")
    except (ValueError, OSError) as error:  # a picture less is no reason to fail at the end
        say(f"No curves.png. {error}")


def plot_curves(runs, path):
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
        raise Mistake(
            'A figure needs matplotlib. Received: none installed. pip install -e ".[plot]"'
        ) from None
    matplotlib.use("agg")
    from matplotlib import pyplot

    return pyplot


def plot_confusion(confusion, class_names, path):
    """Draws counts by true and guessed class into a PNG file."""
    pyplot = import_pyplot()
    shares = np.asarray(confusion) / np.maximum(np.sum(confusion, 1, keepdims=True), 1)
    size = 3 + 0.28 * len(class_names)
    figure, axes = pyplot.subplots(figsize=(size, size), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(class_names))
    axes.set_xticks(ticks, class_names, rotation=90)
    axes.set_yticks(ticks, class_names)
    axes.set(xlabel="guessed", ylabel="true")
    if len(class_names) <= 20:
        for i, row in enumerate(confusion):
            for j, count in enumerate(row):
                color = "white" if shares[i, j] > 0.5 else "black"
                axes.text(j, i, count, ha="center", va="center", color=color, fontsize="small")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def plot_responses(models, path, channels=16):
    """Draws the responses of models, and writes the numbers of every channel beside the picture.

    Args:
        models: Dict of names to `Measured`.
        path: PNG file to write; the numbers go into a CSV file beside it.
        channels: How many violins to draw of a model, from the first channel on.

    Raises:
        ValueError: if matplotlib is missing.
    """
    pyplot = import_pyplot()
    figure, axes = pyplot.subplot_mosaic(
        [["violins", "violins"], ["normality", "classes"]], figsize=(12, 8), layout="constrained"
    )
    for number, (name, measured) in enumerate(models.items()):
        look = {"color": f"C{number}", "label": name}
        shown = measured.values[:, :channels]
        places = np.arange(shown.shape[1]) + (number + 0.5) / len(models) - 0.5
        parts = axes["violins"].violinplot(
            shown, places, widths=0.9 / len(models), showextrema=False, showmedians=True
        )
        for body in parts["bodies"]:
            body.set(facecolor=look["color"], alpha=0.6)
        parts["cmedians"].set(color=look["color"])
        axes["normality"].plot(np.sort(measured.ks_distance), **look)
        axes["classes"].plot(np.sort(measured.discriminability)[::-1], **look)
    limit = gaussian_distance(min(len(measured.values) for measured in models.values()))
    axes["normality"].axhline(limit, color="gray", linestyle=":", label="95 % of Gaussian samples")
    axes["violins"].set(xlabel="channel", ylabel="response, mean over the image")
    axes["normality"].set(xlabel="channels, sorted", ylabel="KS distance to a Gaussian")
    axes["classes"].set(xlabel="channels, sorted", ylabel="between-class / within-class variance")
    for panel in ("normality", "classes"):
        axes[panel].legend(fontsize="small")
        axes[panel].grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    _write_csv(models, pathlib.Path(path).with_suffix(".csv"))


def _write_csv(models, path):
    columns = ("skewness", "excess_kurtosis", "ks_distance", "discriminability")
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "channel", "mean", "std", *columns])
        for name, measured in models.items():
            numbers = [measured.values.mean(0), measured.values.std(0)]
            numbers += [getattr(measured, column) for column in columns]
            for channel, row in enumerate(np.transpose(numbers)):
                writer.writerow([name, channel, *(f"{number:.6g}" for number in row)])


def plot_pictures(pictures, captions, path):
    """Draws pictures with captions, in rows, into a PNG file."""
    pyplot = import_pyplot()
    columns = int(np.ceil(np.sqrt(len(pictures))))
    rows = -(-len(pictures) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(1.4 * columns, 1.6 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, caption in zip(axes.flat, pictures, captions, strict=False):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(caption, fontsize="x-small")
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
