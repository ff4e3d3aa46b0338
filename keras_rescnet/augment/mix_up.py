"""Blends of two pictures."""

import tensorflow as tf

from keras_rescnet.arguments import check_positive
from keras_rescnet.augment.rows import images_and_rows
from keras_rescnet.mistake import Mistake


class MixUp:
    """Blends every image with the one before it in the batch.

        images = lam images + (1 - lam) roll(images)
        labels = lam labels + (1 - lam) roll(labels),    lam ~ Beta(alpha, alpha)

    where `roll` moves the batch on by one, and the whole batch shares one `lam`. Labels must be
    one-hot or multi-hot, `(N, classes)`. Returns float32 images and labels.

    Reference:
        Zhang et al., "mixup: Beyond Empirical Risk Minimization" (ICLR 2018); partner and
        `lam` as torchvision's references have it.

    Args:
        alpha: Both parameters of the Beta distribution. Defaults to 1, a uniform `lam`.

    Raises:
        Mistake: If `alpha` is not a positive number; when called, if the batch or the seed is not
            as `Transform` describes it, or labels are not one-hot or multi-hot.

    Example:

    >>> batch = {"images": np.zeros((2, 8, 8, 3)), "labels": np.eye(2)}
    >>> labels = kr.augment.MixUp(alpha=0.2)(batch, (0, 1))["labels"]
    >>> np.sum(labels, axis=1).tolist()  # one-hot labels become shares of two classes
    [1.0, 1.0]
    """

    reach = 1

    def __init__(self, alpha: float = 1.0):
        check_positive("alpha", alpha)
        self.alpha = alpha

    def __call__(self, batch, rows):
        """Returns the blended batch."""
        images, rows = images_and_rows(batch, rows)
        labels = labels_to_mix(batch, "MixUp")
        lam = beta(self.alpha, rows.seed)

        def blend(values):
            values = tf.cast(values, "float32")
            return lam * values + (1 - lam) * tf.roll(values, 1, axis=0)

        return {**batch, "images": blend(images), "labels": blend(labels)}


def labels_to_mix(batch, name):
    """Returns a batch's labels as a tensor.

    Raises:
        Mistake: If they are not one-hot or multi-hot. In a graph the values are not known, and
            only labels of a wrong shape, or integers of one column, are refused.
    """
    images = batch["images"]
    needs = (
        f"{name} mixes labels, which must be one-hot or multi-hot, (N, classes) in [0, 1]; of "
        "class numbers keras.ops.one_hot makes them."
    )
    if "labels" not in batch:
        raise Mistake(f"{needs} Received: a batch without labels.")
    try:
        labels = tf.convert_to_tensor(batch["labels"])
    except (TypeError, ValueError):
        received = type(batch["labels"]).__name__
        raise Mistake(f"{needs} Received: labels={received}.") from None
    numbers = labels.shape.rank == 2 and labels.shape[1] == 1 and labels.dtype.is_integer
    is_real = labels.dtype.is_floating or labels.dtype.is_integer
    if labels.shape.rank != 2 or labels.shape[0] != images.shape[0] or numbers or not is_real:
        raise Mistake(
            f"{needs} Received: labels of shape {labels.shape}, {labels.dtype.name}, for "
            f"{images.shape[0]} images."
        )
    if tf.executing_eagerly() and 0 not in labels.shape:
        least, most = float(tf.reduce_min(labels)), float(tf.reduce_max(labels))
        if not (-1e-3 <= least and most <= 1.001):
            raise Mistake(f"{needs} Received: labels from {least:g} to {most:g}.")
    return labels


def beta(alpha, seed):
    """Draws one float32 of Beta(alpha, alpha), as a ratio of Gamma variables."""
    a, b = tf.unstack(tf.random.stateless_gamma((2,), seed, alpha, dtype="float64"))
    # Of an `alpha` below 0.01 both may be so small that they are 0.
    return tf.cast(tf.where(a + b > 0, a / (a + b), 1), "float32")
