"""What was measured beside what the paper claims, table by table, in Markdown.

    python -m keras_rescnet.report
    python -m keras_rescnet.report --update README.md

Reads the records of finished runs in --results and the tables of recipes, `table*.py`, in
--recipes. `--update FILE` writes the report between the lines `<!-- report -->` and
`<!-- /report -->` of a file instead of printing it.

A table is a recipe file that also assigns `columns`, a dict of headings to patterns of names such
as `"cifar10-*-relu"`; what stands for the star is the row.
"""

import sys

from absl import flags

from keras_rescnet.analysis.tables import render, update
from keras_rescnet.command import run_command


def main(arguments):
    """Prints the report, or writes it into a file."""
    values = flags.FlagValues()
    results = flags.DEFINE_string("results", "results", "Folder of records.", flag_values=values)
    recipes = flags.DEFINE_string("recipes", "recipes", "Folder of recipes.", flag_values=values)
    file = flags.DEFINE_string("update", None, "File to write into.", flag_values=values)

    def command(_):
        report = render(results.value, recipes.value)
        if file.value is None:
            print(report, end="")
        else:
            update(file.value, report)

    run_command("report", __doc__, arguments, values, command)


if __name__ == "__main__":
    main(sys.argv)
