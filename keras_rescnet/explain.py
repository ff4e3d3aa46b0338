"""Draws which places of pictures a model looks at: Grad-CAM, and the map of an RC Layer.

    python -m keras_rescnet.explain --model runs/flowers rose.jpg more_flowers/ 'x*.png'
    python -m keras_rescnet.explain --model runs/flowers --class daisy rose.jpg
    python -m keras_rescnet.explain --model mine.keras --recipe recipes/cifar10_resnet32.py a.png

Arguments are picture files, folders (searched through) and patterns. Beside each picture, prepared
like those of the run's test set, it draws where the evidence for a class is (Grad-CAM of the last
map, for the likeliest class), and where the last RC Layer strengthens responses, if the model has
one. A CSV file of the same name holds the maps. `kr.grad_cam` and `kr.rc_maps` do the same in
Python; docs/analysis.md says what the maps do not mean.

The run's folder is a program: its recipe.py may be executed. Explain only runs that you trust.
"""

import sys

from absl import flags

from keras_rescnet.command import check_output, quiet_imports, run_command
from keras_rescnet.mistake import Mistake, nearest, shorten

MOST = 100  # pictures that one figure can show


def main(arguments):
    """Draws the maps of the pictures that the arguments name."""
    values = flags.FlagValues()
    model = flags.DEFINE_string(
        "model",
        None,
        "Folder of a finished run, or a .keras file of any functional classifier, which needs "
        "--recipe or --pixels.",
        flag_values=values,
    )
    recipe = flags.DEFINE_string(
        "recipe",
        None,
        "Recipe, as FILE or FILE:NAME: a .keras file gets whole pictures, normalized as the data "
        "of this recipe.",
        flag_values=values,
    )
    pixels = flags.DEFINE_bool(
        "pixels",
        False,
        "Gives a .keras file pixels in [0, 255] in place of normalized images.",
        flag_values=values,
    )
    label = flags.DEFINE_string(
        "class",
        None,
        "Name or number of the class to explain. Not given, it is the likeliest of each picture.",
        flag_values=values,
    )
    layer = flags.DEFINE_string(
        "layer",
        None,
        "Name of the layer whose maps Grad-CAM weighs, in place of the last one.",
        flag_values=values,
    )
    rc_layer = flags.DEFINE_string(
        "rc_layer", None, "Name of the RC Layer to draw, in place of the last.", flag_values=values
    )
    output = flags.DEFINE_string(
        "output", "explain.png", "Picture to write: .png, .pdf or .svg.", flag_values=values
    )

    def command(words):
        from keras_rescnet.analysis.plots import SUFFIXES, import_pyplot

        if not words:
            raise Mistake("Name at least one picture, folder or pattern. Received: none.")
        check_output("output", output.value, SUFFIXES)
        import_pyplot()
        with quiet_imports():
            from keras_rescnet import data  # noqa: F401  a run's recipe needs it
            from keras_rescnet.analysis.explanation import explain
            from keras_rescnet.analysis.method_plots import plot_explanations
            from keras_rescnet.analysis.pictures import picture_model
            from keras_rescnet.analysis.served import find_pictures

        explained = picture_model(model.value, recipe.value, pixels.value)
        paths = find_pictures(words)
        if len(paths) > MOST:
            raise Mistake(f"At most {MOST} pictures fit one figure. Received: {len(paths)}.")
        number = None if label.value is None else _number_of(label.value, explained.class_names)
        shown, pictures, unreadable = explained.read(paths)
        if shown:
            found = explain(
                explained.model,
                explained.normalized(pictures),
                number,
                layer.value,
                rc_layer.value,
                explained.multi_label,
            )
            for path, explanation in zip(shown, found, strict=True):
                name = explained.class_names[explanation.label]
                print(f"{path}: {name} {100 * explanation.probability:.1f} %")
            plot_explanations(shown, pictures, found, explained.class_names, output.value)
            print(f"Wrote {output.value} and the CSV file of its numbers.")
        if unreadable:
            names = shorten(", ".join(map(str, unreadable)), str, 300)
            raise Mistake(
                "A picture must be a JPEG, PNG, BMP, GIF or WebP file. Received: "
                f"{len(unreadable)} of {len(paths)} that cannot be read: {names}."
            )

    run_command(
        "explain", __doc__, arguments, values, command, required=["model"], takes_words=True
    )


def _number_of(label, names):
    """Returns the number of the class that is called or numbered so."""
    if label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    raise Mistake(
        f"--class must be the name of a class, or a number from 0 to {len(names) - 1}. "
        f"Received: --class={shorten(label, str)}. Nearest: {nearest(label, names)}."
    )


if __name__ == "__main__":
    main(sys.argv)
