"""Measures a trained run on any split of any data with the same classes.

    python -m keras_rescnet.evaluate --workdir runs/cifar10_resnet32
    python -m keras_rescnet.evaluate --workdir runs/cifar10_resnet32 --split train
    python -m keras_rescnet.evaluate --workdir runs/cifar10_resnet32 --confusion matrix.png
    python -m keras_rescnet.evaluate --workdir runs/flowers --folder more_flowers

Prints loss, top-1 and top-5 accuracy, the expected calibration error (15 bins), and the accuracy of
every class; of pictures with tags loss, F1 and mean average precision, and those of every tag.
`kr.evaluate` does the same in Python.

The run's folder is a program: its recipe.py is executed. Evaluate only runs that you trust.
"""

import json
import sys

from absl import flags

from keras_rescnet.command import (
    check_output,
    define_data_dir,
    quiet_imports,
    run_command,
)
from keras_rescnet.mistake import Mistake, shorten


def main(arguments):
    """Prints what a run's model achieves, and writes it if asked to."""
    values = flags.FlagValues()
    workdir = flags.DEFINE_string(
        "workdir", None, "Folder of the finished run to measure.", flag_values=values
    )
    split = flags.DEFINE_string(
        "split", "test", "Split to measure on, 'test' or 'train'.", flag_values=values
    )
    folder = flags.DEFINE_string(
        "folder",
        None,
        "Folder of other pictures to measure on: one folder of pictures per class, or the "
        "train/<class> and val/<class> of image_folder().",
        flag_values=values,
    )
    data_dir = define_data_dir(values, "that of the run")
    output = flags.DEFINE_string(
        "json", None, "JSON file to write all that was measured into.", flag_values=values
    )
    matrix = flags.DEFINE_string(
        "confusion",
        None,
        "Picture to draw the counts by true and predicted class into: .png, .pdf or .svg. Needs "
        "the extra 'plot'.",
        flag_values=values,
    )

    def command(_):
        from keras_rescnet.analysis.plots import SUFFIXES, import_pyplot, plot_confusion
        from keras_rescnet.analysis.runs import load_run
        from keras_rescnet.files import write

        if output.value is not None:
            check_output("json", output.value)
        if matrix.value is not None:
            check_output("confusion", matrix.value, SUFFIXES)
            import_pyplot()
        run = load_run(workdir.value)
        if matrix.value is not None and run.multi_label:
            raise Mistake(
                "--confusion is for pictures of one class each. "
                f"Received: {shorten(workdir.value, str)}, a run on pictures with tags."
            )
        with quiet_imports():
            from keras_rescnet import data, recipe  # noqa: F401  a run's recipe needs them
            from keras_rescnet.analysis.class_folders import evaluate_folder
            from keras_rescnet.analysis.evaluation import evaluate

        if folder.value is None:
            name = run.dataset.name
            measured = evaluate(run.workdir, split=split.value, data_dir=data_dir.value)
        else:
            name = folder.value
            measured = evaluate_folder(run, folder.value, split.value)
        print(f"{name}, {split.value}: {measured['images']:,} images")
        names = _print_tags(measured) if run.multi_label else _print_classes(measured)
        if matrix.value is not None:
            title = f"{run.workdir.resolve().name} on {name}, {split.value}"
            plot_confusion(measured["confusion"], names, matrix.value, title)
        if output.value is not None:
            write(output.value, json.dumps(measured, indent=2) + "\n")

    run_command("evaluate", __doc__, arguments, values, command, required=["workdir"])


def _print_classes(measured):
    """Prints what was measured of pictures of one class each; returns the names of the classes."""
    print(f"  loss               {measured['loss']:.4f}")
    for metric in ("accuracy", "top5_accuracy", "calibration_error"):
        print(f"  {metric.replace('_', ' '):<18} {100 * measured[metric]:.2f} %")
    names = list(measured["class_accuracy"])
    width = max(map(len, names))
    for class_name, accuracy in measured["class_accuracy"].items():
        text = "no images" if accuracy is None else f"{100 * accuracy:6.2f} %"
        print(f"    {class_name:<{width}} {text}")
    return names


def _print_tags(measured):
    """Prints what was measured of pictures with any number of tags; returns the tags."""
    print(f"  loss                   {measured['loss']:.4f}")
    for metric in ("mean_average_precision", "f1", "macro_f1", "f1_at_thresholds"):
        print(f"  {metric.replace('_', ' '):<22} {100 * measured[metric]:.2f} %")
    names = list(measured["class_f1"])
    width = max(map(len, names))
    print(f"    {'':<{width}}  precision        F1  threshold")
    for name in names:
        precision = measured["class_average_precision"][name]
        text = "no images" if precision is None else f"{100 * precision:7.2f} %"
        print(
            f"    {name:<{width}}  {text:>9}  {100 * measured['class_f1'][name]:6.2f} %"
            f"  {measured['thresholds'][name]:9.4f}"
        )
    return names


if __name__ == "__main__":
    main(sys.argv)
