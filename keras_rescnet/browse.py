"""What a model sees: a page of augmented training pictures with their labels.

    python -m keras_rescnet.browse --recipe recipes/cifar10_rescnet32.py --output pictures.png

Shows the very batch that the run trains on at a step, before normalization.
"""

import sys

import numpy as np
from absl import flags

from keras_rescnet.analysis.plots import plot_pictures
from keras_rescnet.command import check_output, run_command
from keras_rescnet.mistake import Mistake
from keras_rescnet.recipe import load_recipe, recipe_name
from keras_rescnet.training.data import RunData


def training_pictures(recipe, step=0, data_dir=None):
    """Returns the batch that a run trains on at a step, as pictures and captions.

    Args:
        recipe: A `Recipe`.
        step: Number of the step, from 0.
        data_dir: Where TensorFlow Datasets keeps its data.

    Returns:
        float32 `(N, H, W, C)` in [0, 1], and N strings such as `"cat"` or `"0.7 cat 0.3 dog"`.
    """
    data = RunData(recipe, data_dir)
    batch = next(data.train_batches(step, step + 1).as_numpy_iterator())
    pictures = data.dataset.denormalize(batch["images"]) / 255
    captions = [_caption(label, data.train.class_names) for label in batch["labels"]]
    return np.clip(pictures, 0, 1).astype("float32"), captions


def _caption(label, class_names):
    parts = [(label[i], class_names[i]) for i in np.argsort(-label, kind="stable") if label[i] > 0]
    if len(parts) == 1:
        return parts[0][1]
    return " ".join(f"{share:.2g} {name}" for share, name in parts)


def main(arguments):
    """Draws a page of pictures."""
    values = flags.FlagValues()
    recipe = flags.DEFINE_string("recipe", None, "FILE or FILE:NAME.", flag_values=values)
    overrides = flags.DEFINE_multi_string("set", [], "field=value.", flag_values=values)
    data_dir = flags.DEFINE_string("data_dir", None, "Where the data is.", flag_values=values)
    step = flags.DEFINE_integer("step", 0, "Step of the run.", 0, flag_values=values)
    count = flags.DEFINE_integer("count", 64, "Pictures at most.", 1, flag_values=values)
    output = flags.DEFINE_string("output", "pictures.png", "PNG file.", flag_values=values)

    def command(_):
        if recipe.value is None:
            raise Mistake("--recipe FILE is missing. Received: none.")
        check_output("output", output.value)
        loaded = load_recipe(recipe.value, overrides.value)
        pictures, captions = training_pictures(loaded, step.value, data_dir.value)
        plot_pictures(pictures[: count.value], captions[: count.value], output.value)
        print(f"{recipe_name(recipe.value)}, step {step.value}: {output.value}")

    run_command("browse", __doc__, arguments, values, command)


if __name__ == "__main__":
    main(sys.argv)
