"""`keras-rescnet COMMAND ...`, the commands for those who have no checkout."""

import importlib
import sys

COMMANDS = {
    "train": "trains a recipe",
    "evaluate": "measures a run on any split of any data",
    "predict": "names what is in pictures",
    "browse": "draws the pictures a recipe trains on",
    "export": "writes a run's model as ONNX or LiteRT",
    "curves": "draws the errors of runs by epoch",
    "report": "tells results beside the paper's",
    "responses": "draws how Gaussian and how discriminative responses are",
}


def main():
    """Calls the command that the first word names."""
    name = sys.argv[1] if len(sys.argv) > 1 else None
    if name not in COMMANDS:
        print(__doc__)
        for command, text in COMMANDS.items():
            print(f"  {command:<10} {text}")
        sys.exit(0 if name in ("--help", "-h") else 2)
    module = "train_command" if name == "train" else name
    importlib.import_module(f"keras_rescnet.{module}").main(sys.argv[1:])


if __name__ == "__main__":
    main()
