"""What was measured beside what the paper reports, table by table, in Markdown.

    python -m keras_rescnet.report
    python -m keras_rescnet.report --update README.md

Reads the records of finished runs in --results, which `train.py --record` writes, and the tables
of recipes, `table*.py`, in --recipes.

A table is a recipe file that also assigns `columns`, a dict of headings to patterns of names such
as `"cifar10-*-relu"`; the text in place of the star names the row.
"""

import sys

from absl import flags

from keras_rescnet.command import quiet_imports, run_command


def main(arguments):
    """Prints the report, or writes it into a file."""
    values = flags.FlagValues()
    results = flags.DEFINE_string(
        "results", "results", "Folder of the records of finished runs.", flag_values=values
    )
    recipes = flags.DEFINE_string(
        "recipes",
        "recipes",
        "Folder of the recipe files, which are programs and are executed.",
        flag_values=values,
    )
    file = flags.DEFINE_string(
        "update",
        None,
        "File to write the report into, between its lines <!-- report --> and <!-- /report -->, "
        "instead of printing it.",
        flag_values=values,
    )

    def command(_):
        from keras_rescnet.analysis.tables import find_tables, render, split_at_marks, update

        if file.value is not None:
            split_at_marks(file.value)
        find_tables(recipes.value)
        with quiet_imports():
            import keras_rescnet.recipe  # noqa: F401  the recipes' imports take seconds
        report = render(results.value, recipes.value)
        if file.value is None:
            print(report, end="")
        else:
            update(file.value, report)

    run_command("report", __doc__, arguments, values, command)


if __name__ == "__main__":
    main(sys.argv)
