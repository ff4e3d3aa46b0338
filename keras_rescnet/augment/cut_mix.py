"""Pictures with a box of another picture."""

import tensorflow as tf

from keras_rescnet.arguments import check_positive
from keras_rescnet.augment.mix_up import beta, labels_to_mix
from keras_rescnet.augment.rows import images_and_rows


class CutMix:
    """Pastes a box of the image before it in the batch into every image.

    With `lam ~ Beta(alpha, alpha)`, `r = sqrt(1 - lam) / 2` and a centre `(x, y)` uniform over
    the pixels, the box is

        x - int(r W) <= column < x + int(r W),    y - int(r H) <= row < y + int(r H)

    cut off at the image's edge. Labels are mixed by the share of the image it then covers; they
    must be one-hot or multi-hot, `(N, classes)`. The whole batch shares one box. The images'
    dtype is kept.

    Reference:
        Yun et al., "CutMix" (ICCV 2019); box and partner as torchvision's references have it.

    Args:
        alpha: Both parameters of the Beta distribution. Defaults to 1, a uniform `lam`.

    Raises:
        Mistake: If `alpha` is not a positive number; when called, if the batch or the seed is not
            as `Transform` describes it, or labels are not one-hot or multi-hot.

    Example:

    >>> images = np.stack([np.zeros((8, 8, 3)), np.ones((8, 8, 3))])
    >>> mixed = kr.augment.CutMix()({"images": images, "labels": np.eye(2)}, (0, 1))
    >>> share = np.mean(mixed["images"][0])  # of the second image's pixels in the first
    >>> bool(np.isclose(mixed["labels"][0, 1], share))
    True
    """

    reach = 1

    def __init__(self, alpha: float = 1.0):
        check_positive("alpha", alpha)
        self.alpha = alpha

    def __call__(self, batch, rows):
        """Returns the batch with the box pasted in, and its labels mixed."""
        images, rows = images_and_rows(batch, rows)
        labels = tf.cast(labels_to_mix(batch, "CutMix"), "float32")
        _, height, width, _ = images.shape
        for_size, for_place = rows.split(2)
        radius = 0.5 * tf.sqrt(1 - beta(self.alpha, for_size.seed))

        def span(size, seed):
            centre = tf.random.stateless_uniform((), seed, 0, size, "int32")
            half = tf.cast(radius * size, "int32")
            return tf.maximum(centre - half, 0), tf.minimum(centre + half, size)

        for_x, for_y = for_place.split(2)
        left, right = span(width, for_x.seed)
        top, bottom = span(height, for_y.seed)
        partner = tf.roll(images, 1, axis=0)
        middle = [
            images[:, top:bottom, :left],
            partner[:, top:bottom, left:right],
            images[:, top:bottom, right:],
        ]
        pasted = tf.concat([images[:, :top], tf.concat(middle, axis=2), images[:, bottom:]], axis=1)
        share = tf.cast((right - left) * (bottom - top), "float32") / (height * width)
        return {
            **batch,
            "images": tf.ensure_shape(pasted, images.shape),
            "labels": (1 - share) * labels + share * tf.roll(labels, 1, axis=0),
        }
