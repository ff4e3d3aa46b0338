"""Folders of pictures."""

import concurrent.futures
import dataclasses
import functools
import hashlib
import json
import os
import pathlib

import numpy as np
import tensorflow as tf

from keras_rescnet.data.dataset import Dataset
from keras_rescnet.data.decoding import decode
from keras_rescnet.data.encoded_examples import EncodedExamples
from keras_rescnet.files import write
from keras_rescnet.mistake import Mistake

FACTS = "image_folder.json"
LABELS = "labels.txt"
FOLDERS = {"train": "train", "test": "val"}
TOLERANCE = 0.01  # share of pictures that may be unreadable


def image_folder(path=None, *, size=224):
    """A dataset of one's own pictures: `train/<class>/*` and `val/<class>/*`.

    Grey, RGB, RGBA, palette and CMYK pictures of any size, in JPEG, PNG, BMP or GIF files;
    transparency, animation and EXIF orientation are dropped. The first time it is loaded, every
    picture is decoded once: its mean and standard deviation are found, and what cannot be read
    is named and from then on left out. That is kept in the folder, in `image_folder.json`, and
    used as long as the files stay the same.

    Classes are the folders in `train` that are not hidden, in alphabetical order, or in the
    order of a file `labels.txt`, if there is one: one folder's name a line.

    Args:
        path: The folder; `None` for the `data_dir` it is loaded with (`--data_dir`).
        size: Side of the square images a model is given. Defaults to 224.

    Returns:
        A `Dataset` whose classes, mean and standard deviation are known when it is loaded:
        `load(dataset, "train").dataset` has them. A mean and a standard deviation that are put
        in before, by `dataclasses.replace`, are kept.

    Example:

    >>> import pathlib, tempfile
    >>> ramp = np.arange(40 * 50 * 3).reshape(40, 50, 3) % 256
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "pets"
    >>> for split in ("train", "val"):
    ...     for name in ("cat", "dog"):
    ...         (folder / split / name).mkdir(parents=True)
    ...         keras.utils.save_img(folder / split / name / "1.png", ramp)
    >>> pets = kr.data.image_folder(folder, size=32)
    >>> examples = kr.data.load(pets, "train")
    Looking through 4 pictures in ...pets, this once.
    >>> len(examples), examples.class_names
    (2, ('cat', 'dog'))
    """
    return Dataset(
        name="image_folder" if path is None else pathlib.Path(path).name,
        read=functools.partial(read, path=path),
        image_shape=(size, size, 3),
        classes=None,
        mean=None,
        std=None,
    )


def read(dataset, split, data_dir=None, path=None):
    """Returns the pictures of a split as `EncodedExamples`, in alphabetical order."""
    if path is None and data_dir is None:
        raise Mistake("image_folder() needs the folder of the pictures: its path or --data_dir.")
    root = pathlib.Path(data_dir if path is None else path).expanduser()
    names, files = _listing(root)
    facts = _facts(root, files)
    unreadable = set(facts["unreadable"])
    kept = [file for file in files[split] if file not in unreadable]
    labels = np.array([names.index(pathlib.PurePath(file).parts[1]) for file in kept], "int64")

    def fetch(rows):
        pictures = [(root / kept[row]).read_bytes() for row in rows]
        return np.array(pictures, object), labels[rows]

    dataset = dataclasses.replace(
        dataset,
        name=root.name,
        classes=len(names),
        class_names=tuple(names),
        mean=dataset.mean or tuple(facts["mean"]),
        std=dataset.std or tuple(facts["std"]),
    )
    return EncodedExamples(dataset, len(kept), fetch, names)


def _listing(root):
    """Returns the class names, and the sorted files of each split, relative to `root`."""
    classes, files = {}, {}
    for split, folder in FOLDERS.items():
        if not (root / folder).is_dir():
            raise Mistake(
                f"A folder of pictures must have train/<class>/* and val/<class>/*. Received: "
                f"{root}, which has no folder {folder!r}."
            )
        classes[split] = sorted(p.name for p in (root / folder).iterdir() if _is_class(p))
        files[split] = []
        for name in classes[split]:
            found = sorted(
                entry.name
                for entry in os.scandir(root / folder / name)
                if entry.is_file() and not entry.name.startswith(".")
            )
            if not found:
                raise Mistake(f"Every class must have pictures. {root / folder / name} has none.")
            files[split] += [f"{folder}/{name}/{file}" for file in found]
    names = classes["train"]
    if len(names) < 2:
        raise Mistake(f"There must be two classes or more. Received: {names} in {root / 'train'}.")
    strange = sorted(set(classes["test"]) - set(names))
    if strange:
        raise Mistake(f"Every class in val must be in train too. {root / 'val'} has {strange}.")
    if (root / LABELS).exists():
        listed = (root / LABELS).read_text().split("\n")
        listed = [line.strip() for line in listed if line.strip()]
        if sorted(listed) != names:
            different = sorted(set(listed) ^ set(names)) or "a class twice"
            raise Mistake(
                f"{root / LABELS} must list the folders in train, each once. "
                f"It differs in {different}."
            )
        names = listed
    return names, files


def _is_class(folder):
    return folder.is_dir() and not folder.name.startswith(".")  # such as .ipynb_checkpoints


def _facts(root, files):
    """Returns mean, std and unreadable files, from `image_folder.json` if it is up to date."""
    every = files["train"] + files["test"]
    digest = hashlib.sha256()
    for file in every:
        status = (root / file).stat()
        digest.update(f"{file}\n{status.st_size}\n{status.st_mtime_ns}\n".encode())
    stored = root / FACTS
    try:
        facts = json.loads(stored.read_text())
        if facts["files"] == digest.hexdigest():
            return facts
    except (OSError, ValueError, KeyError):
        pass  # not there, or not whole: found anew
    print(f"Looking through {len(every):,} pictures in {root}, this once.", flush=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        moments = list(pool.map(_moments, [root / file for file in every]))
    unreadable = [file for file, found in zip(every, moments, strict=True) if found is None]
    for file in unreadable:
        print(f"Cannot read {root / file}: it is left out.", flush=True)
    if len(unreadable) > TOLERANCE * len(every):
        raise Mistake(
            f"At most {TOLERANCE:.0%} of the pictures may be unreadable. Received: "
            f"{len(unreadable)} of {len(every)} in {root}, the first is {unreadable[0]}."
        )
    if unreadable:
        print(f"{len(unreadable)} of {len(every):,} pictures are left out.", flush=True)
    found = [pair for pair in moments[: len(files["train"])] if pair is not None]
    mean, square = np.mean(found, axis=0)
    facts = {
        "mean": mean.tolist(),
        "std": np.sqrt(square - mean**2).tolist(),
        "unreadable": unreadable,
        "files": digest.hexdigest(),
    }
    try:
        write(stored, json.dumps(facts, indent=1) + "\n")
    except OSError as error:
        print(f"{stored} cannot be written ({error.strerror}): not kept for next time.", flush=True)
    return facts


def _moments(path):
    """Returns the mean and mean square of a picture's channels / 255, or `None` if unreadable."""
    try:
        with tf.device("CPU"):
            picture, _ = decode(tf.constant(path.read_bytes()), lambda sides: (0, 0, *sides))
    except (OSError, tf.errors.OpError):
        return None
    pixels = picture.numpy().reshape(-1, 3) / 255
    return pixels.mean(axis=0), np.square(pixels).mean(axis=0)
