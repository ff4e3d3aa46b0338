"""Every picture that this package draws, with the numbers beside it."""

import csv
import io
import pathlib

import numpy as np

from keras_rescnet.analysis.log import curve_metric, read_log
from keras_rescnet.analysis.normality import gaussian_distance
from keras_rescnet.console import say
from keras_rescnet.files import write, write_aside
from keras_rescnet.mistake import Mistake

SUFFIXES = (".png", ".pdf", ".svg")  # of the files that pictures can be written to

_DPI = 150  # so that small letters can be read at half of the size, too

# Fonts that have Chinese, Japanese and Korean letters, where the system has one of them
_MORE_FONTS = ("Noto Sans CJK", "Noto Sans SC", "WenQuanYi", "Source Han Sans", "IPA", "Unifont")


def plot_run(workdir) -> None:
    """Draws `curves.png` into a run's folder; prints why not where matplotlib is missing."""
    folder = pathlib.Path(workdir)
    try:
        plot_curves({folder.resolve().name: read_log(folder)}, folder / "curves.png")
    except (ValueError, OSError) as error:  # a picture less is no reason to fail at the end
        say(f"No curves.png. {error}")


def import_pyplot():
    """Returns `matplotlib.pyplot`, set to draw into files.

    Raises:
        Mistake: If it is missing.
    """
    try:
        import matplotlib
    except ImportError:
        raise Mistake(
            "A picture needs matplotlib. Received: none installed. "
            'Install it with pip install "keras_rescnet[plot]".'
        ) from None
    matplotlib.use("agg")
    from matplotlib import font_manager, pyplot

    installed = {font.name for font in font_manager.fontManager.ttflist}
    more = sorted(name for name in installed if name.startswith(_MORE_FONTS))
    pyplot.rcParams["font.family"] = ["DejaVu Sans", *more[:3]]
    return pyplot


def plot_curves(runs, path) -> None:
    """Draws errors and losses of runs by epoch, on a logarithmic scale where none is 0.

    Args:
        runs: Dict of names to rows, as `read_log` returns them.
        path: Picture to write; the numbers go into a CSV file beside it.

    Raises:
        Mistake: If matplotlib is missing.
    """
    pyplot = import_pyplot()
    height = 4.4 + 0.25 * len(runs)  # with a line below for each run
    figure, (errors, losses) = pyplot.subplots(1, 2, figsize=(10, height), layout="constrained")
    names = drawable(runs)
    for number, (name, rows) in enumerate(zip(names, runs.values(), strict=True)):
        for split, style in (("test", "-"), ("train", "--")):
            metric = f"{split}_{curve_metric(rows)}"
            measured = [row for row in rows if row[metric] is not None]
            epochs = [row["epoch"] for row in measured]
            percents = [100 - 100 * row[metric] for row in measured]
            look = {"color": f"C{number}", "linestyle": style}
            marker = "o" if len(epochs) == 1 else None  # a line of one point cannot be seen
            errors.plot(epochs, percents, marker=marker, label=_ends(name, split, percents), **look)
            values = [(row["epoch"], row[f"{split}_loss"]) for row in measured]
            values = [(epoch, loss) for epoch, loss in values if loss is not None]
            losses.plot(*zip(*values, strict=True) if values else ([], []), marker=marker, **look)
    metrics = sorted({curve_metric(rows) for rows in runs.values()})
    title = " and ".join({"accuracy": "Top-1 error", "f1": "100 % - F1"}[m] for m in metrics)
    errors.set(title=f"{title} by epoch", ylabel="error, %")
    losses.set(title="Loss by epoch", ylabel="loss")
    for axes in (errors, losses):
        axes.set(xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        drawn = [value for line in axes.get_lines() for value in line.get_ydata()]
        if drawn and min(drawn) > 0:
            axes.set_yscale("log")
            _set_plain_ticks(axes, pyplot)
        axes.grid(alpha=0.3, which="both")
    # Below, where it hides no curve; matplotlib fills columns from above
    handles, labels = errors.get_legend_handles_labels()
    order = [*range(0, len(handles), 2), *range(1, len(handles), 2)]
    figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="outside lower center",
        ncols=2,
        fontsize="small",
    )
    save(figure, path, pyplot)
    write_csv(path, ["run", *_columns(runs)], _curve_rows(runs))


def _ends(name, split, percents):
    """Returns a label with a curve's last value, and its best one where that is another."""
    if not percents:
        return f"{name}, {split}"
    last, best = percents[-1], min(percents)
    text = f"{name}, {split}: {last:.2f} %"
    return text if best == last else f"{text}, best {best:.2f} %"


def _set_plain_ticks(axes, pyplot):
    """Writes 20 and 0.5 at a logarithmic axis, in place of powers of ten."""
    plain = pyplot.matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(plain)
    low, high = axes.get_ylim()
    if high / low < 100:  # else there would be a label at every line
        axes.yaxis.set_minor_formatter(plain)
        axes.tick_params(axis="y", which="minor", labelsize="small")


def _columns(runs):
    return list(dict.fromkeys(name for rows in runs.values() for name in rows[0]))


def _curve_rows(runs):
    columns = _columns(runs)
    return [
        [name, *(row.get(column) for column in columns)]
        for name, rows in runs.items()
        for row in rows
    ]


def plot_confusion(confusion, class_names, path, title="Confusion") -> None:
    """Draws counts by true and predicted class.

    Args:
        confusion: Counts, `(true class, predicted class)`.
        class_names: Names of the classes.
        path: Picture to write.
        title: What stands above it.

    Raises:
        Mistake: If matplotlib is missing.
    """
    pyplot = import_pyplot()
    shares = np.asarray(confusion) / np.maximum(np.sum(confusion, 1, keepdims=True), 1)
    size = min(3.5 + 0.28 * len(class_names), 40)
    figure, axes = pyplot.subplots(figsize=(size, size), layout="constrained")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.6, label="share of the true class")
    if len(class_names) <= 132:  # more names would overlap on the largest figure
        names = drawable(class_names)
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title(drawable([title])[0], wrap=True)
    if len(class_names) <= 20:
        for i, row in enumerate(confusion):
            for j, count in enumerate(row):
                color = "white" if shares[i, j] > 0.5 else "black"
                axes.text(j, i, count, ha="center", va="center", color=color, fontsize="small")
    save(figure, path, pyplot)


def plot_responses(models, path, channels=16) -> None:
    """Draws the responses of models, and writes the numbers of every channel beside the picture.

    Args:
        models: Dict of names to `Measured`.
        path: Picture to write; the numbers go into a CSV file beside it.
        channels: Number of violins per model, from the first channel on.

    Raises:
        Mistake: If matplotlib is missing.
    """
    pyplot = import_pyplot()
    figure, axes = pyplot.subplot_mosaic(
        [["violins", "violins"], ["normality", "classes"]], figsize=(12, 8), layout="constrained"
    )
    names = drawable(models)
    for number, (name, measured) in enumerate(zip(names, models.values(), strict=True)):
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
    axes["violins"].set(
        title="Responses of the last block", xlabel="channel", ylabel="response, mean over an image"
    )
    axes["normality"].set(
        title="Distance to a Gaussian", xlabel="channels, sorted", ylabel="KS distance"
    )
    axes["classes"].set(
        title="Separation of classes",
        xlabel="channels, sorted",
        ylabel="between-class / within-class variance",
    )
    axes["violins"].xaxis.get_major_locator().set_params(integer=True)
    for panel in ("normality", "classes"):
        axes[panel].xaxis.get_major_locator().set_params(integer=True)
        axes[panel].legend(fontsize="small")
        axes[panel].grid(alpha=0.3)
    save(figure, path, pyplot)
    columns = ("skewness", "excess_kurtosis", "ks_distance", "discriminability")
    write_csv(path, ["model", "channel", "mean", "std", *columns], _response_rows(models, columns))


def _response_rows(models, columns):
    for name, measured in models.items():
        numbers = [measured.values.mean(0), measured.values.std(0)]
        numbers += [getattr(measured, column) for column in columns]
        for channel, row in enumerate(np.transpose(numbers)):
            yield [name, channel, *(f"{number:.6g}" for number in row)]


def plot_pictures(pictures, captions, path, title="") -> None:
    """Draws pictures with captions in rows.

    Args:
        pictures: `(N, H, W, C)` in [0, 1]. Of more than three channels the first three are drawn,
            of two the first.
        captions: One per picture.
        path: Picture to write.
        title: What stands above all of them.

    Raises:
        Mistake: If matplotlib is missing.
    """
    pyplot = import_pyplot()
    columns = int(np.ceil(np.sqrt(len(pictures))))
    rows = -(-len(pictures) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(1.4 * columns, 1.6 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, caption in zip(axes.flat, pictures, drawable(captions), strict=False):
        axis.imshow(visible(picture), interpolation="nearest", cmap="gray", vmin=0, vmax=1)
        axis.set_title(caption, fontsize="small")
    figure.suptitle(drawable([title])[0], fontsize="small")
    save(figure, path, pyplot)


def visible(picture):
    """Returns what can be drawn of a picture: three channels, or one of fewer."""
    return picture[..., :3] if picture.shape[-1] > 2 else picture[..., 0]


def drawable(names):
    """Returns names for a picture; one with a letter that no installed font has becomes a number.

    matplotlib would draw boxes, and warn. `$` would begin a formula, `_` what a legend leaves out.
    """
    from matplotlib import font_manager, rcParams

    letters = set().union(*map(str, names)) if names else set()
    known = {letter for letter in letters if letter.isascii() and letter.isprintable()}
    for family in rcParams["font.family"] if letters - known else ():
        font = font_manager.get_font(font_manager.findfont(family))
        known |= {letter for letter in letters if font.get_char_index(ord(letter))}
    shown = [
        str(name).replace("$", r"\$") if set(str(name)) <= known else f"#{number}"
        for number, name in enumerate(names)
    ]
    return [f" {name}" if name.startswith("_") else name for name in shown]


def save(figure, path, pyplot):
    """Writes a figure, whole or not at all, and forgets it."""
    try:
        with write_aside(path) as aside:
            figure.savefig(aside, dpi=_DPI)
    finally:
        pyplot.close(figure)


def write_csv(path, header, rows):
    """Writes the numbers of a picture beside it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    # Names of runs may be no UTF-8
    data = text.getvalue().encode(errors="backslashreplace")
    write(pathlib.Path(path).with_suffix(".csv"), data)
