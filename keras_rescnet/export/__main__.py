"""Writes a trained model for those who use it without this package: ONNX, LiteRT, SavedModel.

    python -m keras_rescnet.export --workdir runs/cifar10_resnet32 --format onnx

All formats take pixels in [0, 255] and return probabilities. An ONNX or LiteRT file is compared
with the Keras model on 64 pictures of the test set before it is written, and refused above a
difference of 1e-4. A run on JAX leaves no SavedModel: `--format saved_model` makes it, with Keras
on TensorFlow.

The run's folder is a program: its recipe.py is executed. Export only runs that you trust. What
loads a SavedModel runs what it holds.
"""

import sys

from absl import flags

from keras_rescnet.command import define_data_dir, quiet, quiet_imports, run_command


def main(arguments):
    """Writes a run's model in the format that is asked for, into the run's folder."""
    values = flags.FlagValues()
    workdir = flags.DEFINE_string(
        "workdir",
        None,
        "Folder of the finished run to export, and to write into.",
        flag_values=values,
    )
    chosen = flags.DEFINE_enum(
        "format",
        "onnx",
        ["onnx", "litert", "saved_model"],
        "Format to write: onnx (model.onnx; needs the extra 'onnx'), litert (model.tflite; needs "
        "the extra 'litert') or saved_model (the folder saved_model).",
        flag_values=values,
    )
    data_dir = define_data_dir(values, "that of the run")

    def command(_):
        from keras_rescnet.analysis.runs import load_run

        run = load_run(workdir.value)
        with quiet_imports():
            from keras_rescnet import data, recipe  # noqa: F401  a run's recipe needs them
            from keras_rescnet.export import FILE_NAMES, litert, onnx, portable, saved_model
            from keras_rescnet.export.comparison import pictures_of
            from keras_rescnet.training import finished

        normalization = {"mean": run.mean, "std": run.std}
        if chosen.value == "saved_model":
            path = run.workdir / "saved_model"
            saved_model(
                run.model,
                path,
                **normalization,
                class_names=run.class_names,
                crop_fraction=run.crop_fraction,
                multi_label=run.multi_label,
                thresholds=list((run.thresholds or {}).values()),
            )
            finished.note_checksums(run.workdir)
            print(f"Wrote {path}.")
            return
        if chosen.value == "onnx":
            portable.check_onnx()
            write = onnx
        else:
            portable.check_litert()
            write = litert
        path = run.workdir / FILE_NAMES[chosen.value]
        pictures = pictures_of(run, data_dir.value)
        with quiet():  # LiteRT names its delegate, tf2onnx warns of numpy's future
            difference = write(
                run.model, path, **normalization, pictures=pictures, multi_label=run.multi_label
            )
        print(f"Wrote {path}; it differs by {difference:.2g} on {len(pictures)} pictures.")

    run_command("export", __doc__, arguments, values, command, required=["workdir"])


if __name__ == "__main__":
    main(sys.argv)
