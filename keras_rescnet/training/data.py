"""The data of a run: what it trains on and what it is tested on."""

import hashlib

import numpy as np
import tensorflow as tf

from keras_rescnet import data
from keras_rescnet.augment.rows import Rows
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.recipe import calling

# Seeds of a run's orders of batches lie a large prime apart, so that the second order of a recipe
# is not the first of the recipe with the next seed, as the many seeds of a study are.
_BETWEEN_ORDERS = 1_000_003
_SAMPLE = 256  # examples of each split by which processes compare their data


class RunData:
    """Both splits of a recipe's dataset, and the batches a run makes of them.

    Attributes:
        train: Examples of the training set, as `keras_rescnet.data.load` returns them.
        test: Examples of the test set.
        dataset: The dataset with all its facts: a folder of pictures has them when it is read.
        transforms: The recipe's transforms.
        steps_per_epoch: Steps per epoch.

    Args:
        recipe: The `Recipe` of the run.
        data_dir: Where TensorFlow Datasets keeps its data; its own default if `None`.

    Raises:
        Mistake: If the data cannot be read or give fewer steps per epoch than are needed, or if
            `augment` returns no list.
    """

    def __init__(self, recipe, data_dir=None):
        self.train = data.load(recipe.dataset, "train", data_dir)
        self.test = data.load(recipe.dataset, "test", data_dir)
        self.dataset = self.train.dataset
        with calling("augment", recipe.augment):
            self.transforms = recipe.augment() if recipe.augment else []
        if not isinstance(self.transforms, list | tuple):
            raise Mistake(
                f"`augment` must return a list of transforms. Received: {shorten(self.transforms)}."
            )
        self.batch_size, self.seed = recipe.batch_size, recipe.seed
        steps = len(self.train) // recipe.batch_size
        if steps < (recipe.steps_per_epoch or 1):
            raise Mistake(
                f"{self.dataset.name} has {len(self.train)} training images, {steps} steps per "
                f"epoch. Received: batch_size={recipe.batch_size}, "
                f"steps_per_epoch={recipe.steps_per_epoch}."
            )
        if not len(self.test):
            raise Mistake(
                f"{self.dataset.name} must have test images. Received: a test set of 0 images."
            )
        self.steps_per_epoch = recipe.steps_per_epoch or steps

    def train_batches(self, start, stop, order=0, num_shards=1, shard_index=0):
        """Returns the batches of some steps, augmented and normalized.

        A pure function of its arguments and the recipe: what a step trains on does not depend on
        where a run was stopped, or on the number of processes.

        Args:
            start: First step, counted from the beginning of the run.
            stop: Step to stop before.
            order: 0, or the number of times the run went back to a checkpoint: each number gives
                the epochs another order and the transforms other draws.
            num_shards: Number of processes that share the rows of every batch.
            shard_index: Which of them this is, from 0.

        Returns:
            A `tf.data.Dataset` of dicts of `"images"`, `(rows, H, W, C)`, and `"labels"`,
            `(rows, classes)`, float32, of `batch_size // num_shards` rows.
        """
        return data.train_batches(
            self.train,
            self.transforms,
            batch_size=self.batch_size,
            seed=self.seed + _BETWEEN_ORDERS * order,
            start=start,
            stop=stop,
            steps_per_epoch=self.steps_per_epoch,
            num_shards=num_shards,
            shard_index=shard_index,
        )

    def test_batches(self, num_shards=1, shard_index=0):
        """Returns the `plain_batches` of the test set."""
        return self.plain_batches(self.test, num_shards, shard_index)

    def plain_batches(self, examples, num_shards=1, shard_index=0):
        """Returns every image once, normalized, in batches of one shape.

        Args:
            examples: `train` or `test`.
            num_shards: Number of processes that share the rows of every batch.
            shard_index: Which of them this is, from 0.

        Returns:
            A `tf.data.Dataset` of dicts as those of `train_batches`, with `"weights"`, `(rows,)`:
            0 for rows that only fill up the last batch, else 1.
        """
        return data.evaluation_batches(
            examples,
            batch_size=self.batch_size,
            num_shards=num_shards,
            shard_index=shard_index,
        )

    def images(self):
        """Returns batches of training images, normalized and not augmented.

        They come in the order of the first epoch; those of a folder in that of their names would be
        of one class.

        Returns:
            A `tf.data.Dataset` of tensors `(batch_size, H, W, C)`.
        """
        batches = data.train_batches(
            self.train,
            [],
            batch_size=self.batch_size,
            seed=self.seed,
            start=0,
            stop=self.steps_per_epoch,
            steps_per_epoch=self.steps_per_epoch,
        )
        return batches.map(lambda batch: batch["images"])

    def facts(self):
        """Returns what `run.json` keeps, and what a run that continues must find again."""
        return {
            "name": self.dataset.name,
            "image_shape": self.dataset.image_shape,
            "mean": self.dataset.mean,
            "std": self.dataset.std,
            "class_names": self.train.class_names,
            "train_images": len(self.train),
            "test_images": len(self.test),
            "crop_fraction": getattr(self.test, "crop_fraction", 1.0),
            **({"multi_label": True} if self.dataset.multi_label else {}),
        }

    def digest(self):
        """Returns the SHA-256 of a sample of pictures and labels, as they are before decoding.

        Decoded ones may differ in the last bit between kinds of CPU, so of examples of a class
        that is not of this package only the labels count.
        """
        digest = hashlib.sha256()
        for examples in (self.train, self.test):
            indices = np.linspace(0, len(examples) - 1, min(_SAMPLE, len(examples))).astype("int64")
            for array in _sample(examples, indices):
                digest.update(array.tobytes() if array.dtype != object else b"".join(array))
        return digest.hexdigest()

    def stateful_transforms(self):
        """Returns the names of the transforms for which a run is not reproducible to the bit."""
        return [layer.name for layer in data.stateful_transforms(self.transforms)]


def _sample(examples, indices):
    """Returns arrays of some pictures and labels."""
    if isinstance(examples, data.ArrayExamples):
        return examples.images[indices], np.asarray(examples.labels[indices], "int64")
    if isinstance(examples, data.EncodedExamples):
        pictures, labels = examples.fetch(indices)
        return np.asarray(pictures, object), np.asarray(labels, "int64")
    read_batch, _ = examples.reader([])
    rows = Rows(len(indices), tf.zeros((2,), "int64"))
    dataset = tf.data.Dataset.from_tensors(indices).map(lambda i: read_batch(i, rows)["labels"])
    (labels,) = dataset.as_numpy_iterator()
    return (labels if examples.dataset.multi_label else np.argmax(labels, axis=-1),)
