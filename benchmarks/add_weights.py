"""Adds the weights of finished runs to the package, and writes docs/pretrained.md.

    python benchmarks/add_weights.py RUN [RUN ...] [--float16] [--data_dir DIR]

A run must have its record in results/ (`train.py --record results`). Its network must be a builder
of `kr.models` that differs in arguments alone. The weights are measured as they were stored, by
what a user calls, and the card has that accuracy beside the record's. `--float16` stores kernels in
half the bytes; all weights of the package together have 10 MB. Without a run it only writes the
page.
"""

import argparse
import functools
import hashlib
import io
import json
import pathlib
import tempfile

import keras
import numpy as np

import keras_rescnet as kr
from keras_rescnet import files
from keras_rescnet.analysis.marked import update
from keras_rescnet.analysis.records import read_record
from keras_rescnet.analysis.runs import load_run
from keras_rescnet.mistake import Mistake
from keras_rescnet.models.weights import FOLDER, changed_arguments
from keras_rescnet.recipe import recipe_name

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "pretrained.md"
LARGEST = 10_000_000  # bytes of all weights of the package
DATA = {  # what is known of the licence of the pictures that a network has learnt from
    "cifar10": "CIFAR-10 (Krizhevsky 2009), which names no licence",
    "cifar100": "CIFAR-100 (Krizhevsky 2009), which names no licence",
    "digits": "Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), CC BY 4.0",
    "svhn_cropped": "SVHN (Netzer et al. 2011), for non-commercial use",
}


def record_of(run, results):
    """Returns the file and the content of the record of a run.

    Args:
        run: A `FinishedRun`.
        results: The folder of records.
    """
    measured = json.loads((run.workdir / "results.json").read_text())
    for file in sorted(results.glob("*.json")):
        record = read_record(file)
        if record["results"] == measured:
            return file, record
    raise Mistake(
        "A run must have its record in results/, which train.py --record results writes. "
        f"Received: {run.workdir}, which has none."
    )


def card_of(run, record, file):
    """Returns the card of a run's weights, but for what is measured on them, and the builder."""
    recipe = run.recipe
    model = getattr(recipe, "model", None)
    options = dict(model.keywords) if isinstance(model, functools.partial) else {}
    builder = model.func if isinstance(model, functools.partial) else model
    name = getattr(builder, "__name__", None)
    if name is None or getattr(kr.models, name, None) is not builder:
        raise Mistake(
            "The `model` of a run's recipe must be a builder of kr.models, or a partial of one. "
            f"Received: {run.workdir}, model={model}."
        )
    dataset = run.facts["data"]
    arguments = changed_arguments(builder, options)
    given = [f"{key}={text}" for key, text in arguments.items()]
    given.append(f'weights="{dataset["name"]}"')
    card = {
        "builder": name,
        "arguments": arguments,
        "weights": dataset["name"],
        "call": f"kr.models.{name}({', '.join(given)})",
        "classes": len(dataset["class_names"]),
        "class_names": dataset["class_names"],
        "input_shape": dataset["image_shape"],
        "mean": dataset["mean"],
        "std": dataset["std"],
        "crop_fraction": dataset["crop_fraction"],
        "parameters": run.facts["parameters"],
        "recipe": f"recipes/{pathlib.PurePath(record['recipe']).name}",
        "overrides": record["overrides"],
        "seed": record["seed"],
        "epochs": record["epochs"],
        "precision": run.facts["recipe"]["precision"],  # which `--set` may have changed
        "views": None if run.views is None else f"kr.views.{run.views.__name__}",
        "hours": record["hours"],
        "machine": record["machine"],
        "backend": record["backend"],
        "versions": record["versions"],
        "record": file.name,
        "results": record["results"],
        "licence": "Apache-2.0, as this package",
        "data": DATA[dataset["name"]],
    }
    return card, functools.partial(builder, **options)


def packed(model, half):
    """Returns the bytes of an `.npz` file of a model's weights, kernels in float16 if `half`."""
    arrays = {}
    for variable in model.weights:
        array = keras.ops.convert_to_numpy(variable).astype("float32")
        name = variable.path.removeprefix(f"{model.name}/")
        arrays[name] = array.astype("float16") if half and array.ndim > 1 else array
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    return data.getvalue()


def add(workdir, *, half=False, data_dir=None, folder=FOLDER, results=ROOT / "results"):
    """Writes the weights and the card of a finished run.

    Args:
        workdir: The folder of the run.
        half: Whether to store kernels in float16.
        data_dir: Where the data of the run are, if elsewhere than they were.
        folder: Where weights are kept.
        results: Where records are kept.

    Returns:
        The name of the weights, and their card.
    """
    run = load_run(workdir)
    file, record = record_of(run, results)
    card, build = card_of(run, record, file)
    name = recipe_name(record["recipe"])
    data = packed(run.trained_model, half)
    card.update(
        {
            "stored": "float16" if half else "float32",
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    )
    for other in folder.glob("*.json"):
        others = json.loads(other.read_text())
        if others["call"] == card["call"] and other.stem != name:
            raise Mistake(
                f"There must be one set of weights per network and dataset: {other.name} is the "
                f"other. Remove it and its .npz, or leave it. Received: {workdir}."
            )
    taken = sum(path.stat().st_size for path in folder.glob("*.npz") if path.stem != name)
    if taken + len(data) > LARGEST:
        raise Mistake(
            f"All weights of the package must have at most {LARGEST:,} bytes; --float16 halves "
            f"them. Received: {workdir} with {len(data):,}, beside {taken:,}."
        )
    with tempfile.TemporaryDirectory() as aside:
        path = pathlib.Path(aside, f"{name}.npz")
        path.write_bytes(data)
        path.with_suffix(".json").write_text(json.dumps(card))
        model = build(weights=path)
    evaluate = functools.partial(kr.evaluate, model, run.dataset, data_dir=data_dir or run.data_dir)
    measured = evaluate()
    card["accuracy"], card["loss"] = measured["accuracy"], measured["loss"]
    if run.views is not None:
        card["accuracy_of_views"] = evaluate(views=run.views)["accuracy"]
    files.write(folder / f"{name}.npz", data)
    files.write(folder / f"{name}.json", json.dumps(card, indent=1) + "\n")
    return name, card


def render(folder=FOLDER):
    """Returns the table of all weights and the card of each, in Markdown."""
    cards = {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}
    total = sum(card["bytes"] for card in cards.values())
    lines = [
        "| weights | parameters | test accuracy, % | epochs | bytes |",
        "| --- | --: | --: | --: | --: |",
    ]
    for card in cards.values():
        accuracy = f"{100 * card['accuracy']:.2f}"
        cells = (f"`{card['call']}`", f"{card['parameters']:,}", accuracy, card["epochs"])
        lines.append(f"| {' | '.join(map(str, cells))} | {card['bytes']:,} |")
    lines.append(f"\n{total:,} bytes in all.")
    return "\n".join([*lines, *(describe(name, card) for name, card in cards.items())]) + "\n"


def describe(name, card):
    """Returns the model card of one set of weights, in Markdown."""
    overrides = "".join(f" --set {text}" for text in card["overrides"])
    versions = ", ".join(f"{package} {version}" for package, version in card["versions"].items())
    means, stds = (", ".join(f"{value:.4g}" for value in card[key]) for key in ("mean", "std"))
    height, width, channels = card["input_shape"]
    recorded = 100 * card["results"].get("test_ema_accuracy", card["results"]["test_accuracy"])
    measured = f"{100 * card['accuracy']:.2f} % of these weights, as `kr.evaluate` measures them"
    if card["precision"] != "float32":
        measured += " in float32"
    if card["views"] is not None:
        of_views = f"{100 * card['accuracy_of_views']:.2f} % with `views={card['views']}`"
        measured += f" without views, {of_views}, as in the record"
    rows = {
        "Network": f"`{card['call']}`, {card['parameters']:,} parameters",
        "Input": f"{height} x {width} x {channels}: `(pixels / 255 - mean) / std` with mean "
        f"({means}) and standard deviation ({stds})",
        "Output": f"logits of {card['classes']} classes: {_names(card['class_names'])}",
        "Training": f"`python train.py --recipe {card['recipe']}{overrides}`, seed {card['seed']}, "
        f"{card['epochs']} epochs, {card['precision']}, {card['hours']} hours on {card['machine']}",
        "Versions": f"Keras on {card['backend']}; {versions}",
        "Test accuracy": f"{recorded:.2f} % in the record, [{card['record']}](../results/"
        f"{card['record']}); {measured}",
        "Test loss": f"{card['loss']:.4f}",
        "File": f"`keras_rescnet/weights/{name}.npz`, {card['stored']}, {card['bytes']:,} bytes, "
        f"SHA-256 `{card['sha256']}`",
        "Licence": f"{card['licence']}",
        "Data": card["data"],
        "Use": "to try this package, to compare with, to fine-tune. Trained on small pictures of "
        "these classes alone; the accuracy says nothing about other pictures.",
    }
    table = "\n".join(f"| {key} | {text} |" for key, text in rows.items())
    return f"\n## {name}\n\n| | |\n| --- | --- |\n{table}"


def _names(names):
    return ", ".join(names) if len(names) <= 10 else f"{', '.join(names[:5])}, ..., {names[-1]}"


def main():
    """Adds weights and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", help="folders of finished runs")
    parser.add_argument("--float16", action="store_true", help="store kernels in half the bytes")
    parser.add_argument("--data_dir", help="where the data are, if elsewhere than in training")
    arguments = parser.parse_args()
    try:
        for workdir in arguments.runs:
            name, card = add(workdir, half=arguments.float16, data_dir=arguments.data_dir)
            print(f"{name}: {card['bytes']:,} bytes, accuracy {100 * card['accuracy']:.2f} %")
    except Mistake as error:
        parser.error(str(error))
    update(PAGE, "weights", render())


if __name__ == "__main__":
    main()
