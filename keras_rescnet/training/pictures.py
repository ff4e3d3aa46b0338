"""The pictures that a recipe trains on."""

import numpy as np

from keras_rescnet.mistake import Mistake
from keras_rescnet.training.data import RunData


def training_pictures(recipe, step=0, data_dir=None, count=None):
    """Returns the batch that a run trains on at a step, as pictures and captions.

    Args:
        recipe: A `Recipe`.
        step: Number of the step, from 0.
        data_dir: Where TensorFlow Datasets keeps its data.
        count: How many pictures at most; all of the batch by default.

    Returns:
        float32 `(N, H, W, C)` in [0, 1], and N strings such as `"cat"`, `"0.7 cat 0.3 dog"` or, of
        tags, `"red, shoe"`.

    Raises:
        Mistake: If the run has no such step.
    """
    data = RunData(recipe, data_dir)
    steps = recipe.epochs * data.steps_per_epoch
    if not 0 <= step < steps:
        raise Mistake(
            f"`step` must be one of the run's {steps:,} steps, 0 to {steps - 1}. "
            f"Received: step={step}."
        )
    batch = next(data.train_batches(step, step + 1).as_numpy_iterator())
    pictures = data.dataset.denormalize(batch["images"][:count]) / 255
    captions = [_caption(label, data.train.class_names) for label in batch["labels"][:count]]
    return np.clip(pictures, 0, 1).astype("float32"), captions


def _caption(label, class_names):
    order = np.argsort(-label, kind="stable")
    parts = [(label[i], class_names[i]) for i in order if label[i] > 0]
    if len(parts) == 1 or all(share == 1 for share, _ in parts):
        return ", ".join(name for _, name in parts)
    return " ".join(f"{share:.2g} {name}" for share, name in parts)
