"""What was measured beside what the paper reports, table by table, in Markdown.

    python -m keras_rescnet.report
    python -m keras_rescnet.report --update docs/results.md --summary README.md
    python -m keras_rescnet.report --claims docs/reproduction.md

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
    update_file = flags.DEFINE_string(
        "update",
        None,
        "File to write the report into, between its lines <!-- report --> and <!-- /report -->, "
        "instead of printing it.",
        flag_values=values,
    )
    summary_file = flags.DEFINE_string(
        "summary",
        None,
        "File to write a table of all recorded runs into, one row per recipe, between its lines "
        "<!-- summary --> and <!-- /summary -->.",
        flag_values=values,
    )
    claims_file = flags.DEFINE_string(
        "claims",
        None,
        "File to write what speaks for and against each claim of the paper into, between its lines "
        "<!-- claims --> and <!-- /claims -->.",
        flag_values=values,
    )

    def command(_):
        from keras_rescnet.analysis import claims
        from keras_rescnet.analysis.marked import split_at_marks, update
        from keras_rescnet.analysis.summary import render_summary
        from keras_rescnet.analysis.tables import find_tables, render

        written = {
            "report": update_file.value,
            "summary": summary_file.value,
            "claims": claims_file.value,
        }
        for name, file in written.items():
            if file is not None:
                split_at_marks(file, name)
        find_tables(recipes.value)
        with quiet_imports():
            import keras_rescnet.recipe  # noqa: F401  the recipes' imports take seconds
        report = render(results.value, recipes.value)
        if summary_file.value is not None:
            update(summary_file.value, "summary", render_summary(results.value))
        if claims_file.value is not None:
            update(claims_file.value, "claims", claims.render(results.value, recipes.value))
        if update_file.value is not None:
            update(update_file.value, "report", report)
        elif not any(written.values()):
            print(report, end="")

    run_command("report", __doc__, arguments, values, command)


if __name__ == "__main__":
    main(sys.argv)
