"""Curves of runs: error and loss by epoch.

    python -m keras_rescnet.curves runs/cifar10_resnet32 runs/cifar10_rescnet32 --output curves.png

Draws the test error (solid) and the training error (dashed) of one or several runs, and beside
them the losses, as Figure 4 of the paper does. A CSV file of the same name holds the numbers.
"""

import sys

from absl import flags

from keras_rescnet.command import check_output, run_command
from keras_rescnet.mistake import Mistake


def main(arguments):
    """Draws the curves of the runs that the arguments name."""
    values = flags.FlagValues()
    output = flags.DEFINE_string(
        "output", "curves.png", "Picture to write: .png, .pdf or .svg.", flag_values=values
    )

    def draw(workdirs):
        from keras_rescnet.analysis.log import read_log
        from keras_rescnet.analysis.plots import SUFFIXES, import_pyplot, plot_curves
        from keras_rescnet.analysis.runs import run_names

        if not workdirs:
            raise Mistake("Name at least one run's folder. Received: none.")
        check_output("output", output.value, SUFFIXES)
        import_pyplot()
        workdirs = list(dict.fromkeys(workdirs))
        logs = [read_log(workdir) for workdir in workdirs]
        plot_curves(dict(zip(run_names(workdirs), logs, strict=True)), output.value)
        print(f"Wrote {output.value} and the CSV file of its numbers.")

    run_command("curves", __doc__, arguments, values, draw, takes_words=True)


if __name__ == "__main__":
    main(sys.argv)
