"""`keras-rescnet COMMAND ...`, the commands for those who have no checkout."""

import difflib
import importlib
import sys

COMMANDS = {
    "train": "trains a recipe",
    "evaluate": "measures a run on any split of any data",
    "predict": "names what is in pictures",
    "browse": "draws the pictures a recipe trains on",
    "export": "writes a run's model as ONNX or LiteRT",
    "curves": "draws the errors of runs by epoch",
    "models": "lists every model with what it costs",
    "report": "tells results beside the paper's",
    "responses": "draws how Gaussian and how discriminative responses are",
}


def main():
    """Calls the command that the first word names."""
    name = sys.argv[1] if len(sys.argv) > 1 else None
    if name in (None, "--help", "-h"):
        print(__doc__)
        for command, text in COMMANDS.items():
            print(f"  {command:<10} {text}")
        sys.exit(2 if name is None else 0)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.0)[0]
        print(
            f"keras-rescnet: There is no such command. Received: {name}. Nearest: {near}.",
            file=sys.stderr,
        )
        sys.exit(2)
    module = {
        "train": "training.__main__",
        "models": "models.__main__",
        "export": "export.__main__",
    }.get(name, name)
    importlib.import_module(f"keras_rescnet.{module}").main(sys.argv[1:])


if __name__ == "__main__":
    main()
