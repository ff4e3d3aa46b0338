"""Are a network's responses Gaussian, and do they separate the classes? Figures 2 and 5.

    python -m keras_rescnet.responses --workdir runs/table1-cifar10-resnet32
    python -m keras_rescnet.responses --workdir runs/a --workdir runs/b --split train
    python -m keras_rescnet.responses --model mine.keras --recipe recipes/cifar10_resnet32.py

A response is the output of the last block before its activation, averaged over the image: (N, C)
numbers for N images. Draws a violin for every channel, the models side by side, and below them how
far the channels are from Gaussian and how well they separate the classes. A CSV file of the same
name holds the numbers of every channel.

A run's folder is a program: its recipe.py is executed. Measure only runs that you trust.
"""

import dataclasses
import sys

from absl import flags

from keras_rescnet.command import check_output, define_data_dir, quiet_imports, run_command
from keras_rescnet.mistake import Mistake


def main(arguments):
    """Measures and draws the models that the arguments name."""
    values = flags.FlagValues()
    workdirs = flags.DEFINE_multi_string(
        "workdir", [], "Folder of a finished run. May be repeated.", flag_values=values
    )
    files = flags.DEFINE_multi_string(
        "model",
        [],
        "A .keras file of any functional or sequential classifier; needs --recipe. May be "
        "repeated.",
        flag_values=values,
    )
    path = flags.DEFINE_string(
        "recipe",
        None,
        "Recipe, as FILE or FILE:NAME, whose data are used in place of those of the runs.",
        flag_values=values,
    )
    pixels = flags.DEFINE_bool(
        "pixels",
        False,
        "Gives a --model pixels in [0, 255] in place of normalized images.",
        flag_values=values,
    )
    layer = flags.DEFINE_string(
        "layer",
        None,
        "Name of a layer whose output is used, in place of the last block's.",
        flag_values=values,
    )
    split = flags.DEFINE_string(
        "split", "test", "Split to measure on, 'test' or 'train'.", flag_values=values
    )
    images = flags.DEFINE_integer(
        "images",
        None,
        "How many images to use, from the first on. Not given, all are used.",
        1,
        flag_values=values,
    )
    channels = flags.DEFINE_integer(
        "channels", 16, "How many channels of each model are drawn.", 1, flag_values=values
    )
    data_dir = define_data_dir(values, "that of the run")
    output = flags.DEFINE_string(
        "output", "responses.png", "Picture to write: .png, .pdf or .svg.", flag_values=values
    )

    def command(_):
        from keras_rescnet.analysis.plots import SUFFIXES, import_pyplot, plot_responses
        from keras_rescnet.analysis.runs import load_run, run_names

        if not workdirs.value and not files.value:
            raise Mistake("--workdir or --model is missing; --help explains both. Received: none.")
        if files.value and path.value is None:
            raise Mistake(
                "--model needs --recipe, which says on which data. Received: no --recipe."
            )
        check_output("output", output.value, SUFFIXES)
        import_pyplot()
        found = [load_run(workdir) for workdir in dict.fromkeys(workdirs.value)]
        runs = dict(zip(run_names([run.workdir for run in found]), found, strict=True))
        with quiet_imports():
            from keras_rescnet import data
            from keras_rescnet.analysis.model_file import load_model
            from keras_rescnet.analysis.responses import (
                describe,
                measure,
                response_model,
                responses,
            )
            from keras_rescnet.recipe import load_recipe

        chosen = None if path.value is None else load_recipe(path.value).dataset
        models = []
        for name, run in runs.items():
            dataset = run.dataset if chosen is None else run.prepared(chosen)
            folder = run.place_of(chosen, data_dir.value)
            models.append((name, run.trained_model, dataset, folder))
        if chosen is not None:  # as it is where there is a --model
            count = chosen.image_shape[-1]
            if pixels.value:
                chosen = dataclasses.replace(chosen, mean=(0.0,) * count, std=(1 / 255,) * count)
            for file in dict.fromkeys(files.value):
                models.append((file, load_model(file), chosen, data_dir.value))
        for name, model, dataset, _ in models:
            _check_images(name, model, dataset)
        measured = {}
        for name, model, dataset, folder in models:
            examples = data.load(dataset, split.value, folder)
            if name in runs:
                examples = runs[name].as_tested(examples)
            values_and_labels = responses(
                response_model(model, layer.value), examples, images.value
            )
            measured[name] = measure(*values_and_labels)
            print(describe(name, measured[name]), flush=True)
        plot_responses(measured, output.value, channels.value)
        print(f"Wrote {output.value} and the CSV file of its numbers.")

    run_command("responses", __doc__, arguments, values, command)


def _check_images(name, model, dataset):
    expected = model.input_shape[1:]
    if len(expected) != len(dataset.image_shape) or any(
        side not in (None, given) for side, given in zip(expected, dataset.image_shape, strict=True)
    ):
        raise Mistake(
            f"The data must have {name}'s images of shape {expected}. "
            f"Received: {dataset.name} of {dataset.image_shape}."
        )


if __name__ == "__main__":
    main(sys.argv)
