"""Other pictures than those of a run's dataset, in one folder per class."""

import concurrent.futures
import dataclasses
import os
import pathlib

import numpy as np
import tensorflow as tf

from keras_rescnet import data
from keras_rescnet.analysis.evaluation import evaluate, measure
from keras_rescnet.data.decoding import prepare
from keras_rescnet.data.folder_listing import pictures_in
from keras_rescnet.mistake import Mistake, shorten


def evaluate_folder(run, folder, split="test"):
    """Measures a run on a folder of pictures, as `evaluate` does on a dataset.

    Args:
        run: A `FinishedRun`.
        folder: Folder with one folder of pictures per class, named as the run's classes; or one
            that `image_folder()` takes.
        split: Which of these two: `"train"` or `"test"`.

    Raises:
        Mistake: If there are no such folders, or no picture that can be read.
    """
    folder = pathlib.Path(folder).expanduser()
    if (folder / "train").is_dir():
        dataset = data.image_folder(folder, size=run.dataset.image_shape[0])
        return evaluate(run.workdir, dataset, split=split)
    if split != "test":
        raise Mistake(
            "`split` must be 'test' of a folder that has no folder train. "
            f"Received: split={shorten(split)}, of {shorten(str(folder), str)}."
        )
    return measure(run.model, _examples(run, folder), loss=run.loss, views=run.views)


def _examples(run, folder):
    if run.multi_label:
        raise Mistake(
            "A folder per class is for pictures of one class each; those with tags are measured "
            "with a table: kr.evaluate(workdir, kr.data.image_table(table, "
            f"size={run.dataset.image_shape[0]})). Received: {shorten(str(folder), str)} "
            f"for {shorten(str(run.workdir), str)}."
        )
    dataset = run.dataset
    names = run.class_names or dataset.class_names or ()
    files = _files(folder, names)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        readable = list(pool.map(lambda file: _is_readable(file, run), files))
    kept = [file for file, is_readable in zip(files, readable, strict=True) if is_readable]
    for file in sorted(set(files) - set(kept)):
        print(f"Cannot read {file}: it is left out.", flush=True)
    if not kept:
        raise Mistake(
            "`folder` must have pictures in its folders of classes. "
            f"Received: {shorten(str(folder), str)}, which has none that can be read."
        )
    classes = [file.relative_to(folder).parts[0] for file in kept]
    labels = np.array([names.index(name) for name in classes], "int64")

    def fetch(rows):
        pictures = [kept[row].read_bytes() for row in rows]
        return np.array(pictures, object), labels[rows]

    dataset = dataclasses.replace(dataset, name=folder.name, classes=len(names))
    return data.EncodedExamples(dataset, len(kept), fetch, names, run.crop_fraction)


def _files(folder, names):
    """Returns the picture files of all classes, in alphabetical order."""
    try:
        classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise Mistake(
            "`folder` must be a folder with one folder of pictures per class. "
            f"Received: {shorten(str(folder), str)} ({error.strerror})."
        ) from None
    classes = [name for name in classes if not name.startswith(".")]
    strange = [name for name in classes if name not in names]
    if strange or not classes:
        raise Mistake(
            f"`folder` must have folders named as the model's classes, "
            f"{shorten(', '.join(names), str)}. Received: {shorten(str(folder), str)}, "
            f"{'with ' + shorten(', '.join(strange), str) if strange else 'without any'}."
        )
    return [
        folder / name / file for name in classes for file in pictures_in(folder / name, [], folder)
    ]


def _is_readable(file, run):
    try:
        with tf.device("CPU"):
            prepare(tf.constant(file.read_bytes()), run.dataset.image_shape, run.crop_fraction)
    except (OSError, tf.errors.OpError):
        return False
    return True
