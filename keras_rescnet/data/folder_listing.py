"""The pictures in a folder: which files, of which class, for which split."""

import dataclasses
import hashlib
import os
import pathlib

from keras_rescnet.data.decoding import SUFFIXES
from keras_rescnet.mistake import Mistake, shorten

LABELS = "labels.txt"
FACTS = "image_folder.json"
VALIDATION = ("val", "validation", "valid")  # names of the folder of test pictures, or else:
TEST = "test"


@dataclasses.dataclass(frozen=True)
class Listing:
    """The pictures of a folder.

    Args:
        root: The folder.
        class_names: Name of each class.
        files: Files of `"train"` and of `"test"` by class and name, relative to `root`.
        labels: Class of each of them; where a picture has any number, 0 and 1 per class, uint8.
        others: Files that are not named like pictures, and pictures outside of classes.
        facts: File to keep in what is found by looking through the pictures.
    """

    root: pathlib.Path
    class_names: list[str]
    files: dict[str, list[str]]
    labels: dict[str, list]
    others: list[str]
    facts: pathlib.Path


def list_pictures(root, validation_share=None, class_names=None):
    """Returns the `Listing` of a folder.

    Args:
        root: The folder.
        validation_share: Share of each class to test with, of a folder without `val`.
        class_names: Names of the class folders in the order of the classes. By default that of
            `labels.txt`, or else of the alphabet.

    Raises:
        Mistake: If it does not have the folders, classes and pictures that it needs.
    """
    root = pathlib.Path(root)
    if not root.is_dir():
        raise Mistake(f"A folder of pictures must be an existing folder. Received: {show(root)}.")
    others: list[str] = []
    if validation_share is None:
        train, test = _split_folders(root)
        found = {
            split: _classes(root, name, others)
            for split, name in zip(("train", "test"), (train, test), strict=True)
        }
    else:
        train = test = _train_folder(root)
        found = divide(_classes(root, train, others), validation_share)
    names = sorted(found["train"])
    empty = [name for name in names if not found["train"][name]]
    if empty:
        raise Mistake(
            f"Every class must have pictures. Received: none in {show(root / train / empty[0])}."
        )
    if len(names) < 2:
        raise Mistake(
            f"There must be two classes or more. Received: {names} in {show(root / train)}."
        )
    strange = sorted(set(found["test"]) - set(names))
    if strange:
        raise Mistake(
            f"Every class in {test} must be in {train} too. "
            f"Received: {shorten(strange, ascii)} in {show(root / test)}."
        )
    if not any(found["test"].values()):
        raise Mistake(
            f"There must be pictures to test with. Received: none in {show(root / test)}."
        )
    in_order = _in_order(root, names) if class_names is None else list(class_names)
    if sorted(in_order) != names:
        different = sorted(set(in_order) ^ set(names)) or ["a name twice"]
        raise Mistake(
            "The class folders must be the `class_names` of the dataset, "
            f"{shorten(', '.join(in_order), str)}. Received: {show(root / train)}, which differs "
            f"in {shorten(', '.join(different), str)}."
        )
    number = {name: i for i, name in enumerate(in_order)}
    files, labels = {}, {}
    for split, classes in found.items():
        pairs = [(file, name) for name in sorted(classes) for file in sorted(classes[name])]
        files[split] = [file for file, _ in pairs]
        labels[split] = [number[name] for _, name in pairs]
    return Listing(root, in_order, files, labels, others, root / FACTS)


def show(path):
    """Returns a path as text that can be printed, whatever bytes its name is made of."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _split_folders(root):
    """Returns the names of the folders of training and of test pictures."""
    there = [name for name in (*VALIDATION, TEST) if (root / name).is_dir()]
    has_train = (root / "train").is_dir()
    if not there or not has_train:
        missing = "val" if has_train else "train"
        folders = sorted(path.name for path in root.iterdir() if path.is_dir())
        raise Mistake(
            "A folder of pictures must have train/<class>/* and val/<class>/* (or validation, or "
            "test); image_folder(validation_share=0.1) does without the second. Received: "
            f"{show(root)}, which has no folder {missing!r}, but "
            f"{shorten(folders, ascii)}."
        )
    return "train", there[0]


def _train_folder(root):
    """Returns the name of the folder of pictures to divide, which may be the root itself."""
    there = [name for name in VALIDATION if (root / name).is_dir()]
    if there:
        raise Mistake(
            "`validation_share` is for folders without pictures to validate with. Received: "
            f"validation_share with {show(root / there[0])}."
        )
    return "train" if (root / "train").is_dir() else ""


def _classes(root, folder, others):
    """Returns the pictures of every class in a folder; appends to `others` what is none."""
    classes = {}
    for entry in _entries(root / folder):
        if not entry.is_dir():
            if entry.name not in (LABELS, FACTS):
                others.append(str(pathlib.Path(folder, entry.name)))
            continue
        if folder == "" and entry.name == TEST:
            continue  # for the end: a share of the other pictures is what validates
        if not entry.name.isprintable():
            raise Mistake(
                "Names of class folders must be printable UTF-8. "
                f"Received: {ascii(entry.name)} in {show(root / folder)}."
            )
        prefix = f"{folder}/{entry.name}" if folder else entry.name
        found = pictures_in(root / folder / entry.name, others, root)
        classes[entry.name] = [f"{prefix}/{file}" for file in found]
    return classes


def pictures_in(folder, others, root, above=()):
    """Returns the pictures in a folder and the folders in it, relative to it, but hidden ones.

    Args:
        folder: The folder.
        others: List that the names of other files are appended to, relative to `root`.
        root: A folder that `folder` is in.
        above: Folders that a link must not lead back to.
    """
    status = folder.stat()
    above = (*above, (status.st_dev, status.st_ino))
    found = []
    for entry in _entries(folder):
        if entry.is_dir():
            status = entry.stat()
            if (status.st_dev, status.st_ino) not in above:  # a link back
                inside = pictures_in(folder / entry.name, others, root, above)
                found += [f"{entry.name}/{file}" for file in inside]
        elif entry.is_file() and entry.name.lower().endswith(SUFFIXES):
            found.append(entry.name)
        else:
            others.append(str((folder / entry.name).relative_to(root)))
    return found


def _entries(folder):
    """Returns what is in a folder and not hidden, such as .ipynb_checkpoints, sorted."""
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise Mistake(
            f"Folders of pictures must be readable. Received: {show(folder)}: {error.strerror}."
        ) from None
    return sorted(visible, key=lambda entry: entry.name)


def divide(classes, share):
    """Takes a share of every class, at least one picture, to test with.

    Which ones depends on the names of the files alone: it is the same in every run, and hardly
    changes when pictures are added.
    """
    found: dict[str, dict] = {"train": {}, "test": {}}
    for name, files in classes.items():
        ranked = sorted(files, key=lambda file: hashlib.sha256(os.fsencode(file)).digest())
        count = max(1, round(share * len(files)))
        if len(files) == 1 or count == len(files):
            raise Mistake(
                "`validation_share` must leave pictures of every class to train on. Received: "
                f"validation_share={share} of {len(files)} pictures of {shorten(name)}."
            )
        found["test"][name], found["train"][name] = ranked[:count], ranked[count:]
    return found


def _in_order(root, names):
    """Returns the class names in the order of `labels.txt`, if there is one."""
    try:
        text = (root / LABELS).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return names
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise Mistake(
            f"{LABELS} must be a text file in UTF-8. Received: {show(root / LABELS)}: {reason}."
        ) from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    # The name of a folder may begin or end with a space: it is then written as it is.
    listed = [line if line in names else line.strip() for line in lines if line.strip()]
    if sorted(listed) != names:
        different = ascii(sorted(set(listed) ^ set(names))) if set(listed) != set(names) else None
        raise Mistake(
            f"{LABELS} must list the class folders, each once. Received: {show(root / LABELS)}, "
            f"which differs in {different or 'a class twice':.200}."
        )
    return listed
