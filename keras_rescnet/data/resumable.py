"""Batches for Keras's `fit` that can be begun again at any step of any epoch."""

import hashlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from keras_rescnet.mistake import Mistake, shorten

_CURE = (
    "Write it as a function of the epoch: "
    "kr.data.resumable(lambda epoch: rows.shuffle(10_000, seed=epoch).batch(32))."
)


class ResumableBatches(tf.data.Dataset):
    """The batches of an epoch, from a step that `kr.ExactResume` sets, as `fit` takes them.

    `fit` asks for a new iterator whenever it begins an epoch. It gets that of the dataset of this
    epoch, not one of a single dataset that all epochs share. Epochs are not counted here: Keras
    asks for another iterator at the end of an epoch, too, and leaves it unread.

    Args:
        batches_of: Function from an epoch, counted from 0, to the `tf.data.Dataset` of its batches.

    Attributes:
        checksum: SHA-256 of the first batch of the first epoch.
        read: Whether an iterator was made since the last `seek`.
    """

    def __init__(self, batches_of: Callable[[int], tf.data.Dataset]):
        self._batches_of = batches_of
        self._first = batches_of(0)
        self._epoch = self._start = 0
        self.read = False
        self.checksum = _first_checksum(self._first)
        super().__init__(tf.data.experimental.to_variant(self._first))

    def seek(self, epoch: int, start: int = 0) -> None:
        """Sets what the next iterator begins with: batch `start` of an epoch."""
        self._epoch, self._start = epoch, start
        self.read = False

    def __iter__(self) -> Iterator:
        dataset = self._batches_of(self._epoch)
        if int(dataset.cardinality()) != len(self):
            raise Mistake(
                f"Every epoch must have as many batches as the first, {len(self)}. Received: "
                f"{int(dataset.cardinality())} batches in epoch {self._epoch}, counted from 0."
            )
        start, self._start = self._start, 0  # what is read again in an epoch is read whole
        self.read = True
        return iter(dataset.skip(start) if start else dataset)

    def _inputs(self):
        return [self._first]

    @property
    def element_spec(self):
        """The types of a batch, as of every `tf.data.Dataset`."""
        return self._first.element_spec


def resumable(
    batches: tf.data.Dataset | Callable[[int], tf.data.Dataset],
) -> ResumableBatches:
    """Returns batches for `fit` that `kr.ExactResume` can begin again at any step of any epoch.

    What is in a step must follow from its epoch and its place in the epoch alone. A dataset that
    is the same every time it is read is given as it is. One that is shuffled anew in every epoch
    is given as a function of the epoch, which takes its seeds from it. The first batch is read
    twice, to see whether it is the same.

    To continue in the middle of an epoch, the batches before are made and dropped. It is
    `ExactResume` that says which epoch is read: without it among the callbacks, `fit` reads that
    of epoch 0 over and over.

    Args:
        batches: A `tf.data.Dataset` of the batches of one epoch, as `fit` takes them, or a
            function from the epoch, counted from 0, to such a dataset. The number of batches must
            be known, and the same in every epoch.

    Returns:
        A `tf.data.Dataset`, to be given to `fit` and to `kr.ExactResume`.

    Raises:
        Mistake: If it is neither, the number of batches is not known, or reading it again gives
            other batches: it is shuffled without a seed, or draws random numbers that depend on
            what was drawn before.

    Example:

    >>> import tensorflow as tf
    >>> rows = tf.data.Dataset.from_tensor_slices((np.arange(6.0), np.arange(6) % 2))
    >>> batches = kr.data.resumable(lambda epoch: rows.shuffle(6, seed=epoch).batch(2))
    >>> len(batches)
    3
    >>> kr.data.resumable(rows.shuffle(6).batch(2))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    keras_rescnet.mistake.Mistake: `batches` must be the same whenever an epoch is read again...
    """
    if isinstance(batches, tf.data.Dataset):
        first, batches_of = batches, lambda epoch: batches
    elif callable(batches):
        first, batches_of = batches(0), batches
    else:
        first = batches
    if not isinstance(first, tf.data.Dataset):
        raise Mistake(
            "`batches` must be a tf.data.Dataset, or a function of the epoch that returns one: "
            "what else gives batches, such as a generator, cannot be begun again in the middle. "
            f"Received: batches={shorten(batches)}, which gives {type(first).__name__}."
        )
    if int(first.cardinality()) < 1:
        raise Mistake(
            "`batches` must be the batches of one epoch, and know how many they are: "
            "`.take(steps)` ends an endless dataset, `tf.data.experimental.assert_cardinality` "
            f"gives a number. Received: batches={shorten(batches)} with cardinality "
            f"{int(first.cardinality())}."
        )
    found = ResumableBatches(batches_of)
    if first.options().deterministic is False or _first_checksum(batches_of(0)) != found.checksum:
        raise Mistake(
            f"`batches` must be the same whenever an epoch is read again. {_CURE} Received: "
            f"batches={shorten(batches)}, whose first batch was another when it was read again, "
            "or which is not deterministic."
        )
    return found


def _first_checksum(dataset):
    """Returns the SHA-256 of the first batch of a dataset."""
    digest = hashlib.sha256()
    for part in keras.tree.flatten(next(dataset.take(1).as_numpy_iterator())):
        array = np.asarray(part)
        data = b"\0".join(array.flat) if array.dtype == object else array.tobytes()
        digest.update(f"{array.dtype} {array.shape}".encode() + data)
    return digest.hexdigest()
