"""Blends of two pictures."""

import tensorflow as tf

from keras_rescnet.mistake import Mistake


class MixUp:
    """Blends every image with the one before it in the batch.

        images = lam images + (1 - lam) roll(images)
        labels = lam labels + (1 - lam) roll(labels),    lam ~ Beta(alpha, alpha)

    where `roll` moves the batch on by one, and the whole batch shares one `lam`. Returns
    float32 images.

    Reference:
        Zhang et al., "mixup: Beyond Empirical Risk Minimization" (ICLR 2018); partner and
        `lam` as torchvision's references have it.

    Args:
        alpha: Both parameters of the Beta distribution. Defaults to 1, a uniform `lam`.
    """

    reach = 1

    def __init__(self, alpha=1.0):
        check_alpha(alpha)
        self.alpha = alpha

    def __call__(self, batch, seed):
        """Returns the blended batch."""
        lam = beta(self.alpha, seed)
        mixed = {}
        for key, values in batch.items():
            values = tf.cast(values, "float32")
            mixed[key] = lam * values + (1 - lam) * tf.roll(values, 1, axis=0)
        return mixed


def check_alpha(alpha):
    """Raises `ValueError` if `alpha` cannot be the parameter of a Beta distribution."""
    if not alpha > 0:
        raise Mistake(f"`alpha` must be positive. Received: alpha={alpha!r}.")


def beta(alpha, seed):
    """Draws one float32 of Beta(alpha, alpha), as a ratio of Gamma variables."""
    a, b = tf.unstack(tf.random.stateless_gamma((2,), seed, alpha, dtype="float64"))
    return tf.cast(a / (a + b), "float32")
