"""`keras-rescnet COMMAND ...`, the commands for those who have no checkout."""

import runpy
import sys

from keras_rescnet.mistake import nearest

COMMANDS = {
    "train": "trains a recipe",
    "evaluate": "measures a run on any split of any data",
    "ensemble": "trains members of a recipe and measures them as one",
    "predict": "names what is in pictures",
    "browse": "draws the pictures a recipe trains on",
    "export": "writes a run's model as ONNX, LiteRT or SavedModel",
    "curves": "draws the errors of runs by epoch",
    "models": "lists every model with what it costs",
    "report": "puts results beside the paper's, in Markdown",
    "responses": "draws how Gaussian and how discriminative responses are",
    "explain": "draws where in pictures a model looks",
    "noise": "measures what a step loses because all weights move at once",
    "precision": "says how many bits the sums of a network's layers need",
}


def main():
    """Runs the command that the first word names, as `python -m keras_rescnet.COMMAND` does."""
    name = sys.argv[1] if len(sys.argv) > 1 else None
    if name in (None, "--help", "-help", "-h"):
        print(__doc__)
        for command, text in COMMANDS.items():
            print(f"  {command:<10} {text}")
        sys.exit(2 if name is None else 0)
    if name not in COMMANDS:
        near = nearest(name, COMMANDS)
        print(
            f"keras-rescnet: There is no such command. Received: {name[:100]!r}. Nearest: {near}.",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.argv = sys.argv[1:]
    # Not imported: `keras_rescnet.evaluate` would then be the command and no longer the function.
    module = "training" if name == "train" else name
    runpy.run_module(f"keras_rescnet.{module}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
