"""Lists every model: what it costs, beside what the paper reports.

    python -m keras_rescnet.models
    python -m keras_rescnet.models CifarResCNet50 ViTTiny --classes 100
    python -m keras_rescnet.models --input_size 64 --csv > models.csv

Trainable parameters; multiply-accumulates (MACs) of convolutions and dense layers, and of the two
products of attention, for one image; the float32 outputs of all layers for one image. Counted on
the model as it is built, beside the paper's Tables 1 and 2.
"""

import csv
import difflib
import sys

from absl import flags

from keras_rescnet.command import quiet_imports, run_command
from keras_rescnet.mistake import Mistake, shorten

ALIGNMENTS = ("<17", ">7", "<9", ">11", ">9", ">13", ">17", ">17", ">12", "<17")


def _print_table(columns, rows):
    widths = [int(align[1:]) for align in ALIGNMENTS]
    rules = [
        "-" * (width - 1) + ("-" if align[0] == "<" else ":")
        for width, align in zip(widths, ALIGNMENTS, strict=True)
    ]
    _print_line(columns)
    _print_line(rules)
    for row in rows:
        _print_line(_text(value) for value in row)


def _print_line(cells):
    cells = (format(cell, align) for cell, align in zip(cells, ALIGNMENTS, strict=True))
    print(f"| {' | '.join(cells)} |", flush=True)


def _text(value):
    if isinstance(value, float):
        return f"{value:.3f}" if value else ""
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def main(arguments):
    """Lists the models that the arguments name, or all."""
    values = flags.FlagValues()
    classes = flags.DEFINE_integer(
        "classes",
        None,
        "Number of logits. Not given, it is each model's own.",
        1,
        flag_values=values,
    )
    input_size = flags.DEFINE_integer(
        "input_size",
        None,
        "Side of the images in pixels. Not given, it is each model's own.",
        1,
        flag_values=values,
    )
    as_csv = flags.DEFINE_bool(
        "csv", False, "Prints comma-separated values in place of a table.", flag_values=values
    )

    def command(words):
        with quiet_imports():
            from keras_rescnet.models.catalogue import COLUMNS, COUNTER, builders, describe

        known = list(builders())
        for word in words:
            if word not in known:
                close = difflib.get_close_matches(word, known, 3) or known
                raise Mistake(
                    f"There must be a model of the name. Received: {shorten(word)}. "
                    f"Did you mean {shorten(', '.join(close), str, 200)}?"
                )
        rows = (describe(name, classes.value, input_size.value) for name in words or known)
        if as_csv.value:
            writer = csv.writer(sys.stdout)
            writer.writerow(COLUMNS)
            writer.writerows(rows)
        else:
            _print_table(COLUMNS, rows)
            print(f"\n{COUNTER}")

    run_command("models", __doc__, arguments, values, command, takes_words=True)


if __name__ == "__main__":
    main(sys.argv)
