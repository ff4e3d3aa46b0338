"""Pictures that a table names: a CSV file or a DataFrame."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from keras_rescnet.data.dataset import Dataset
from keras_rescnet.data.folder_listing import show
from keras_rescnet.data.listed_examples import check_size_and_shares, listed_examples
from keras_rescnet.data.table_listing import Table, list_table, read_csv, table_of
from keras_rescnet.mistake import Mistake, shorten


def image_table(
    table: str | os.PathLike | Mapping[str, Any],
    *,
    root: str | os.PathLike | None = None,
    size: int = 224,
    validation_share: float | None = None,
    unreadable_share: float = 0.01,
) -> Dataset:
    """A dataset of the pictures that a CSV file or a DataFrame names, with a class or with tags.

    The table has a column `path`, and one of these two:

    - `label`: the class of the picture, one each;
    - `tags`: any number of tags, separated by `|`, as `red|shoe`, or none. The dataset is then
      `multi_label`: labels are 0 and 1 for every tag.

    A column `split` says which pictures are to train on, `train`, and which to test with, `test`
    (or `val`, `valid`, `validation`). Classes and tags are in alphabetical order. Pictures are
    prepared, looked through and left out as those of `image_folder` are; what is found is kept in
    a file beside the table, `<table>.facts.json`.

    Args:
        table: A CSV file in UTF-8, whose first line names the columns; with a `data_dir`
            (`--data_dir`), the path is taken within it. Or a DataFrame of pandas or Polars, or a
            dict of columns; tags may then be lists.
        root: The folder that the paths in the table start from; of a CSV file the folder it is in
            by default, else the current one.
        size: Side of the square images a model is given. Defaults to 224.
        validation_share: For tables without `split`: share of the pictures, of each class where
            there are classes, that are taken to test with. Which ones depends on their paths alone,
            but that one picture of every tag is always left to train on. Defaults to `None`: there
            must be a `split`.
        unreadable_share: Share of the pictures that may be unreadable. Defaults to 0.01.

    Returns:
        A `Dataset` whose classes, mean and standard deviation are known when it is loaded.

    Raises:
        Mistake: when it is loaded, if the table does not have what it needs or names a picture
            that is not there.

    Example:

    >>> import pathlib, tempfile
    >>> ramp = np.arange(40 * 50 * 3).reshape(40, 50, 3) % 256
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "shoes"
    >>> folder.mkdir()
    >>> for name in "abc":
    ...     keras.utils.save_img(folder / f"{name}.png", ramp)
    >>> lines = ["path,tags,split", "a.png,red|shoe,train", "b.png,shoe,train", "c.png,,test"]
    >>> length = (folder / "pictures.csv").write_text("\\n".join(lines))
    >>> shoes = kr.data.image_table(folder / "pictures.csv", size=32)
    >>> examples = kr.data.load(shoes, "train")
    Looking through 3 pictures in ...shoes, this once.
    >>> examples.class_names, examples.dataset.multi_label
    (('red', 'shoe'), True)
    >>> next(iter(kr.data.evaluation_batches(examples, batch_size=2)))["labels"].numpy()
    array([[1., 1.],
           [0., 1.]], dtype=float32)
    """
    check_size_and_shares(size, validation_share, unreadable_share)
    if not isinstance(root, str | os.PathLike | None):
        raise Mistake(f"`root` must be a folder. Received: root={shorten(root)}.")
    source = table if isinstance(table, str | os.PathLike) else table_of(table)
    return Dataset(
        name="image_table" if isinstance(source, Table) else _name(source),
        read=functools.partial(
            read,
            table=source,
            root=root,
            validation_share=validation_share,
            unreadable_share=unreadable_share,
        ),
        image_shape=(size, size, 3),
        classes=None,
        mean=None,
        std=None,
    )


def read(dataset, split, data_dir=None, *, table, root, validation_share, unreadable_share):
    """Returns the pictures of a split as `EncodedExamples`, in the order of the table."""
    base = pathlib.Path(data_dir or ".").expanduser()
    if isinstance(table, Table):
        folder = base / pathlib.Path(root or "").expanduser()
        facts = folder / "image_table.facts.json"
    else:
        file = base / pathlib.Path(table).expanduser()
        folder = file.parent if root is None else base / pathlib.Path(root).expanduser()
        facts = file.with_name(f"{file.name}.facts.json")
        table = read_csv(file)
    # What is known is not looked for in pictures to train on: a run is measured on others
    known = dataset.mean and dataset.std and dataset.class_names
    needed = (split,) if known else ("train", "test")
    listing = list_table(table, folder, facts, validation_share, dataset.class_names, needed)
    dataset = dataclasses.replace(dataset, multi_label=table.multi_label)
    return listed_examples(dataset, listing, split, unreadable_share)


def _name(path):
    return show(pathlib.Path(path).stem) or "image_table"
