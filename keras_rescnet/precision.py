"""How many bits of mantissa the sums of a network's layers need, by variance retention.

    python -m keras_rescnet.precision
    python -m keras_rescnet.precision CifarResCNet32 mine.keras runs/cifar10_resnet32
    python -m keras_rescnet.precision ResNet50 --batch_size 256 --chunk 128

For every convolution and dense layer the least mantissa of the accumulator, for an output
(forward), for the gradient of an input (backward) and for that of a weight (gradient), in a single
sum and in chunks. Arguments are models of this package, .keras files and run folders; without any,
it is the three networks of the paper: ResNet-32 on CIFAR-10, ResNet-18 and AlexNet on ImageNet.
The bits are computed here, from the paper's theorem as others have implemented it, and are not the
paper's own.
A picture shows them, and a CSV file of the same name holds the numbers. docs/analysis.md says what
they do not mean.
"""

import pathlib
import sys

from absl import flags

from keras_rescnet.command import check_output, quiet_imports, run_command
from keras_rescnet.mistake import Mistake, nearest, shorten


def main(arguments):
    """Prints and draws the bits of the models that the arguments name."""
    values = flags.FlagValues()
    batch_size = flags.DEFINE_integer(
        "batch_size",
        None,
        "Images per step. Not given, it is 128, and 256 for the two networks on ImageNet.",
        1,
        2**24,
        flag_values=values,
    )
    input_size = flags.DEFINE_integer(
        "input_size",
        None,
        "Side of the images in pixels. Not given, it is each model's own.",
        1,
        2**16,
        flag_values=values,
    )
    product = flags.DEFINE_integer(
        "product_bits",
        5,
        "Bits of the mantissa of the products; those of two factors of 2 bits have 5.",
        1,
        24,
        flag_values=values,
    )
    chunk = flags.DEFINE_integer(
        "chunk", 64, "How many products a chunk has, a power of 2.", 2, flag_values=values
    )
    output = flags.DEFINE_string(
        "output", "precision.png", "Picture to write: .png, .pdf or .svg.", flag_values=values
    )

    def command(words):
        from keras_rescnet.analysis.plots import SUFFIXES, import_pyplot

        check_output("output", output.value, SUFFIXES)
        import_pyplot()
        if chunk.value & (chunk.value - 1):
            raise Mistake(f"--chunk must be a power of 2. Received: --chunk={chunk.value}.")
        with quiet_imports():
            from keras_rescnet import models
            from keras_rescnet.analysis.accumulation import (
                alexnet,
                bits_of,
                sums_of,
                uncounted,
            )
            from keras_rescnet.analysis.method_plots import plot_bits

        networks, left_out = {}, []
        if not words:
            small, large = batch_size.value or 128, batch_size.value or 256
            networks["ResNet-32, CIFAR-10"] = sums_of(models.CifarResNet32(), small)
            networks["ResNet-18, ImageNet"] = sums_of(models.ResNet18(), large)
            networks["AlexNet, ImageNet"] = alexnet(large)
        for word in dict.fromkeys(words):
            model = _model_of(word, input_size.value)
            networks[word] = sums_of(model, batch_size.value or 128, input_size.value)
            left_out += uncounted(model)
        table = {name: bits_of(rows, product.value, chunk.value) for name, rows in networks.items()}
        for name, rows in table.items():
            _print_rows(name, rows, chunk.value)
        if left_out:
            print(f"Not counted: {', '.join(left_out)}.")
        plot_bits(table, output.value, product.value, chunk.value)
        print(f"Wrote {output.value} and the CSV file of its numbers.")

    run_command("precision", __doc__, arguments, values, command, takes_words=True)


def _model_of(word, input_size):
    """Returns the model that a word names: a folder of a run, a .keras file or a builder."""
    from keras_rescnet.analysis.model_file import load_model
    from keras_rescnet.analysis.runs import load_run
    from keras_rescnet.models.catalogue import builders

    if pathlib.Path(word).is_dir():
        return load_run(word).trained_model
    if word.endswith(".keras"):
        return load_model(word)
    known = builders()
    if word not in known:
        raise Mistake(
            "An argument must be a model of this package, a .keras file or the folder of a run. "
            f"Received: {shorten(word)}. Nearest: {nearest(word, known)}."
        )
    shape = {} if input_size is None else {"input_shape": (input_size, input_size, 3)}
    return known[word](**shape)


def _print_rows(name, rows, chunk):
    """Prints lengths of sums, and bits in a single sum / in chunks."""
    width = max(len(row.sums.layer) for row in rows)
    print(f"{name}: products per sum, and bits of mantissa in one sum / in chunks of {chunk}")
    print(f"  {'':<{width}}  layers {'forward':>14} {'backward':>14} {'gradient':>16}")
    for row in rows:
        cells = []
        lengths = (row.sums.forward, row.sums.backward, row.sums.gradient)
        for length, single, chunked in zip(lengths, row.single, row.chunked, strict=True):
            cells.append("" if length is None else f"{length:,} {single}/{chunked}")
        forward, backward, gradient = cells
        print(
            f"  {row.sums.layer:<{width}}  {row.layers:>6} {forward:>14} {backward:>14} "
            f"{gradient:>16}"
        )


if __name__ == "__main__":
    main(sys.argv)
