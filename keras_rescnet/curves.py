"""Curves of runs: error and loss by epoch.

    python -m keras_rescnet.curves runs/cifar10_resnet32 runs/cifar10_rescnet32 --output curves.png

Draws the test error (full) and the training error (dashed) of one or several runs, and beside
them the losses, as Figure 4 of the paper does. Beside the picture lies a CSV file of its numbers.
"""

import sys

from absl import flags

from keras_rescnet.analysis.plots import plot_curves
from keras_rescnet.analysis.runs import read_log, run_names
from keras_rescnet.command import check_output, run_command
from keras_rescnet.mistake import Mistake


def main(arguments):
    """Draws the curves of the runs that are named."""
    values = flags.FlagValues()
    output = flags.DEFINE_string("output", "curves.png", "PNG to write.", flag_values=values)

    def draw(workdirs):
        if not workdirs:
            raise Mistake("Name at least one run's folder. Received: none.")
        check_output("output", output.value)
        plot_curves(
            dict(zip(run_names(workdirs), map(read_log, workdirs), strict=True)), output.value
        )
        print(f"Wrote {output.value} and the CSV file of its numbers.")

    run_command("curves", __doc__, arguments, values, draw, takes_words=True)


if __name__ == "__main__":
    main(sys.argv)
