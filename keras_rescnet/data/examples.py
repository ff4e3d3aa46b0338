"""What `load` returns and batches are made of."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from keras_rescnet.mistake import Mistake, shorten

if TYPE_CHECKING:
    from keras_rescnet.data.dataset import Dataset


@runtime_checkable
class Examples(Protocol):
    """Labelled pictures that batches can be read from; subclassing is not needed.

    `ArrayExamples` holds pictures of one size in memory, `EncodedExamples` reads encoded ones
    by index. A class of your own needs a length, two attributes and `reader`, and is returned
    by the `read` of a `Dataset`.

    Attributes:
        dataset: The `Dataset` they are of, with mean and standard deviation.
        class_names: Name of each class, a tuple.

    Example:

    >>> import tensorflow as tf
    >>> class Ramps:
    ...     '''Grey ramps, computed; the label of each is its index modulo 2.'''
    ...
    ...     dataset = kr.data.Dataset(
    ...         name="ramps",
    ...         read=lambda dataset, split, data_dir: Ramps(),
    ...         image_shape=(8, 8, 1),
    ...         classes=2,
    ...         mean=(0.5,),
    ...         std=(0.25,),
    ...     )
    ...     class_names = ("even", "odd")
    ...
    ...     def __len__(self):
    ...         return 100
    ...
    ...     def reader(self, transforms):
    ...         def read_batch(indices, rows):
    ...             ramps = tf.range(64, dtype="int64")[None] * (1 + indices[:, None])
    ...             images = tf.reshape(ramps % 256, (indices.shape[0], 8, 8, 1))
    ...             return {"images": images, "labels": tf.one_hot(indices % 2, 2)}
    ...
    ...         return read_batch, transforms
    >>> batches = kr.data.evaluation_batches(Ramps(), batch_size=50)
    >>> sum(len(batch["images"]) for batch in batches)
    100
    """

    dataset: "Dataset"
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        """Returns the number of examples."""
        ...

    def reader(self, transforms: Sequence[Callable]) -> tuple[Callable, Sequence[Callable]]:
        """Returns what reads a batch, and the transforms that are left to apply to it.

        The function is called as `read_batch(indices, rows)` inside `tf.data`, with the
        positions of the examples, int64 `(n,)`, n known, and their `keras_rescnet.augment.Rows`. It
        returns `{"images": (n, H, W, C), "labels": (n, classes)}`, pixels in [0, 255] and one-hot.

        Args:
            transforms: The list of transforms. What reading can do better by itself, it may
                take off the front, as `EncodedExamples` crops before it decodes.
        """
        ...


def check_examples(examples):
    """Raises `Mistake` unless `examples` is what `load` returns."""
    if not isinstance(examples, Examples):
        raise Mistake(
            "`examples` must be what kr.data.load(dataset, split) returns. "
            f"Received: examples={shorten(examples)}."
        )
