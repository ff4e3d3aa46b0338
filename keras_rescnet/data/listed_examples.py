"""The examples of pictures that were listed, from a folder or from a table."""

import dataclasses

import numpy as np

from keras_rescnet.arguments import check_integer, check_number
from keras_rescnet.console import say
from keras_rescnet.data.dataset import check_class_names
from keras_rescnet.data.encoded_examples import EncodedExamples
from keras_rescnet.data.folder_facts import folder_facts
from keras_rescnet.data.folder_listing import show
from keras_rescnet.mistake import Mistake, shorten


def check_size_and_shares(size, validation_share, unreadable_share):
    """Raises a `Mistake` unless pictures can be listed and cropped with these."""
    check_integer("size", size, 1)
    if validation_share is not None:
        check_number("validation_share", validation_share, 0, 1)
        if validation_share in (0, 1):
            raise Mistake(
                "`validation_share` must be between 0 and 1, for example 0.1. "
                f"Received: validation_share={validation_share}."
            )
    check_number("unreadable_share", unreadable_share, 0, 1)


def listed_examples(dataset, listing, split, unreadable_share):
    """Returns the pictures of a split as `EncodedExamples`, in the order of the listing.

    Args:
        dataset: The `Dataset`; its classes, and statistics that it lacks, are filled in.
        listing: The `Listing`.
        split: `"train"` or `"test"`.
        unreadable_share: Share of the pictures that may be unreadable; they are left out.

    Raises:
        Mistake: If too many are unreadable, or a class has no picture to train on.
    """
    check_class_names(dataset, listing.class_names)
    facts = folder_facts(listing, unreadable_share)
    _check_statistics(dataset, listing, facts)
    unreadable = set(facts["unreadable"])
    pairs = zip(listing.files[split], listing.labels[split], strict=True)
    kept = [(file, label) for file, label in pairs if file not in unreadable]
    if not kept:
        raise Mistake(
            f"There must be pictures for {split} that can be read. "
            f"Received: {len(listing.files[split])} in {show(listing.root)}, none of which can be."
        )
    labels = np.array([label for _, label in kept])
    _check_every_class(listing, split, labels)

    def fetch(indices):
        pictures = [_bytes_of(listing.root / kept[index][0]) for index in indices]
        return np.array(pictures, object), labels[indices]

    dataset = dataclasses.replace(
        dataset,
        classes=len(listing.class_names),
        class_names=tuple(listing.class_names),
        mean=dataset.mean or tuple(facts["mean"]),
        std=dataset.std or tuple(facts["std"]),
    )
    return EncodedExamples(dataset, len(kept), fetch, listing.class_names)


def _bytes_of(file):
    try:
        return file.read_bytes()
    except OSError as error:
        raise Mistake(
            "A picture must stay where it was found, and readable. "
            f"Received: {show(file)}: {error.strerror}. Once it is there again, the same command "
            "continues where it was."
        ) from None


def _check_statistics(dataset, listing, facts):
    """Raises a `Mistake` if a mean or a standard deviation is needed and was not found."""
    if dataset.mean and dataset.std:
        return
    if facts["std"] is None or (dataset.std is None and min(facts["std"]) < 1e-6):
        raise Mistake(
            "Training pictures must have different pixels in every channel, unless the dataset has "
            "statistics of its own: dataclasses.replace(dataset, mean=..., std=...). Received: "
            f"{len(listing.files['train'])} pictures in {show(listing.root)}, std={facts['std']}."
        )


def _check_every_class(listing, split, labels):
    """Says which classes cannot be tested; raises `Mistake` if one cannot be learned."""
    there = set((labels if labels.ndim == 1 else np.nonzero(labels)[1]).tolist())
    lacking = [name for i, name in enumerate(listing.class_names) if i not in there]
    if lacking and split == "test":
        say(f"No picture to test with in {show(listing.root)} of: {shorten(lacking, ascii)}.")
    elif lacking:
        raise Mistake(
            "Every class must have pictures that can be read. "
            f"Received: none of {shorten(lacking, ascii)} in {show(listing.root)}."
        )
