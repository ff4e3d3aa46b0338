"""Are a network's responses Gaussian, and do they tell the classes apart? Figures 2 and 5.

    python -m keras_rescnet.responses --workdir runs/table1-cifar10-resnet32
    python -m keras_rescnet.responses --workdir runs/a --workdir runs/b --split train
    python -m keras_rescnet.responses --model own.keras --recipe recipes/cifar10_resnet32.py

A response is what the last block gives before its activation, averaged over the image: (N, C)
numbers for N images. Draws a violin for every channel, the models side by side, and below them how
far the channels are from Gaussian and how well they tell classes apart. The numbers of every
channel go into a CSV file beside the picture. A --model can be any Keras classifier; the recipe
says which data it is given.
"""

import dataclasses
import pathlib
import sys

import keras
from absl import flags

from keras_rescnet import data, layers, optimizers  # noqa: F401  so that Keras knows saved ones
from keras_rescnet.analysis.plots import plot_responses
from keras_rescnet.analysis.responses import describe, measure, response_model, responses
from keras_rescnet.analysis.runs import load_run, run_names
from keras_rescnet.command import check_output, run_command
from keras_rescnet.mistake import Mistake
from keras_rescnet.recipe import load_recipe


def main(arguments):
    """Measures and draws the models that are named."""
    values = flags.FlagValues()
    workdirs = flags.DEFINE_multi_string("workdir", [], "Folder of a run.", flag_values=values)
    files = flags.DEFINE_multi_string("model", [], "A .keras file.", flag_values=values)
    path = flags.DEFINE_string("recipe", None, "Whose data to use.", flag_values=values)
    pixels = flags.DEFINE_bool("pixels", False, "--model takes [0, 255].", flag_values=values)
    layer = flags.DEFINE_string("layer", None, "A layer's output instead.", flag_values=values)
    split = flags.DEFINE_string("split", "test", "'test' or 'train'.", flag_values=values)
    images = flags.DEFINE_integer("images", None, "How many; all.", 1, flag_values=values)
    channels = flags.DEFINE_integer("channels", 16, "Violins a model.", 1, flag_values=values)
    data_dir = flags.DEFINE_string("data_dir", None, "TFDS's folder.", flag_values=values)
    output = flags.DEFINE_string("output", "responses.png", "PNG to write.", flag_values=values)

    def command(_):
        if not workdirs.value and not files.value:
            raise Mistake("--workdir DIR or --model FILE is missing. Received: none.")
        if files.value and path.value is None:
            raise Mistake("--model needs --recipe, which says the data. Received: none.")
        check_output("output", output.value)
        own = None if path.value is None else load_recipe(path.value).dataset
        found = []
        for name, workdir in zip(run_names(workdirs.value), workdirs.value, strict=True):
            recipe, model = load_run(workdir)
            found.append((name, model, own or recipe.dataset))
        for file in files.value:
            dataset = own
            if pixels.value:
                count = own.image_shape[-1]
                dataset = dataclasses.replace(own, mean=(0.0,) * count, std=(1 / 255,) * count)
            found.append((file, _load_model(file), dataset))
        models = {}
        for name, model, dataset in found:
            _check_images(name, model, dataset)
            examples = data.load(dataset, split.value, data_dir.value)
            own_responses = response_model(model, layer.value)
            models[name] = measure(*responses(own_responses, examples, images.value))
            print(describe(name, models[name]), flush=True)
        plot_responses(models, output.value, channels.value)
        print(f"Wrote {output.value} and the CSV file of its numbers.")

    run_command("responses", __doc__, arguments, values, command)


def _load_model(file):
    if not pathlib.Path(file).is_file() or pathlib.Path(file).suffix != ".keras":
        raise Mistake(f"--model must be a .keras file. Received: {file}.")
    return keras.models.load_model(file)


def _check_images(name, model, dataset):
    expected = model.input_shape[1:]
    if any(e not in (None, s) for e, s in zip(expected, dataset.image_shape, strict=True)):
        raise Mistake(
            f"The data must have {name}'s images of shape {expected}. "
            f"Received: {dataset.name} of {dataset.image_shape}."
        )


if __name__ == "__main__":
    main(sys.argv)
