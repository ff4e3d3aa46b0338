"""The training loss of a finished run around its weights, and batches to look at it with."""

import dataclasses

import keras

from keras_rescnet import data
from keras_rescnet.analysis.inherent_noise import Surface
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.training.data import RunData
from keras_rescnet.training.freezing import freeze
from keras_rescnet.training.losses import build_losses, build_teacher
from keras_rescnet.training.setup import build_model


def loss_surface(run, images=None, batches=1, data_dir=None):
    """Returns what `inherent_noise` needs of a run.

    Args:
        run: The `FinishedRun`.
        images: Images per batch; those of the recipe by default, and never more than a split has.
        batches: How many pairs of batches.
        data_dir: Where the data are; where they were for the run by default.

    Returns:
        The `Surface`; a list of pairs of batches `(images, labels)`, the first as the step after
        the last would have it, the second of the test set through the same transforms; and the
        recipe's learning rate.

    Raises:
        Mistake: If the run has no recipe file.
    """
    if run.recipe is None:
        raise Mistake(
            "A run must have its recipe file, which says how its batches are made. "
            f"Received: {shorten(str(run.workdir), str)}, which was started from Python."
        )
    recipe = dataclasses.replace(run.recipe, dataset=run.dataset, steps_per_epoch=None)
    folder = data_dir or run.data_dir
    splits = [data.load(recipe.dataset, split, folder) for split in ("train", "test")]
    size = min(images or recipe.batch_size, *map(len, splits))
    recipe = dataclasses.replace(recipe, batch_size=size, gradient_accumulation_steps=1)
    found = RunData(recipe, folder)
    recipe = dataclasses.replace(recipe, dataset=found.dataset)
    model = _single_precision(run.trained_model, recipe)
    freeze(model, recipe.trainable)
    loss = build_losses(recipe, found.train.class_names).train
    surface = Surface(model, loss, build_teacher(recipe))
    after = recipe.epochs * found.steps_per_epoch
    in_use = found.train_batches(after, after + batches)
    held_out = data.train_batches(
        found.test,
        found.transforms,
        batch_size=size,
        seed=recipe.seed,
        start=0,
        stop=batches,
    )
    pairs = [
        [(batch["images"], batch["labels"]) for batch in pair]
        for pair in zip(in_use.as_numpy_iterator(), held_out.as_numpy_iterator(), strict=True)
    ]
    return surface, pairs, recipe.learning_rate


def _single_precision(model, recipe):
    """Returns a run's model in float32: second derivatives in half precision have few digits."""
    if recipe.precision == "float32":
        return model
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        wide = build_model(recipe, 1, initialize=False)
    finally:
        keras.config.set_dtype_policy(policy)
    wide.set_weights(model.get_weights())
    return wide
