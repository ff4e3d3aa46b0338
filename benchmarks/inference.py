"""Images per second of `evaluate` and `predict`, beside PyTorch's inference.

    python benchmarks/inference.py [resnet gclu] [--rounds 7] [--threads 2]

`evaluate` measures a model on pictures in memory, with the whole of its report; PyTorch normalizes
the same batches and adds up loss and hits, eager and compiled, channels last. `predict` names what
is in picture files, in batches; PyTorch reads the same batches with Pillow, in threads as well.
Both compute on as many threads, in float32.
"""

import argparse
import concurrent.futures
import os
import pathlib
import statistics
import tempfile
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import torch
from keras_step import use_threads
from measurement import alternate, arguments_of, publish, ratio, table
from PIL import Image
from torch.nn import functional as F
from torch_models import GCLU, cifar_resnet

from keras_rescnet import export, gclu, models
from keras_rescnet.analysis import served
from keras_rescnet.analysis.evaluation import measure
from keras_rescnet.data import CIFAR10
from keras_rescnet.data.array_examples import ArrayExamples

BATCH, BATCHES, FILES = 128, 40, 64
NETWORKS = {
    "resnet": ("ResNet-32", models.CifarResNet32, partial(cifar_resnet, 5)),
    "gclu": (
        "ResNet-8 + GCLU",
        partial(models.CifarResNet8, activation=gclu),
        lambda: cifar_resnet(1, activation=GCLU()),
    ),
}


def write_pictures(images, folder):
    """Writes images as PNG files; returns their paths."""
    paths = [pathlib.Path(folder, f"{number}.png") for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        keras.utils.save_img(path, image, scale=False)
    return paths


def torch_network(build, compiled):
    """Returns a function from uint8 pixels `(N, H, W, C)` to logits."""
    model = build().eval().to(memory_format=torch.channels_last)
    run = torch.compile(model) if compiled else model
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CIFAR10.mean, CIFAR10.std))

    def logits(pixels):
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
        with torch.inference_mode():
            return run((images - mean) / std)

    return logits


def torch_evaluation(logits_of, images, labels):
    """Returns the loss and the share of hits on all images."""
    loss = hits = 0.0
    for start in range(0, len(images), BATCH):
        logits = logits_of(images[start : start + BATCH])
        truth = torch.from_numpy(labels[start : start + BATCH])
        loss += F.cross_entropy(logits, truth, reduction="sum").item()
        hits += (logits.argmax(1) == truth).sum().item()
    return loss / len(images), hits / len(images)


def torch_predictions(logits_of, paths):
    """Returns the probabilities of picture files."""
    found = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), served.BATCH):
            pictures = list(pool.map(read, paths[start : start + served.BATCH]))
            found += F.softmax(logits_of(np.stack(pictures)), 1).tolist()
    return found


def read(path):
    """Returns the pixels of a picture file."""
    return np.array(Image.open(path))


def contestants(build, torch_build, paths, images, labels, folder):
    """Returns functions by command and name."""
    model = build()
    examples = ArrayExamples(CIFAR10, images, labels, [str(number) for number in range(10)])
    export.saved_model(model, folder, mean=CIFAR10.mean, std=CIFAR10.std)
    model_of_run = served.Served(folder)
    found = {
        "evaluate": {"here": partial(measure, model, examples, BATCH)},
        "predict": {"here": lambda: list(model_of_run.guesses(paths))},
    }
    for name, compiled in (("PyTorch", False), ("PyTorch, compiled", True)):
        logits_of = torch_network(torch_build, compiled)
        found["evaluate"][name] = partial(torch_evaluation, logits_of, images, labels)
        logits_of = torch_network(torch_build, compiled)  # its shapes would be compiled as one
        found["predict"][name] = partial(torch_predictions, logits_of, paths)
    return found


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = arguments_of(parser)
    use_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (BATCH * BATCHES, 32, 32, 3), "uint8")
    labels = generator.integers(0, 10, len(images))
    rows, figures = [], {}
    for network in arguments.names:
        title, build, torch_build = NETWORKS[network]
        with tempfile.TemporaryDirectory() as folder:
            paths = write_pictures(images[:FILES], folder)
            saved = f"{folder}/saved_model"
            found = contestants(build, torch_build, paths, images, labels, saved)
            for command, functions in found.items():
                count = len(images) if command == "evaluate" else FILES
                times = alternate(functions, arguments.rounds)
                medians = {name: statistics.median(seconds) for name, seconds in times.items()}
                best = min((name for name in medians if name != "here"), key=medians.get)
                figures[f"{command}, {title}: PyTorch's best / here"] = ratio(times, best, "here")
                for name, median in medians.items():
                    factor = f"{ratio(times, name, 'here'):.2f}"
                    rows.append((f"`{command}`, {title}", name, f"{count / median:,.0f}", factor))
    head = ("", "", "images/s", "time as a multiple of ours")
    notes = f"float32, {arguments.threads} threads, {arguments.rounds} rounds. `evaluate` takes "
    notes += f"batches of {BATCH}, `predict` of {served.BATCH} files of 32 x 32."
    publish(arguments.json, f"{table(head, rows)}\n\n{notes}", figures)


if __name__ == "__main__":
    main()
