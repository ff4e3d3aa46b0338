"""What is known of a dataset before a byte of it is read."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Sequence

import keras
import numpy as np

from keras_rescnet.arguments import check_integer, is_integer, is_number
from keras_rescnet.data.examples import Examples
from keras_rescnet.data.normalization import scale_and_offset
from keras_rescnet.mistake import Mistake, shorten

KEPT_SPLITS = 8  # that `load` holds in memory at a time: both splits of four datasets


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """Facts about a set of labelled pictures; `load` reads it.

    Sequences may be given as lists; they are kept as tuples.

    Args:
        name: Name of the set, TFDS's where it comes from there.
        read: What reads it, called as `read(dataset, split, data_dir)`; returns `Examples`, such
            as `ArrayExamples` or `EncodedExamples`. For sets of TFDS that of `CIFAR10`, which
            holds them in memory, or that of `IMAGENET`.
        image_shape: Height, width and channels of the images a model is given.
        classes: Number of classes; `None` if `read` finds the classes.
        mean: Mean of each channel over the training pixels divided by 255; `None` if `read`
            computes it.
        std: Standard deviation of the same.
        class_names: Name of each class; `None` where the source knows them. Defaults to `None`.
        multi_label: Whether a picture has any number of classes, its tags, instead of one. Defaults
            to `False`.
        train_split: What `"train"` is called at the source; with TFDS also a part or a sum of
            splits, `"train[:90%]"` or `"train+extra"`. Defaults to `"train"`.
        test_split: What `"test"` is called at the source. Defaults to `"test"`.

    Raises:
        Mistake: If a field is not what it should be, for example a mean of pixels that are not
            divided by 255.

    Example:

    >>> def read(dataset, split, data_dir):
    ...     images = np.zeros((8, 32, 32, 3), "uint8")  # np.load(f"{split}.npz")["images"]
    ...     labels = np.arange(8) % 2
    ...     return kr.data.ArrayExamples(dataset, images, labels, dataset.class_names)
    >>> flowers = kr.data.Dataset(
    ...     name="flowers",
    ...     read=read,
    ...     image_shape=(32, 32, 3),
    ...     classes=2,
    ...     mean=(0.46, 0.42, 0.30),
    ...     std=(0.26, 0.24, 0.27),
    ...     class_names=("daisy", "rose"),
    ... )
    >>> len(kr.data.load(flowers, "train"))
    8
    """

    name: str
    read: Callable[["Dataset", str, str | None], Examples]
    image_shape: tuple[int, int, int]
    classes: int | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    class_names: tuple[str, ...] | None = None
    multi_label: bool = False
    train_split: str = "train"
    test_split: str = "test"

    def __post_init__(self):
        for name in ("name", "train_split", "test_split"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise Mistake(f"`{name}` must be a name. Received: {name}={shorten(value)}.")
        for name in ("image_shape", "mean", "std", "class_names"):
            value = getattr(self, name)
            if isinstance(value, list | np.ndarray):
                items = value.tolist() if isinstance(value, np.ndarray) else value
                object.__setattr__(self, name, tuple(items))
        if not isinstance(self.multi_label, bool):
            raise Mistake(
                "`multi_label` must be True or False. "
                f"Received: multi_label={shorten(self.multi_label)}."
            )
        self._check_shape()
        if self.classes is not None:
            check_integer("classes", self.classes, 1 if self.multi_label else 2)
        self._check_statistics()
        if self.class_names is not None:
            check_class_names(self, self.class_names)
        self._check_read()

    def _check_shape(self):
        shape = self.image_shape
        is_shape = isinstance(shape, tuple) and len(shape) == 3
        if not is_shape or not all(is_integer(n) and n > 0 for n in shape):
            raise Mistake(
                "`image_shape` must be height, width and channels, such as (32, 32, 3). "
                f"Received: image_shape={shorten(shape)}."
            )

    def _check_statistics(self):
        channels = self.image_shape[-1]
        for name, limits in (("mean", "in [0, 1]"), ("std", "positive and at most 1")):
            value = getattr(self, name)
            if value is None:
                continue
            is_tuple = isinstance(value, tuple) and len(value) == channels
            if not is_tuple or not all(map(is_number, value)):
                raise Mistake(
                    f"`{name}` must be a tuple of {channels} numbers, one per channel. "
                    f"Received: {name}={shorten(value)}."
                )
            if not all(0 <= number <= 1 and (number or name == "mean") for number in value):
                raise Mistake(
                    f"`{name}` must be {limits}: pixels are divided by 255. "
                    f"Received: {name}={shorten(value)}."
                )

    def _check_read(self):
        if not callable(self.read):
            raise Mistake(
                "`read` must be a function that is called as read(dataset, split, data_dir). "
                f"Received: read={shorten(self.read)}."
            )
        try:
            hash(self.read)
        except TypeError:
            raise Mistake(
                "`read` must be hashable, as functions are, for `load` to find what it has read. "
                f"Received: read={shorten(self.read)}."
            ) from None

    def normalize(self, pixels) -> np.ndarray:
        """Returns `(pixels / 255 - mean) / std`, float32: what a model of this set is given.

        Args:
            pixels: Array `(..., C)` in [0, 255].

        Returns:
            An array of the shape of `pixels`, float32.

        Raises:
            Mistake: If mean, standard deviation or classes are not known yet.

        Example:

        >>> kr.data.CIFAR10.normalize(np.full((1, 32, 32, 3), 255)).max(axis=(0, 1, 2)).round(3)
        array([2.059, 2.126, 2.116], dtype=float32)
        """
        self.check_known()
        scale, offset = scale_and_offset(self.mean, self.std)
        return np.asarray(pixels, "float32") * scale + offset

    def denormalize(self, images) -> np.ndarray:
        """Returns the pixels in [0, 255] that `normalize` makes `images` of, as floats.

        Args:
            images: Array `(..., C)`.

        Returns:
            An array of the shape of `images`, float64.

        Raises:
            Mistake: If mean, standard deviation or classes are not known yet.

        Example:

        >>> dataset = kr.data.CIFAR10
        >>> dataset.denormalize(dataset.normalize([[255, 128, 0]])).round(3)
        array([[255., 128.,   0.]])
        """
        self.check_known()
        return 255 * (np.asarray(images) * np.asarray(self.std) + np.asarray(self.mean))

    def check_known(self) -> None:
        """Raises `Mistake` if classes, mean or standard deviation are `None`: not loaded yet."""
        for name in ("mean", "std", "classes"):
            if getattr(self, name) is None:
                raise Mistake(
                    f"`{name}` of {self.name} must be known. For a dataset that finds it "
                    f'when it is loaded, use load(dataset, "train").dataset. Received: {name}=None.'
                )


def check_class_names(dataset, class_names):
    """Raises `Mistake` unless there is one name per class."""
    is_sequence = isinstance(class_names, Sequence | np.ndarray)
    if (
        isinstance(class_names, str)
        or not is_sequence
        or not all(isinstance(name, str) for name in class_names)
    ):
        raise Mistake(
            f"`class_names` must be a tuple of names. Received: class_names={shorten(class_names)}."
        )
    if dataset.classes is not None and len(class_names) != dataset.classes:
        raise Mistake(
            f"{dataset.name} must have {dataset.classes} classes. "
            f"Received: {len(class_names)} class names."
        )


def check_found(dataset, class_names):
    """Raises `Mistake` unless the classes are known by now, and there is one name per class."""
    if dataset.classes is None:
        raise Mistake(
            "A `read` that finds the classes must put their number into the dataset: "
            f"dataclasses.replace(dataset, classes=...). Received: classes=None of {dataset.name}."
        )
    check_class_names(dataset, class_names)


def load(dataset: Dataset, split: str, data_dir: str | os.PathLike | None = None) -> Examples:
    """Reads one split of a dataset, once per process.

    Args:
        dataset: A `Dataset`, such as `kr.data.CIFAR10`.
        split: `"train"` or `"test"`.
        data_dir: TFDS's data directory; `None` for its default, `~/tensorflow_datasets`. Of an
            `image_folder` the folder, in place of its path; of an `image_table` where paths start.

    Returns:
        `Examples`: `len(examples)`, `examples.dataset`, `examples.class_names`; what
        `train_batches` and `evaluation_batches` take.

    Raises:
        Mistake: If the set is not there and cannot be downloaded.

    Example:

    >>> examples = kr.data.load(kr.data.DIGITS, "train")
    >>> len(examples), examples.dataset.image_shape
    (1442, (32, 32, 3))
    """
    if not isinstance(dataset, Dataset):
        raise Mistake(
            "`dataset` must be a Dataset, such as kr.data.DIGITS or kr.data.image_folder(path). "
            f"Received: dataset={shorten(dataset)}."
        )
    if split not in ("train", "test"):
        raise Mistake(f"`split` must be 'train' or 'test'. Received: split={shorten(split)}.")
    if not isinstance(data_dir, str | os.PathLike | None):
        raise Mistake(f"`data_dir` must be a folder. Received: data_dir={shorten(data_dir)}.")
    hide_gpus_from_tensorflow()
    return _load(dataset, split, None if data_dir is None else os.fspath(data_dir))


def hide_gpus_from_tensorflow() -> None:
    """Keeps TensorFlow, which only feeds Keras on JAX, off the GPUs: it would take their memory."""
    if keras.backend.backend() == "jax":
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # it has begun already
            tf.config.set_visible_devices([], "GPU")


@functools.lru_cache(maxsize=KEPT_SPLITS)
def _load(dataset, split, data_dir):
    examples = dataset.read(dataset, split, data_dir)
    if not isinstance(examples, Examples):
        raise Mistake(
            f"`read` of {dataset.name} must return Examples, such as ArrayExamples. "
            f"Received: {type(examples).__name__}."
        )
    return examples
