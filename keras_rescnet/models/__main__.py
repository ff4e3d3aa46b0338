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
import itertools
import shutil
import sys

from absl import flags

from keras_rescnet.command import quiet_imports, run_command
from keras_rescnet.mistake import Mistake, shorten

ALIGNMENTS = ("<20", ">7", "<9", ">11", ">9", ">13", ">17", ">17", ">12", "<17")


def _print_table(columns, rows):
    shown = ALIGNMENTS[: _columns_that_fit()]
    rules = ["-" * (int(align[1:]) - 1) + ("-" if align[0] == "<" else ":") for align in shown]
    _print_line(columns, shown)
    _print_line(rules, shown)
    for row in rows:
        _print_line(map(_text, row), shown)
        if len(shown) < len(row) and row[-1].startswith("impossible"):
            print(f"    {row[-1]}")
    if len(shown) < len(columns):
        left_out = ", ".join(columns[len(shown) :])
        print(f"\nA wider terminal, a file or --csv has more columns: {left_out}.")


def _columns_that_fit():
    """Returns how many columns have room on the terminal; a file has room for all."""
    if not sys.stdout.isatty():
        return len(ALIGNMENTS)
    ends = itertools.accumulate((int(align[1:]) + 3 for align in ALIGNMENTS), initial=1)
    width = shutil.get_terminal_size().columns
    return max(sum(end <= width for end in ends) - 1, 1)


def _print_line(cells, alignments):
    cells = (format(cell, align) for cell, align in zip(cells, alignments, strict=False))
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
