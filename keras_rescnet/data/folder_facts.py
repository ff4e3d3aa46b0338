"""What is found by looking through pictures once: mean, standard deviation, unreadable files."""

import concurrent.futures
import hashlib
import json
import os
import struct
import sys
import threading
import time

import numpy as np
import tensorflow as tf

from keras_rescnet.augment.cores import available_cores
from keras_rescnet.console import say
from keras_rescnet.data.decoding import SUFFIXES, decode
from keras_rescnet.data.folder_listing import show
from keras_rescnet.files import write
from keras_rescnet.mistake import Mistake

LARGE = 2**24  # pixels: pictures of as many or more are decoded one at a time, for the memory
CHUNK = 2**14  # pixels that are counted at a time, as integers of 64 bits
LEVELS = np.arange(256)
# Divisions into train and test to keep facts of, such as those of a cross-validation
DIVISIONS = 16

_large_pictures = threading.Lock()


def folder_facts(listing, unreadable_share):
    """Returns the facts of a `Listing`, from its file of facts if that is up to date.

    Raises:
        Mistake: If more than `unreadable_share` of the pictures cannot be read.
    """
    every = listing.files["train"] + listing.files["test"]
    digest = _digest(listing.root, every, len(listing.files["train"]))
    kept = _stored_facts(listing.facts)
    facts = next((each for each in kept if each["files"] == digest), None)
    if facts is None:
        facts = {**_look_through(listing, every), "files": digest}
        try:
            stored = {**facts, "before": kept[: DIVISIONS - 1]}
            write(listing.facts, json.dumps(stored, indent=1) + "\n")
        except OSError as error:
            say(f"{show(listing.facts)} cannot be written ({error.strerror}): not kept.")
    unreadable = facts["unreadable"]
    if len(unreadable) > unreadable_share * len(every):
        raise Mistake(
            f"At most {100 * unreadable_share:g}% of the pictures may be unreadable, "
            f"`unreadable_share`. Received: {len(unreadable)} of {len(every)} in "
            f"{show(listing.root)}, the first is {show(unreadable[0])}."
        )
    return facts


def _digest(root, files, training_files):
    """Returns a digest of the names, sizes and times of all files, and of where train ends."""
    digest = hashlib.sha256()
    for file in files:
        status = (root / file).stat()
        digest.update(os.fsencode(file))
        digest.update(f"\n{status.st_size}\n{status.st_mtime_ns}\n".encode())
    digest.update(f"{training_files}".encode())
    return digest.hexdigest()


def _stored_facts(path):
    """Returns what is kept of some divisions, the newest first; none of a damaged file."""
    try:
        newest = json.loads(path.read_text())
        kept = [newest, *newest.pop("before", [])]
        return [facts for facts in kept if {"mean", "std", "unreadable", "files"} <= facts.keys()]
    except (OSError, ValueError, AttributeError, TypeError):
        return []


def _look_through(listing, files):
    root = listing.root
    say(f"Looking through {len(files):,} pictures in {show(root)}, this once.")
    if listing.others:
        names = ", ".join(map(show, listing.others[:3]))
        say(
            f"Left out, as they are not in a class folder or not named {' '.join(SUFFIXES)}: "
            f"{len(listing.others):,} files ({names}{', ...' if len(listing.others) > 3 else ''})."
        )
    with concurrent.futures.ThreadPoolExecutor(available_cores()) as pool:
        moments = list(_counted(pool.map(_moments, [root / file for file in files]), len(files)))
    unreadable = [file for file, found in zip(files, moments, strict=True) if found is None]
    for file in unreadable:
        say(f"Cannot read {show(root / file)}: it is left out.")
    if unreadable:
        say(f"{len(unreadable)} of {len(files):,} pictures are left out.")
    found = [pair for pair in moments[: len(listing.files["train"])] if pair is not None]
    if not found:
        return {"mean": None, "std": None, "unreadable": unreadable}
    mean, square = np.mean(found, axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    return {"mean": mean.tolist(), "std": std.tolist(), "unreadable": unreadable}


def _counted(results, total):
    """Yields results; on a terminal, shows every second how many there have been."""
    shown = time.monotonic()
    for count, result in enumerate(results, start=1):
        yield result
        if sys.stdout.isatty() and (time.monotonic() - shown > 1 or count == total):
            shown = time.monotonic()
            end = "\n" if count == total else ""
            say(f"\r  {count:,} of {total:,} pictures", end=end)


def _moments(path):
    """Returns the mean and mean square of a picture's channels / 255, or `None` if unreadable."""
    try:
        encoded = path.read_bytes()
        if _pixels(encoded) < LARGE:
            return _moments_of(encoded)
        with _large_pictures:
            return _moments_of(encoded)
    except (OSError, tf.errors.OpError, struct.error):
        return None


def _moments_of(encoded):
    with tf.device("CPU"):
        picture, _ = decode(tf.constant(encoded), lambda sides: (0, 0, *sides))
    pixels = np.asarray(memoryview(picture)).reshape(-1, 3)  # not a copy
    counts = np.zeros((3, 256), "int64")  # so that the sums are exact
    for start in range(0, len(pixels), CHUNK):
        for channel, values in enumerate(pixels[start : start + CHUNK].T):
            counts[channel] += np.bincount(values, minlength=256)
    return counts @ LEVELS / (255 * len(pixels)), counts @ LEVELS**2 / (255**2 * len(pixels))


def _pixels(encoded):
    """Returns the number of pixels that the head of a picture file announces."""
    if encoded.startswith(b"\xff\xd8"):
        height, width, _ = tf.image.extract_jpeg_shape(encoded).numpy().tolist()
    elif encoded.startswith(b"\x89PNG"):
        width, height = struct.unpack_from(">II", encoded, 16)
    elif encoded.startswith(b"GIF"):
        width, height = struct.unpack_from("<HH", encoded, 6)
    elif encoded.startswith(b"BM"):
        width, height = struct.unpack_from("<ii", encoded, 18)
    else:  # WebP, or none that can be decoded
        width = height = 2**14
    return abs(width * height)
