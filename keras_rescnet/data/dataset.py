"""What is known of a dataset before a byte of it is read."""

import dataclasses
import functools
from collections.abc import Callable

from keras_rescnet.data import digits, tfds_arrays, tfds_encoded
from keras_rescnet.mistake import Mistake


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """Facts about a set of labelled pictures; `load` reads it.

    One's own arrays are a dataset too:

        def read(dataset, split, data_dir):
            file = numpy.load(f"{split}.npz")
            return ArrayExamples(dataset, file["images"], file["labels"], dataset.class_names)

    Args:
        name: Name of the set, TFDS's where it comes from there.
        read: What reads it, called as `read(dataset, split, data_dir)`; returns `ArrayExamples`
            or `EncodedExamples`. For sets of TFDS `tfds_arrays.read` or `tfds_encoded.read`.
        image_shape: Height, width and channels of the images a model is given.
        classes: Number of classes.
        mean: Mean of each channel over the training pixels divided by 255.
        std: Standard deviation of the same.
        class_names: Name of each class; `None` where the source knows them.
        train_split: What `"train"` is called at the source.
        test_split: What `"test"` is called at the source.

    Raises:
        ValueError: if `mean` or `std` is not a tuple of a number a channel, or `std` not positive.
    """

    name: str
    read: Callable
    image_shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...] | None = None
    train_split: str = "train"
    test_split: str = "test"

    def __post_init__(self):
        channels = self.image_shape[-1]
        for name in ("mean", "std"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, tuple) and len(value) == channels):
                raise Mistake(
                    f"`{name}` must be a tuple of {channels} numbers, one a channel. "
                    f"Received: {name}={value!r}."
                )
        if self.std is not None and not min(self.std) > 0:
            raise Mistake(f"`std` must be positive. Received: std={self.std}.")


@functools.lru_cache(maxsize=8)
def load(dataset, split, data_dir=None):
    """Reads one split of a dataset, once per process.

    Args:
        dataset: A `Dataset`.
        split: `"train"` or `"test"`.
        data_dir: TFDS's data directory; `None` for its default, `~/tensorflow_datasets`.

    Returns:
        Examples: `len(examples)`, `examples.dataset`, `examples.class_names`; what
        `train_batches` and `evaluation_batches` take.

    Raises:
        ValueError: If the set is neither there nor to be had.
    """
    if split not in ("train", "test"):
        raise Mistake(f"`split` must be 'train' or 'test'. Received: split={split!r}.")
    return dataset.read(dataset, split, data_dir)


# Statistics as the paper's code has them (github.com/tcmyxc/ResCNet).
CIFAR10 = Dataset(
    name="cifar10",
    read=tfds_arrays.read,
    image_shape=(32, 32, 3),
    classes=10,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
)
CIFAR100 = Dataset(
    name="cifar100",
    read=tfds_arrays.read,
    image_shape=(32, 32, 3),
    classes=100,
    mean=(0.5071, 0.4866, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)
SVHN = Dataset(
    name="svhn_cropped",
    read=tfds_arrays.read,
    image_shape=(32, 32, 3),
    classes=10,
    mean=(109.9 / 255, 109.7 / 255, 113.8 / 255),
    std=(50.1 / 255, 50.6 / 255, 50.8 / 255),
)
SVHN_EXTRA = dataclasses.replace(SVHN, train_split="train+extra")
IMAGENET = Dataset(
    name="imagenet2012",
    read=tfds_encoded.read,
    image_shape=(224, 224, 3),
    classes=1000,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    test_split="validation",
)
DIGITS = Dataset(
    name="digits",
    read=digits.read,
    image_shape=(32, 32, 3),
    classes=10,
    mean=(0.3052,) * 3,
    std=(0.3760,) * 3,
    class_names=tuple("0123456789"),
)
