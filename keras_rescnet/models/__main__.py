"""Lists every model: what it costs, beside what the paper says.

    python -m keras_rescnet.models
    python -m keras_rescnet.models CifarResCNet50 ViTTiny --classes 100
    python -m keras_rescnet.models --input_size 64 --csv > models.csv

Trainable parameters; multiply-accumulates (MACs) of convolutions and dense layers, and of the two
products of attention, for one image; the float32 outputs of all layers for one image. Counted on
the model as it is built, beside the paper's Tables 1 and 2.
"""

import csv
import difflib
import inspect
import sys

from absl import flags

from keras_rescnet import models
from keras_rescnet.command import run_command
from keras_rescnet.models import alexnet, cait, resnet, swin, vgg, vit
from keras_rescnet.models.complexity import (
    activation_bytes,
    multiplications,
    outline,
    parameters,
)

# (builder, classes) -> parameters and FLOPs, as the paper's Tables 1 and 2 print them.
PAPER = {
    ("CifarResNet32", 10): ("466.91 K", "70.37 M"),
    ("CifarResNet32", 100): ("472.76 K", "70.38 M"),
    ("CifarSENet32", 10): ("480.35 K", "70.67 M"),
    ("CifarSENet32", 100): ("486.20 K", "70.68 M"),
    ("CifarResCNet32", 10): ("488.33 K", "70.68 M"),
    ("CifarResCNet32", 100): ("494.18 K", "70.68 M"),
    ("CifarResNet56", 10): ("855.77 K", "127.91 M"),
    ("CifarResNet56", 100): ("861.62 K", "127.92 M"),
    ("CifarSENet56", 10): ("879.96 K", "128.45 M"),
    ("CifarSENet56", 100): ("885.81 K", "128.46 M"),
    ("CifarResCNet56", 10): ("894.33 K", "128.47 M"),
    ("CifarResCNet56", 100): ("900.18 K", "128.47 M"),
    ("CifarResNet50", 10): ("23520.84 K", "1304.94 M"),
    ("CifarResNet50", 100): ("23705.25 K", "1308.84 M"),
    ("CifarSENet50", 10): ("26078.39 K", "1314.48 M"),
    ("CifarSENet50", 100): ("26262.80 K", "1321.98 M"),
    ("CifarResCNet50", 10): ("27324.41 K", "1316.25 M"),
    ("CifarResCNet50", 100): ("27508.82 K", "1316.43 M"),
    ("ResNet18", 1000): ("11.70 M", "1.81 G"),
    ("ResNet34", 1000): ("21.80 M", "3.66 G"),
    ("ResNet50", 1000): ("25.60 M", "4.09 G"),
    ("ResCNet18", 1000): ("11.82 M", "1.83 G"),
    ("ResCNet34", 1000): ("22.04 M", "3.68 G"),
    ("ResCNet50", 1000): ("29.36 M", "4.15 G"),
}
COUNTER = (
    "The paper's FLOPs are MACs plus the operations of normalizations, ReLUs, pooling and biases, "
    "as ptflops 0.7.2 counts them."
)
_UNSEEN = "wrong: the 100-class model with an activation that ptflops misses; like for like {}"
_SWAPPED = "wrong: the figure of 10 classes; like for like {}"
_MACS_ONLY = "FLOPs are MACs alone, unlike the ResCNet's; like for like {}"
_ROUNDED = "parameters are torchvision's rounded {}; "
NOTES = {
    ("CifarResNet50", 10): _UNSEEN.format("1308.84 M"),
    ("CifarResNet50", 100): _SWAPPED.format("1309.02 M"),
    ("CifarSENet50", 10): _UNSEEN.format("1321.98 M"),
    ("CifarSENet50", 100): _SWAPPED.format("1322.17 M"),
    ("ResNet18", 1000): _ROUNDED.format("11.7") + _MACS_ONLY.format("1.825 G"),
    ("ResNet34", 1000): _MACS_ONLY.format("3.680 G"),
    ("ResNet50", 1000): _ROUNDED.format("25.6") + _MACS_ONLY.format("4.132 G"),
}
COLUMNS = (
    "model",
    "classes",
    "input",
    "parameters",
    "MACs (M)",
    "attention (M)",
    "activations (MiB)",
    "paper: parameters",
    "paper: FLOPs",
    "note on the paper",
)
ALIGNMENTS = ("<17", ">7", "<9", ">11", ">9", ">13", ">17", ">17", ">12", "<17")


def builders():
    """Returns every builder that needs no argument, by name, in the order of the paper."""
    return {
        name: value
        for module in (resnet, alexnet, vgg, vit, swin, cait)
        for name, value in vars(module).items()
        if name in vars(models) and callable(value) and _takes_nothing(value)
    }


def _takes_nothing(builder):
    parameters = inspect.signature(builder).parameters.values()
    return all(parameter.default is not parameter.empty for parameter in parameters)


def describe(name, classes=None, input_size=None):
    """Returns the row of one builder, a value for each of `COLUMNS`.

    Args:
        name: Name of the builder.
        classes: Number of logits. Defaults to the builder's.
        input_size: Side of the images. Defaults to the builder's.
    """
    defaults = inspect.signature(builders()[name]).parameters
    shape, paper = defaults["input_shape"].default, ("", "")
    classes = classes or defaults["classes"].default
    note = ""
    if input_size in (None, shape[0]):
        paper, note = PAPER.get((name, classes), paper), NOTES.get((name, classes), note)
    else:
        shape = (input_size, input_size, shape[2])
    side = f"{shape[0]} x {shape[1]}"
    try:
        model = outline(builders()[name], classes=classes, input_shape=shape)
    except ValueError as error:
        return (name, classes, side, "", "", "", "", *paper, f"impossible: {error}")
    products, attention = multiplications(model)
    return (
        name,
        classes,
        side,
        parameters(model),
        round(products / 1e6, 3),
        round(attention / 1e6, 3),
        round(activation_bytes(model) / 2**20, 2),
        *paper,
        note,
    )


def _print_table(rows):
    widths = [int(align[1:]) for align in ALIGNMENTS]
    rules = [
        "-" * (width - 1) + ("-" if align[0] == "<" else ":")
        for width, align in zip(widths, ALIGNMENTS, strict=True)
    ]
    _print_line(COLUMNS)
    _print_line(rules)
    for row in rows:
        _print_line(_text(value) for value in row)
    print(f"\n{COUNTER}")


def _print_line(cells):
    cells = (format(cell, align) for cell, align in zip(cells, ALIGNMENTS, strict=True))
    print(f"| {' | '.join(cells)} |", flush=True)


def _text(value):
    if isinstance(value, float):
        return f"{value:.3f}" if value else ""
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def main(arguments):
    """Runs the command with arguments as those of the process."""
    values = flags.FlagValues()
    classes = flags.DEFINE_integer(
        "classes", None, "Logits; by default each model's own.", 1, flag_values=values
    )
    input_size = flags.DEFINE_integer(
        "input_size",
        None,
        "Side of the images; by default each model's own.",
        1,
        flag_values=values,
    )
    as_csv = flags.DEFINE_bool("csv", False, "Comma-separated values.", flag_values=values)

    def command(words):
        known = list(builders())
        for word in words:
            if word not in known:
                close = difflib.get_close_matches(word, known, 3) or known
                raise ValueError(
                    f"There must be a model of the name. Received: {word!r}. "
                    f"Did you mean {', '.join(close)}?"
                )
        rows = (describe(name, classes.value, input_size.value) for name in words or known)
        if as_csv.value:
            writer = csv.writer(sys.stdout)
            writer.writerow(COLUMNS)
            writer.writerows(rows)
        else:
            _print_table(rows)

    run_command("models", __doc__, arguments, values, command, takes_words=True)


if __name__ == "__main__":
    main(sys.argv)
