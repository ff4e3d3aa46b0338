"""Learned sequences of two operations."""

import numpy as np
import tensorflow as tf

from keras_rescnet.augment import policies
from keras_rescnet.augment.apply import apply_chosen, as_uint8
from keras_rescnet.augment.rows import draw
from keras_rescnet.mistake import Mistake

POLICIES = {"cifar10": policies.CIFAR10, "svhn": policies.SVHN, "imagenet": policies.IMAGENET}


class AutoAugment:
    """Two operations a picture, of one of 25 learned sub-policies.

    Each image draws one of the sub-policies, and each of its two steps happens with the
    probability the sub-policy gives it, with a random sign where the operation has one.
    The operations are Pillow's, to the pixel; see `keras_rescnet.augment.pillow`. Returns
    uint8 images.

    Reference:
        Cubuk et al., "AutoAugment" (CVPR 2019); github.com/DeepVoltaire/AutoAugment.

    Args:
        policy: `"cifar10"` (the paper of GCLU uses it for CIFAR-100 as well), `"svhn"` or
            `"imagenet"`.
    """

    reach = 0

    def __init__(self, policy):
        if policy not in POLICIES:
            raise Mistake(f"`policy` must be one of {list(POLICIES)}. Received: {policy!r}.")
        self.policy = policy
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

    def __call__(self, batch, seed):
        """Returns the batch with its images changed."""
        images = as_uint8(batch["images"])
        count = images.shape[0]
        seeds = tf.random.split(seed, 3)
        row = draw((count,), seeds[0], 0, len(self._choice), "int32")
        chance = draw((2, count), seeds[1], rows=1)
        sign = draw((2, count), seeds[2], 0, 2, "int32", rows=1)
        operations = [(f, policies.MAGNITUDES[f] is not None) for f in self._operations]
        for step in range(2):
            happens = chance[step] < tf.gather(self._probability[:, step], row)
            choice = tf.gather(tf.constant(self._choice[:, step], "int32"), row)
            choice = tf.where(happens, choice, len(operations))
            magnitudes = tf.gather(self._magnitude[:, step], row)  # (n, 2)
            magnitudes = tf.gather(magnitudes, sign[step], batch_dims=1)
            images = apply_chosen(images, operations, choice, magnitudes)
        return {**batch, "images": images}


def _signed(operation, level):
    """The operation's argument at a level, for a negative and a positive sign."""
    table = policies.MAGNITUDES[operation]
    return [0.0, 0.0] if table is None else list(table[:, level])
