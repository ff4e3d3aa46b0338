"""Folders of pictures."""

import dataclasses
import functools
import os
import pathlib

from keras_rescnet.data.dataset import Dataset
from keras_rescnet.data.folder_listing import list_pictures, show
from keras_rescnet.data.listed_examples import check_size_and_shares, listed_examples
from keras_rescnet.mistake import Mistake, shorten


def image_folder(
    path: str | os.PathLike | None = None,
    *,
    size: int = 224,
    validation_share: float | None = None,
    unreadable_share: float = 0.01,
) -> Dataset:
    """A dataset of your own pictures: `train/<class>/*` and `val/<class>/*`.

    Grey, RGB, RGBA, palette and CMYK pictures of any size, in JPEG, PNG, BMP, GIF or WebP files
    with the suffix of one; transparency, animation and EXIF orientation are dropped. Animated WebP
    files without transparency cannot be read, nor BMP files of less than 8 bits. The first
    time it is loaded, every picture is decoded once: its mean and standard deviation are found,
    and what cannot be read is named and from then on left out. That is kept in the folder, in
    `image_folder.json`, for the last sixteen divisions into training and test pictures, and used
    as long as the files stay the same.

    Classes are the folders in `train` that are not hidden, with all folders inside them, in
    alphabetical order, or in the order of a file `labels.txt`, if there is one: one folder's name
    per line. Instead of `val`, the second folder may be called `validation`, `valid` or, if there
    is none of these, `test`.

    Args:
        path: The folder. A `data_dir` that it is loaded with (`--data_dir`) takes its place.
            Defaults to `None`, which needs a `data_dir`.
        size: Side of the square images a model is given. Defaults to 224.
        validation_share: For folders without `val`: share of the pictures of each class in `train`,
            or in the folder itself, that are taken to test with. Which ones depends on their names
            alone. Defaults to `None`: there must be a `val`.
        unreadable_share: Share of the pictures that may be unreadable. Defaults to 0.01.

    Returns:
        A `Dataset` whose classes, mean and standard deviation are known when it is loaded:
        `load(dataset, "train").dataset` has them. A mean and a standard deviation that are put
        in before, by `dataclasses.replace`, are kept; so are `class_names`, in their order.

    Raises:
        Mistake: when it is loaded, if the folder does not have what it needs.

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
    if not isinstance(path, str | os.PathLike | None):
        raise Mistake(f"`path` must be a folder of pictures. Received: path={shorten(path)}.")
    check_size_and_shares(size, validation_share, unreadable_share)
    shares = {"validation_share": validation_share, "unreadable_share": unreadable_share}
    return Dataset(
        name="image_folder" if path is None else _name(path),
        read=functools.partial(read, path=path, **shares),
        image_shape=(size, size, 3),
        classes=None,
        mean=None,
        std=None,
    )


def read(dataset, split, data_dir=None, path=None, *, validation_share=None, unreadable_share=0.01):
    """Returns the pictures of a split as `EncodedExamples`, in alphabetical order."""
    if path is None and data_dir is None:
        raise Mistake(
            "image_folder() needs the folder of the pictures: its path or --data_dir. "
            "Received: path=None."
        )
    root = pathlib.Path(path if data_dir is None else data_dir).expanduser()
    listing = list_pictures(root, validation_share, dataset.class_names)
    dataset = dataclasses.replace(dataset, name=_name(root))
    return listed_examples(dataset, listing, split, unreadable_share)


def _name(path):
    return show(pathlib.Path(os.path.abspath(path)).name) or "image_folder"
