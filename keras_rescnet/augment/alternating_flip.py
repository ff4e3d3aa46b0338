"""Images that are mirrored in every other epoch."""

import tensorflow as tf

from keras_rescnet.augment.random_flip import flipped
from keras_rescnet.augment.rows import images_and_rows
from keras_rescnet.mistake import Mistake


class AlternatingFlip:
    """Mirrors each image left to right in every other epoch. The dtype is kept.

        mirrored = (first(image) + epoch) mod 2

    where `first` is 0 or 1, drawn once for each training image. Any two epochs in succession show
    an image both ways, which random flips do for half of the images only. Within
    `kr.data.train_batches` and recipes only: a batch by itself does not know its epoch.

    Reference:
        Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, "Alternating flip".

    Raises:
        Mistake: When called, if the batch is not one of `train_batches`, whose epoch is known, or
            not as `Transform` describes it.

    Example:

    >>> examples = kr.data.load(kr.data.DIGITS, "train")
    >>> batches = kr.data.train_batches(
    ...     examples, [kr.augment.AlternatingFlip()], batch_size=4, seed=0, start=0, stop=1
    ... )
    >>> next(iter(batches))["images"].shape
    TensorShape([4, 32, 32, 3])
    """

    reach = 0

    def __call__(self, batch, rows):
        """Returns the batch with some images mirrored."""
        images, rows = images_and_rows(batch, rows)
        if rows.epoch is None:
            raise Mistake(
                "AlternatingFlip must be a transform of `train_batches` or a recipe, where epochs "
                "are known. Received: a batch by itself."
            )
        names = tf.strings.as_string(rows.examples)
        key = [rows.run_seed % 2**63, 0]  # a keyed hash of an index is a draw that stays
        first = tf.strings.to_hash_bucket_strong(names, 2, key)
        return {**batch, "images": flipped(images, (first + rows.epoch) % 2 == 1)}
