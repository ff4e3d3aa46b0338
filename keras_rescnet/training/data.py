"""The data of a run: what it trains on and what it is tested on."""

from keras_rescnet import data
from keras_rescnet.mistake import Mistake


class RunData:
    """Both splits of a recipe's dataset, and the batches a run makes of them.

    Args:
        recipe: The `Recipe` of the run.
        data_dir: Where TensorFlow Datasets keeps its data; its own default if `None`.

    Raises:
        ValueError: if the data are not to be had, or give fewer steps an epoch than are needed,
            or if `augment` returns no list.
    """

    def __init__(self, recipe, data_dir=None):
        self.train = data.load(recipe.dataset, "train", data_dir)
        self.test = data.load(recipe.dataset, "test", data_dir)
        # A folder of pictures knows its classes and statistics when it has been read.
        self.dataset = self.train.dataset
        self.transforms = recipe.augment() if recipe.augment else []
        if not isinstance(self.transforms, list | tuple):
            raise Mistake(
                f"`augment` must return a list of transforms. Received: {self.transforms!r}."
            )
        self.batch_size, self.seed = recipe.batch_size, recipe.seed
        steps = len(self.train) // recipe.batch_size
        if steps < (recipe.steps_per_epoch or 1):
            raise Mistake(
                f"{self.dataset.name} has {len(self.train)} training images, {steps} steps an "
                f"epoch. Received: batch_size={recipe.batch_size}, "
                f"steps_per_epoch={recipe.steps_per_epoch}."
            )
        self.steps_per_epoch = recipe.steps_per_epoch or steps

    def train_batches(self, start, stop, order=0, num_shards=1, shard_index=0):
        """Returns the batches of steps `start` to `stop - 1`, for each `order` in another order.

        Of several shards only the rows of one.
        """
        return data.train_batches(
            self.train,
            self.transforms,
            batch_size=self.batch_size,
            seed=self.seed + 1_000_003 * order,
            start=start,
            stop=stop,
            steps_per_epoch=self.steps_per_epoch,
            num_shards=num_shards,
            shard_index=shard_index,
        )

    def test_batches(self, num_shards=1, shard_index=0):
        """Returns every test image once, in batches of one shape, or one shard of them."""
        return data.evaluation_batches(
            self.test,
            batch_size=self.batch_size,
            num_shards=num_shards,
            shard_index=shard_index,
        )

    def facts(self):
        """Returns what `run.json` keeps, and what a run that goes on must find again."""
        return {
            "name": self.dataset.name,
            "image_shape": self.dataset.image_shape,
            "mean": self.dataset.mean,
            "std": self.dataset.std,
            "class_names": self.train.class_names,
            "train_images": len(self.train),
            "test_images": len(self.test),
        }

    def stateful_transforms(self):
        """Returns the names of the transforms for which a run is not reproducible to the bit."""
        return [layer.name for layer in data.stateful_transforms(self.transforms)]
