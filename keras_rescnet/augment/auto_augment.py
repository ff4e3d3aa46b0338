"""Learned sequences of two operations."""

import numpy as np
import tensorflow as tf

from keras_rescnet.augment import policies
from keras_rescnet.augment.apply import apply_chosen, check_colour
from keras_rescnet.augment.rows import images_and_rows
from keras_rescnet.augment.value_range import PIXELS, check_value_range, from_uint8, to_uint8
from keras_rescnet.mistake import Mistake, shorten

POLICIES = {"cifar10": policies.CIFAR10, "svhn": policies.SVHN, "imagenet": policies.IMAGENET}


class AutoAugment:
    """Two operations per image, of one of 25 learned sub-policies.

    Each image draws one of the sub-policies, and each of its two steps happens with the
    probability the sub-policy gives it, with a random sign where the operation has one.
    The operations are Pillow's, to the pixel; see `keras_rescnet.augment.pillow`. Returns
    uint8 images, or float32 in a `value_range` of its own.

    Reference:
        Cubuk et al., "AutoAugment" (CVPR 2019); github.com/DeepVoltaire/AutoAugment.

    Args:
        policy: `"cifar10"` (the paper of GCLU uses it for CIFAR-100 as well), `"svhn"` or
            `"imagenet"`.
        value_range: Smallest and largest value of the images. Defaults to (0, 255), the range
            that `train_batches` works in.

    Raises:
        Mistake: If there is no such `policy`, or `value_range` is not two rising numbers; when
            called, if the batch or the seed is not as `Transform` describes it, images do not have
            3 channels, or they are evidently not in `value_range`.

    Example:

    >>> images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    >>> batch = {"images": images, "labels": np.eye(4)}
    >>> changed = kr.augment.AutoAugment("cifar10")(batch, (0, 1))["images"]
    >>> changed.shape, changed.dtype.name
    (TensorShape([4, 32, 32, 3]), 'uint8')
    """

    reach = 0

    def __init__(self, policy: str, value_range: tuple[float, float] = PIXELS):
        if not isinstance(policy, str) or policy not in POLICIES:
            raise Mistake(
                f"`policy` must be one of {list(POLICIES)}. Received: policy={shorten(policy)}."
            )
        self.policy = policy
        self.value_range = check_value_range(value_range)
        # Two steps after each other: (25, 2) probabilities, operations and magnitudes.
        steps = [(row[:3], row[3:]) for row in POLICIES[policy]]
        self._operations = sorted(
            {operation for row in steps for _, operation, _ in row}, key=lambda f: f.__name__
        )
        self._probability = np.array([[p for p, _, _ in row] for row in steps], "float32")
        self._choice = np.array(
            [[self._operations.index(operation) for _, operation, _ in row] for row in steps]
        )
        self._magnitude = np.array(
            [[_signed(operation, level) for _, operation, level in row] for row in steps]
        )

    def __call__(self, batch, rows):
        """Returns the batch with its images changed."""
        images, rows = images_and_rows(batch, rows)
        check_colour(images, "AutoAugment")
        images = to_uint8(images, self.value_range, "AutoAugment", rows)
        count = images.shape[0]
        for_policy, for_chance, for_sign = rows.split(3)
        policy = for_policy.draw((count,), 0, len(self._choice), "int32")
        chance = for_chance.draw((2, count), axis=1)
        sign = for_sign.draw((2, count), 0, 2, "int32", axis=1)
        operations = [(f, policies.MAGNITUDES[f] is not None) for f in self._operations]
        for step in range(2):
            happens = chance[step] < tf.gather(self._probability[:, step], policy)
            choice = tf.gather(tf.constant(self._choice[:, step], "int32"), policy)
            choice = tf.where(happens, choice, len(operations))
            magnitudes = tf.gather(self._magnitude[:, step], policy)  # (n, 2)
            magnitudes = tf.gather(magnitudes, sign[step], batch_dims=1)
            images = apply_chosen(images, operations, choice, magnitudes)
        return {**batch, "images": from_uint8(images, self.value_range)}


def _signed(operation, level):
    """The operation's argument at a level, for a negative and a positive sign."""
    table = policies.MAGNITUDES[operation]
    return [0.0, 0.0] if table is None else list(table[:, level])
