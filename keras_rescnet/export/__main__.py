"""What a trained model becomes for those who use it: SavedModel, ONNX, LiteRT.

    python -m keras_rescnet.export --workdir runs/cifar10_resnet32 --format onnx

All take pixels in [0, 255] and return probabilities. The command compares an ONNX or LiteRT file
with the Keras model on 64 pictures of the test set, and fails above a difference of 1e-4. A run on
JAX leaves no SavedModel: `--format saved_model` makes it, with Keras on TensorFlow.
"""

import pathlib
import sys

import numpy as np
from absl import flags

from keras_rescnet import data
from keras_rescnet.analysis.runs import load_run
from keras_rescnet.command import run_command
from keras_rescnet.export import litert, onnx, saved_model
from keras_rescnet.mistake import Mistake


def main(arguments):
    """Writes a run's model in the format that is asked for, into the run's folder."""
    values = flags.FlagValues()
    workdir = flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=values)
    formats = ["onnx", "litert", "saved_model"]
    kind = flags.DEFINE_enum("format", "onnx", formats, "Format.", flag_values=values)
    data_dir = flags.DEFINE_string("data_dir", None, "TFDS's folder.", flag_values=values)

    def command(_):
        if workdir.value is None:
            raise Mistake("--workdir DIR is missing. Received: none.")
        recipe, model = load_run(workdir.value)
        examples = data.load(recipe.dataset, "test", data_dir.value)
        mean, std = np.asarray(examples.dataset.mean), np.asarray(examples.dataset.std)
        folder = pathlib.Path(workdir.value)
        if kind.value == "saved_model":
            path, names = folder / "saved_model", examples.class_names
            saved_model(model, path, mean=mean, std=std, class_names=names)
            print(f"Wrote {path}.")
            return
        count = min(64, len(examples))
        batch = next(data.evaluation_batches(examples, batch_size=count).as_numpy_iterator())
        pictures = np.rint(255 * (batch["images"] * std + mean)).astype("uint8")
        write, suffix = {"onnx": (onnx, "onnx"), "litert": (litert, "tflite")}[kind.value]
        path = folder / f"model.{suffix}"
        difference = write(model, path, mean=mean, std=std, pictures=pictures)
        print(f"Wrote {path}; it differs by {difference:.2g} on {len(pictures)} pictures.")

    run_command("export", __doc__, arguments, values, command)


if __name__ == "__main__":
    main(sys.argv)
