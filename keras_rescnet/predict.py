"""Names what is in pictures, with the SavedModel of a run.

    python -m keras_rescnet.predict --model runs/flowers/saved_model rose.jpg more_flowers/ 'x*.png'

Words are picture files, folders (searched through) and patterns. A picture is resized to cover the
model's input, and its middle is cut out. Prints the five likeliest classes of each; `--json` prints
a JSON object a line instead.
"""

import glob
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf
from absl import flags

from keras_rescnet.command import run_command
from keras_rescnet.mistake import Mistake

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


def find_pictures(words):
    """Returns the picture files that words name.

    Raises:
        ValueError: if a word names none.
    """
    found = []
    for word in words:
        path = pathlib.Path(word)
        if path.is_dir():
            files = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES)
        elif path.is_file():
            files = [path]
        else:
            files = sorted(map(pathlib.Path, glob.glob(word, recursive=True)))
        if not files:
            raise Mistake(f"Pictures are files, folders or patterns. Received: {word}: no file.")
        found += files
    return found


def read_picture(path, height, width, channels):
    """Returns a picture as float32 pixels `(height, width, channels)` in [0, 255].

    Raises:
        ValueError: if it cannot be read.
    """
    try:
        image = tf.io.decode_image(
            tf.io.read_file(str(path)), channels=channels, expand_animations=False
        )
    except tf.errors.OpError:
        raise Mistake(
            f"A picture must be a JPEG, PNG, BMP or GIF file. Received: {path}."
        ) from None
    scale = max(height / image.shape[0], width / image.shape[1])
    size = [max(height, round(scale * image.shape[0])), max(width, round(scale * image.shape[1]))]
    image = tf.image.resize(image, size, antialias=True)
    return tf.image.resize_with_crop_or_pad(image, height, width)


def load_served(path):
    """Returns the SavedModel of a run, its input shape `(H, W, C)` and its class names.

    Raises:
        ValueError: if there is none at `path`, or it is not of a run.
    """
    folder = pathlib.Path(path)
    if (folder / "saved_model").is_dir():
        folder = folder / "saved_model"
    if not (folder / "saved_model.pb").is_file():
        raise Mistake(f"`model` must be the folder of a run or SavedModel. Received: {path}.")
    served = tf.saved_model.load(str(folder))
    if not hasattr(served, "class_names"):
        raise Mistake(
            f"`model` must be a SavedModel of a run. Received: {path}, one without class names."
        )
    (shape,) = [
        spec.shape
        for spec in served.signatures["serving_default"].structured_input_signature[1].values()
    ]
    return served, tuple(shape[1:]), [name.decode() for name in served.class_names().numpy()]


def main(arguments):
    """Prints the likeliest classes of every picture."""
    values = flags.FlagValues()
    model = flags.DEFINE_string("model", None, "Run or SavedModel folder.", flag_values=values)
    as_json = flags.DEFINE_bool("json", False, "Print JSON lines.", flag_values=values)

    def command(words):
        if model.value is None:
            raise Mistake("--model DIR is missing. Received: none.")
        if not words:
            raise Mistake("Name at least one picture. Received: none.")
        served, shape, class_names = load_served(model.value)
        for path in find_pictures(words):
            picture = read_picture(path, *shape)
            probabilities = served.serve(picture[None])[0].numpy()
            best = np.argsort(-probabilities, kind="stable")[:5]
            if as_json.value:
                guesses = {class_names[i]: float(probabilities[i]) for i in best}
                print(json.dumps({"picture": str(path), "guesses": guesses}))
            else:
                guesses = ", ".join(
                    f"{class_names[i]} {100 * probabilities[i]:.1f} %" for i in best
                )
                print(f"{path}: {guesses}")

    run_command("predict", __doc__, arguments, values, command, takes_words=True)


if __name__ == "__main__":
    main(sys.argv)
