"""Measures a trained run on any split of any data with as many classes.

    python -m keras_rescnet.evaluate --workdir runs/cifar10_resnet32
    python -m keras_rescnet.evaluate --workdir runs/cifar10_resnet32 --split train
    python -m keras_rescnet.evaluate --workdir runs/cifar10_resnet32 --confusion matrix.png
    python -m keras_rescnet.evaluate --workdir runs/flowers --folder more_flowers

Prints loss, top-1 and top-5 accuracy, the expected calibration error (15 bins), and the accuracy of
every class. `--json FILE` writes them as JSON too.
"""

import dataclasses
import json
import pathlib
import sys

from absl import flags

from keras_rescnet import data
from keras_rescnet.analysis.evaluation import evaluate
from keras_rescnet.analysis.plots import plot_confusion
from keras_rescnet.analysis.runs import load_run
from keras_rescnet.command import check_output, run_command
from keras_rescnet.mistake import Mistake


def main(arguments):
    """Prints, and writes if asked to, what a run's model does."""
    values = flags.FlagValues()
    workdir = flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=values)
    split = flags.DEFINE_string("split", "test", "'test' or 'train'.", flag_values=values)
    folder = flags.DEFINE_string("folder", None, "Pictures in class folders.", flag_values=values)
    data_dir = flags.DEFINE_string("data_dir", None, "TFDS's folder.", flag_values=values)
    output = flags.DEFINE_string("json", None, "JSON file to write.", flag_values=values)
    matrix = flags.DEFINE_string("confusion", None, "PNG file to write.", flag_values=values)

    def command(_):
        if workdir.value is None:
            raise Mistake("--workdir DIR is missing. Received: none.")
        for flag, file in (("json", output.value), ("confusion", matrix.value)):
            if file is not None:
                check_output(flag, file)
        recipe, model = load_run(workdir.value)
        dataset = recipe.dataset
        if folder.value is not None:
            own = data.image_folder(folder.value, size=dataset.image_shape[0])
            dataset = dataclasses.replace(own, mean=dataset.mean, std=dataset.std)
        examples = data.load(dataset, split.value, data_dir.value)
        if len(examples.class_names) != model.output_shape[-1]:
            raise Mistake(
                f"The data must have the model's {model.output_shape[-1]} classes. "
                f"Received: {dataset.name} with {len(examples.class_names)}."
            )
        names = recipe.dataset.class_names or examples.class_names
        if examples.class_names != names and set(examples.class_names) == set(names):
            raise Mistake(
                f"The classes must be in the model's order, {', '.join(names)}. Received: "
                f"{', '.join(examples.class_names)}; a labels.txt in the folder gives an order."
            )
        measured = evaluate(model, examples)
        print(f"{dataset.name}, {split.value}: {measured['images']:,} images")
        print(f"  loss               {measured['loss']:.4f}")
        for name in ("accuracy", "top5_accuracy", "calibration_error"):
            print(f"  {name.replace('_', ' '):<18} {100 * measured[name]:.2f} %")
        width = max(map(len, examples.class_names))
        for name, accuracy in measured["class_accuracy"].items():
            text = "no images" if accuracy is None else f"{100 * accuracy:6.2f} %"
            print(f"    {name:<{width}} {text}")
        if matrix.value is not None:
            plot_confusion(measured["confusion"], examples.class_names, matrix.value)
        if output.value is not None:
            pathlib.Path(output.value).write_text(json.dumps(measured, indent=2) + "\n")

    run_command("evaluate", __doc__, arguments, values, command)


if __name__ == "__main__":
    main(sys.argv)
