"""Mirrored images."""

import tensorflow as tf


class RandomFlip:
    """Mirrors an image left to right with a given probability.

    Args:
        probability: Share of images that are mirrored. Defaults to 0.5.
    """

    def __init__(self, probability=0.5):
        if not 0 <= probability <= 1:
            raise ValueError(
                f"`probability` must be in [0, 1]. Received: probability={probability!r}."
            )
        self.probability = probability

    def __call__(self, batch, seed):
        """Returns the batch with some images mirrored; the dtype is kept."""
        images = batch["images"]
        draws = tf.random.stateless_uniform((images.shape[0], 1, 1, 1), seed)
        flipped = tf.where(draws < self.probability, tf.reverse(images, [2]), images)
        return {**batch, "images": flipped}
