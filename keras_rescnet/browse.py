"""What a model sees: a page of augmented training pictures with their labels.

    python -m keras_rescnet.browse --recipe recipes/cifar10_rescnet32.py --output pictures.png

Draws the very batch that the run trains on at a step, before normalization.
"""

import sys

from absl import flags

from keras_rescnet.command import (
    check_output,
    define_data_dir,
    define_recipe,
    quiet_imports,
    run_command,
)


def main(arguments):
    """Draws a page of pictures."""
    values = flags.FlagValues()
    recipe, overrides = define_recipe(values)
    data_dir = define_data_dir(values)
    step = flags.DEFINE_integer(
        "step", 0, "Step of the run whose batch is drawn, from 0.", 0, flag_values=values
    )
    count = flags.DEFINE_integer(
        "count", 64, "How many pictures of the batch are drawn at most.", 1, flag_values=values
    )
    output = flags.DEFINE_string(
        "output", "pictures.png", "Picture to write: .png, .pdf or .svg.", flag_values=values
    )

    def command(_):
        from keras_rescnet.analysis.plots import SUFFIXES, import_pyplot, plot_pictures

        check_output("output", output.value, SUFFIXES)
        import_pyplot()
        with quiet_imports():
            from keras_rescnet.recipe import load_recipe, recipe_name
            from keras_rescnet.training.pictures import training_pictures
        loaded = load_recipe(recipe.value, overrides.value)
        pictures, captions = training_pictures(loaded, step.value, data_dir.value, count.value)
        title = f"{recipe_name(recipe.value)}, step {step.value}"
        plot_pictures(pictures, captions, output.value, title)
        print(f"{title}: {output.value}")

    run_command("browse", __doc__, arguments, values, command, required=["recipe"])


if __name__ == "__main__":
    main(sys.argv)
