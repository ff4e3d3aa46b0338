"""The pictures of noise, of bits of sums and of explanations, with the numbers beside them."""

import pathlib

import numpy as np

from keras_rescnet.analysis.inherent_noise import mean_penalty
from keras_rescnet.analysis.plots import drawable, import_pyplot, save, visible, write_csv

_QUANTITIES = ("forward", "backward", "gradient")


def plot_bits(table, path, product, chunk) -> None:
    """Draws the least mantissa of the sums of every layer, a panel per network.

    Args:
        table: Dict of names of networks to lists of `Bits`.
        path: Picture to write; the numbers go into a CSV file beside it.
        product: Bits of the mantissa of the products.
        chunk: Products per chunk.
    """
    pyplot = import_pyplot()
    longest = max(map(len, table.values()))
    figure, panels = pyplot.subplots(
        1,
        len(table),
        figsize=(6.5 * len(table), min(1.8 + 0.3 * longest, 60)),
        squeeze=False,
        layout="constrained",
    )
    for axes, name, rows in zip(panels[0], drawable(table), table.values(), strict=True):
        places = np.arange(len(rows))
        for number, quantity in enumerate(_QUANTITIES):
            shift = 0.25 * (number - 1)
            for bits, filled in (("single", True), ("chunked", False)):
                values = [getattr(row, bits)[number] for row in rows]
                kept = [i for i in places if values[i] is not None]
                axes.plot(
                    [values[i] for i in kept],
                    [i + shift for i in kept],
                    "os^"[number],
                    color=f"C{number}",
                    markerfacecolor=f"C{number}" if filled else "none",
                    label=f"{quantity}, {'one sum' if filled else f'chunks of {chunk}'}",
                )
        axes.axvline(product, color="gray", linestyle=":", label="products")
        axes.set_yticks(places, [row.sums.layer for row in rows], fontsize="x-small")
        axes.invert_yaxis()
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(title=name, xlabel="least mantissa of the sum, bits")
        axes.grid(alpha=0.3)
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    save(figure, path, pyplot)
    columns = [f"{quantity}_{what}" for quantity in _QUANTITIES for what in ("products", "bits")]
    columns += [f"{quantity}_bits_in_chunks" for quantity in _QUANTITIES]
    write_csv(path, ["network", "layer", "layers", *columns], _bits_rows(table))


def _bits_rows(table):
    for name, rows in table.items():
        for row in rows:
            cells = [getattr(row.sums, quantity) for quantity in _QUANTITIES]
            pairs = [cell for pair in zip(cells, row.single, strict=True) for cell in pair]
            yield [name, row.sums.layer, row.layers, *pairs, *row.chunked]


def plot_explanations(paths, pictures, explanations, class_names, path) -> None:
    """Draws pictures with their maps beside them, a row each.

    Args:
        paths: Names of the pictures.
        pictures: `(N, H, W, C)` in [0, 255].
        explanations: An `Explanation` each.
        class_names: Names of the classes.
        path: Picture to write; the maps go into a CSV file beside it.
    """
    pyplot = import_pyplot()
    columns = list(explanations[0].maps)
    figure, rows = pyplot.subplots(
        len(pictures),
        1 + len(columns),
        figsize=(2.6 * (1 + len(columns)) + 0.6, 2.6 * len(pictures) + 0.6),
        squeeze=False,
        layout="constrained",
    )
    names = drawable([path.name for path in map(pathlib.Path, paths)])
    labels = drawable(class_names)
    for axes, picture, name, explanation in zip(rows, pictures, names, explanations, strict=True):
        height, width = picture.shape[:2]
        for axis in axes:
            axis.imshow(visible(picture), cmap="gray", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
        axes[0].set_ylabel(name, fontsize="x-small")
        share = f"{100 * explanation.probability:.1f} %"
        axes[0].set_title(f"{labels[explanation.label]}, {share}", fontsize="small")
        for axis, (kind, layer) in zip(axes[1:], columns, strict=True):
            values = explanation.maps[kind, layer]
            lowest = 0.0 if kind == "Grad-CAM" else values.min()
            drawn = axis.imshow(
                values,
                cmap="inferno",
                alpha=0.6,
                vmin=lowest,
                interpolation="bilinear",
                extent=(-0.5, width - 0.5, height - 0.5, -0.5),
            )
            axis.set_title(f"{kind}, {layer}", fontsize="x-small")
            unit = "evidence, logit" if kind == "Grad-CAM" else "mean of Phi(-|z|)"
            figure.colorbar(drawn, ax=axis, shrink=0.8).set_label(unit, fontsize="x-small")
    save(figure, path, pyplot)
    header = ["picture", "class", "probability", "map", "layer", "row", "column", "value"]
    write_csv(path, header, _map_rows(paths, explanations, class_names))


def _map_rows(paths, explanations, class_names):
    for path, explanation in zip(paths, explanations, strict=True):
        start = [path, class_names[explanation.label], f"{explanation.probability:.6g}"]
        for (kind, layer), values in explanation.maps.items():
            for (row, column), value in np.ndenumerate(values):
                yield [*start, kind, layer, row, column, f"{value:.6g}"]


def plot_noise(rows, path, title) -> None:
    """Draws the inherent noise of every layer, for the batch in use and for a held-out one.

    Args:
        rows: Dict of kinds of batches to dicts of layers to the `Noise` of each batch.
        path: Picture to write; the numbers go into a CSV file beside it.
        title: What stands above it.
    """
    pyplot = import_pyplot()
    layers = list(next(iter(rows.values())))
    figure, axes = pyplot.subplots(
        figsize=(9, min(2 + 0.3 * len(layers), 60)), layout="constrained"
    )
    height = 0.8 / len(rows)
    for number, (kind, by_layer) in enumerate(rows.items()):
        summaries = [mean_penalty(by_layer[layer]) for layer in layers]
        axes.barh(
            np.arange(len(layers)) + (number - (len(rows) - 1) / 2) * height,
            [mean for mean, _ in summaries],
            height,
            xerr=[error for _, error in summaries],
            color=f"C{number}",
            error_kw={"elinewidth": 0.8},
            label=f"batch {kind}",
        )
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_yticks(range(len(layers)), layers, fontsize="x-small")
    axes.invert_yaxis()
    axes.set(title=drawable([title])[0], xlabel="penalty of one step, in units of the loss")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3, axis="x")
    save(figure, path, pyplot)
    columns = ("layer", "weights", "first_order", "joint", "single", "penalty", "standard_error")
    write_csv(path, ["batch", "number", *columns], _noise_rows(rows, columns))


def _noise_rows(rows, columns):
    for kind, by_layer in rows.items():
        for noises in by_layer.values():
            for number, noise in enumerate(noises):
                cells = [getattr(noise, column) for column in columns]
                cells = [f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells]
                yield [kind, number, *cells]
