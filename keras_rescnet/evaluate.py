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

import keras
import numpy as np
from absl import flags

from keras_rescnet import data
from keras_rescnet.command import check_output, run_command
from keras_rescnet.curves import import_pyplot
from keras_rescnet.recipe import load_recipe


def evaluate(model, examples, batch_size=128):
    """Returns what a classifier does on examples.

    Args:
        model: Normalized images to logits.
        examples: What `keras_rescnet.data.load` returns.
        batch_size: Images at a time.

    Returns:
        A dict of `loss`, `accuracy`, `top5_accuracy`, `calibration_error`, all in [0, 1] but the
        loss, `class_accuracy` (a dict by class name; `None` for a class without examples), and
        `confusion`, `(true class, guessed class)` counts.
    """
    probabilities, labels = guess(model, examples, batch_size)
    classes = probabilities.shape[1]
    guesses = probabilities.argmax(1)
    own = probabilities[np.arange(len(labels)), labels]
    better = (probabilities > own[:, None]).sum(1)
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels, guesses), 1)
    counts = confusion.sum(1)
    return {
        "images": len(labels),
        "loss": float(-np.log(np.maximum(own, np.finfo("float64").tiny)).mean()),
        "accuracy": float((guesses == labels).mean()),
        "top5_accuracy": float((better < min(5, classes)).mean()),
        "calibration_error": calibration_error(probabilities.max(1), guesses == labels),
        "class_accuracy": {
            name: float(confusion[i, i] / counts[i]) if counts[i] else None
            for i, name in enumerate(examples.class_names)
        },
        "confusion": confusion.tolist(),
    }


def guess(model, examples, batch_size):
    """Returns probabilities `(N, classes)` in float64 and true classes `(N,)`."""
    probabilities, labels = [], []
    for batch in data.evaluation_batches(examples, batch_size=batch_size).as_numpy_iterator():
        logits = model.predict_on_batch(batch["images"])
        kept = batch["weights"] > 0
        scores = logits[kept].astype("float64")
        scores = np.exp(scores - scores.max(1, keepdims=True))
        probabilities.append(scores / scores.sum(1, keepdims=True))
        labels.append(batch["labels"][kept].argmax(1))
    return np.concatenate(probabilities), np.concatenate(labels)


def calibration_error(confidences, hits, bins=15):
    """Returns the expected calibration error.

        sum over bins of (share of examples) |mean confidence - accuracy|

    Reference:
        Guo et al., "On calibration of modern neural networks", ICML 2017, Eq. 3.

    Args:
        confidences: Probability of each guess, `(N,)`.
        hits: Whether each guess is right, `(N,)`.
        bins: Number of equal bins over (0, 1].
    """
    index = np.clip(np.ceil(np.asarray(confidences) * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(index, weights=np.asarray(confidences) - np.asarray(hits), minlength=bins)
    return float(np.abs(gaps).sum() / len(index))


def load_run(workdir):
    """Returns the recipe and the model of a finished run.

    The recipe's dataset has the statistics and class names that the run was trained with, also
    if it is a folder of pictures, which does not know them before it is read.

    Raises:
        ValueError: if the folder holds none.
    """
    folder = pathlib.Path(workdir)
    for name in ("recipe.py", "run.json", "model.keras"):
        if not (folder / name).is_file():
            raise ValueError(
                f"`workdir` must be the folder of a finished run. Received: {workdir}, "
                f"which has no {name}."
            )
    run = json.loads((folder / "run.json").read_text())
    name, found = run["name"], run.get("data", {})
    recipe = load_recipe(f"{folder / 'recipe.py'}:{name}" if name else folder / "recipe.py")
    facts = {key: tuple(found[key]) for key in ("mean", "std", "class_names") if key in found}
    recipe = dataclasses.replace(recipe, dataset=dataclasses.replace(recipe.dataset, **facts))
    return recipe, keras.models.load_model(folder / "model.keras")


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
            raise ValueError("--workdir DIR is missing. Received: none.")
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
            raise ValueError(
                f"The data must have the model's {model.output_shape[-1]} classes. "
                f"Received: {dataset.name} with {len(examples.class_names)}."
            )
        names = recipe.dataset.class_names or examples.class_names
        if examples.class_names != names and set(examples.class_names) == set(names):
            raise ValueError(
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
            draw_confusion(measured["confusion"], examples.class_names, matrix.value)
        if output.value is not None:
            pathlib.Path(output.value).write_text(json.dumps(measured, indent=2) + "\n")

    run_command("evaluate", __doc__, arguments, values, command)


def draw_confusion(confusion, class_names, path):
    """Draws counts by true and guessed class into a PNG file."""
    pyplot = import_pyplot()
    shares = np.asarray(confusion) / np.maximum(np.sum(confusion, 1, keepdims=True), 1)
    size = 3 + 0.28 * len(class_names)
    figure, axes = pyplot.subplots(figsize=(size, size), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(class_names))
    axes.set_xticks(ticks, class_names, rotation=90)
    axes.set_yticks(ticks, class_names)
    axes.set(xlabel="guessed", ylabel="true")
    if len(class_names) <= 20:
        for i, row in enumerate(confusion):
            for j, count in enumerate(row):
                color = "white" if shares[i, j] > 0.5 else "black"
                axes.text(j, i, count, ha="center", va="center", color=color, fontsize="small")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    main(sys.argv)
