"""Names what is in pictures, with the SavedModel of a run.

    python -m keras_rescnet.predict --workdir runs/flowers rose.jpg more_flowers/ 'x*.png'
    python -m keras_rescnet.predict --model copied/saved_model rose.jpg

Arguments are picture files, folders (searched through) and patterns. A picture is prepared like
those of the run's test set. Prints the five likeliest classes of each, or its tags; a picture that
cannot be read is named at the end, and the exit code is then 2.

A SavedModel is a program, and this command executes it: use only those that you trust.
"""

import json
import sys

from absl import flags

from keras_rescnet.command import quiet_imports, run_command
from keras_rescnet.mistake import Mistake, shorten


def main(arguments):
    """Prints the likeliest classes of every picture."""
    values = flags.FlagValues()
    workdir = flags.DEFINE_string(
        "workdir", None, "Folder of a finished run, whose saved_model is used.", flag_values=values
    )
    model = flags.DEFINE_string(
        "model", None, "Folder of a SavedModel, in place of --workdir.", flag_values=values
    )
    as_json = flags.DEFINE_bool(
        "json", False, "Prints one JSON object per picture and line.", flag_values=values
    )

    def command(words):
        if (workdir.value is None) == (model.value is None):
            received = "neither" if model.value is None else "both"
            raise Mistake(
                f"Either --workdir or --model must be given; --help explains both. "
                f"Received: {received}."
            )
        if not words:
            raise Mistake("Name at least one picture, folder or pattern. Received: none.")
        from keras_rescnet.analysis.served import Served, find_pictures, find_saved_model

        folder = find_saved_model(workdir.value or model.value)
        with quiet_imports():
            import tensorflow  # noqa: F401  which takes seconds, and reads the SavedModel
        pictures = find_pictures(words)
        served = Served(folder)
        unreadable = []
        for path, guesses in served.guesses(pictures):
            if guesses is None:
                unreadable.append(path)
            elif as_json.value:
                print(json.dumps({"picture": str(path), "guesses": guesses}), flush=True)
            else:
                text = ", ".join(f"{name} {100 * share:.1f} %" for name, share in guesses.items())
                print(f"{path}: {text or 'no tag'}", flush=True)
        if unreadable:
            names = shorten(", ".join(map(str, unreadable)), str, 300)
            raise Mistake(
                "A picture must be a JPEG, PNG, BMP, GIF or WebP file. Received: "
                f"{len(unreadable)} of {len(pictures)} that cannot be read: {names}."
            )

    run_command("predict", __doc__, arguments, values, command, takes_words=True)


if __name__ == "__main__":
    main(sys.argv)
