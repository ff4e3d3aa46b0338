"""What a gradient step loses because all weights move at once: its inherent noise.

    python -m keras_rescnet.noise --workdir runs/cifar10_resnet32
    python -m keras_rescnet.noise --workdir runs/cifar10_resnet32 --learning_rate 0.01 --batches 8

Of a step w - eta g with the gradient g of a batch, and the Hessian H of the loss of a batch,

    penalty = eta^2 / 2 (g^T H g - sum_i H_ii g_i^2)

is what the loss gains, to second order, because the weights move together and not one at a time.
Computed for the weights of a finished run, in every layer, for the batch that gave g and for one of
the test set that went through the same transforms. The sum over i is estimated by probes, with its
standard error. A picture shows the layers, and a CSV file of the same name holds the numbers of
every batch. docs/analysis.md says what they mean and do not mean.

The run's folder is a program: its recipe.py is executed. Measure only runs that you trust.
"""

import sys

from absl import flags

from keras_rescnet.command import check_output, define_data_dir, quiet_imports, run_command

KINDS = ("in use", "held out")


def main(arguments):
    """Measures and draws the run that the arguments name."""
    values = flags.FlagValues()
    workdir = flags.DEFINE_string(
        "workdir", None, "Folder of the finished run to measure.", flag_values=values
    )
    learning_rate = flags.DEFINE_float(
        "learning_rate",
        None,
        "The step's eta. Not given, it is the learning rate of the recipe, its largest.",
        0.0,
        flag_values=values,
    )
    batches = flags.DEFINE_integer(
        "batches",
        4,
        "How many steps to measure, each on a batch of its own.",
        1,
        flag_values=values,
    )
    images = flags.DEFINE_integer(
        "images",
        None,
        "Images per batch. Not given, it is the batch size of the recipe.",
        1,
        flag_values=values,
    )
    probes = flags.DEFINE_integer(
        "probes",
        64,
        "How many products with the Hessian estimate the sum over the weights.",
        2,
        flag_values=values,
    )
    exact = flags.DEFINE_integer(
        "exact",
        0,
        "Layers of at most this many weights are computed exactly, by one product per weight.",
        0,
        flag_values=values,
    )
    data_dir = define_data_dir(values, "that of the run")
    output = flags.DEFINE_string(
        "output", "noise.png", "Picture to write: .png, .pdf or .svg.", flag_values=values
    )

    def command(_):
        from keras_rescnet.analysis.plots import SUFFIXES, import_pyplot
        from keras_rescnet.analysis.runs import load_run

        check_output("output", output.value, SUFFIXES)
        import_pyplot()
        run = load_run(workdir.value)
        with quiet_imports():
            from keras_rescnet.analysis.inherent_noise import change_of_loss, inherent_noise
            from keras_rescnet.analysis.method_plots import plot_noise
            from keras_rescnet.training.loss_surface import loss_surface

        surface, pairs, eta = loss_surface(run, images.value, batches.value, data_dir.value)
        eta = eta if learning_rate.value is None else learning_rate.value
        rows: dict[str, dict[str, list]] = {kind: {} for kind in KINDS}
        for number, pair in enumerate(pairs):
            step = surface.gradient(surface.weights, pair[0])
            for kind, batch in zip(KINDS, pair, strict=True):
                found = inherent_noise(
                    surface,
                    step,
                    batch,
                    learning_rate=eta,
                    probes=probes.value,
                    exact=exact.value,
                    seed=number,
                )
                for noise in found:
                    rows[kind].setdefault(noise.layer, []).append(noise)
                change = change_of_loss(surface, step, batch, eta)
                to_second = found[-1].first_order + found[-1].joint
                print(
                    f"batch {number + 1} {kind}: the step changes the loss by {change:+.3g}; "
                    f"to second order by {to_second:+.3g}",
                    flush=True,
                )
        _print_rows(rows)
        title = f"Inherent noise of a step of {eta:g}: {run.workdir.resolve().name}"
        plot_noise(rows, output.value, title)
        print(f"Wrote {output.value} and the CSV file of its numbers.")

    run_command("noise", __doc__, arguments, values, command, required=["workdir"])


def _print_rows(rows):
    """Prints the mean penalty of every layer, with its standard error."""
    from keras_rescnet.analysis.inherent_noise import mean_penalty

    layers = list(rows[KINDS[0]])
    width = max(map(len, layers))
    print("mean penalty of a step ± standard error, in units of the loss")
    print(f"{'':<{width}}  {'weights':>9}  {KINDS[0]:>22}  {KINDS[1]:>22}")
    for layer in layers:
        cells = []
        for kind in KINDS:
            mean, error = mean_penalty(rows[kind][layer])
            cells.append(f"{mean:+.3e} ± {error:.1e}")
        count = rows[KINDS[0]][layer][0].weights
        print(f"{layer:<{width}}  {count:>9,}  {cells[0]:>22}  {cells[1]:>22}")


if __name__ == "__main__":
    main(sys.argv)
