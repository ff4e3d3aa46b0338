"""`train`: from a recipe to a trained, tested and exported model."""

from __future__ import annotations

import contextlib
import os
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_rescnet.recipe import Recipe


def train(
    recipe: Recipe,
    workdir: str | os.PathLike,
    *,
    data_dir: str | os.PathLike | None = None,
    devices: int | None = None,
    timeout: float = 300,
) -> dict[str, Any]:
    """Trains what a recipe describes, in a folder of its own.

    The same call on the same folder continues where it stopped: whatever ended the run, on the same
    kind of CPU, with as many threads and with transforms of this package the result is the same
    to the last bit. On a finished run it returns the results.

    Leaves in the folder: the recipe's file, `run.json`, `checkpoints/`, `log.csv`, `tensorboard/`,
    `results.json`, `model.keras` (normalized images to logits) and `saved_model/` (pixels to
    probabilities; with Keras on TensorFlow). With `ema_momentum` these two hold the averaged
    weights.

    Python's and NumPy's random numbers continue afterwards as if nothing had been trained.

    Args:
        recipe: What to train, as `load_recipe` returns it from a file.
        workdir: The run's folder.
        data_dir: Where TensorFlow Datasets keeps its data, or the folder of an `image_folder()`;
            their own defaults if `None`.
        devices: How many devices to use; `None` for all GPUs, or else the CPU. Defaults to `None`.
        timeout: Seconds that one of several processes waits for the others before it gives up.
            Defaults to 300.

    Returns:
        A dict of `epoch`, the last one; `train_loss`, `train_accuracy` and `train_top5_accuracy` of
        its pictures as they were trained on; `test_loss`, `test_accuracy` and `test_top5_accuracy`
        after it, and with `ema_momentum` the same as `test_ema_...`; `best_test_accuracy` and
        `best_epoch`; `parameters`, their number; `recipe_digest`. Accuracies are in [0, 1]. For
        pictures with tags there are `..._f1` and `..._mean_average_precision` in place of
        accuracies, and `thresholds` by tag.

    Raises:
        Mistake: If something in the recipe or the call cannot be used.
        FloatingPointError: If the loss is no longer finite.
        ConnectionError: If another process of the run is gone.
        KeyboardInterrupt: After Ctrl-C, when the run is saved.
        SystemExit: With 143 after SIGTERM and 129 after SIGHUP, when the run is saved.

    Example:

    >>> import tempfile
    >>> def read(dataset, split, data_dir):
    ...     images = np.zeros((8, 4, 4, 1), "uint8")
    ...     names = ("even", "odd")
    ...     return kr.data.ArrayExamples(dataset, images, np.arange(8) % 2, names)
    >>> def model(input_shape, classes):
    ...     inputs = keras.Input(input_shape)
    ...     flat = keras.layers.Flatten()(inputs)
    ...     return keras.Model(inputs, keras.layers.Dense(classes)(flat))
    >>> black = kr.data.Dataset(
    ...     name="black", read=read, image_shape=(4, 4, 1), classes=2, mean=(0.5,), std=(0.5,)
    ... )
    >>> recipe = kr.Recipe(
    ...     dataset=black, model=model, optimizer=kr.optimizers.SGD,
    ...     batch_size=4, epochs=1, learning_rate=0.1,
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = kr.train(recipe, folder)  # doctest: +ELLIPSIS
    functional...: 34 parameters, float32, on ...
    >>> results["test_accuracy"]
    0.5
    """
    # Imported here, for `--help` of the command in this package must not wait for TensorFlow.
    import numpy as np

    from keras_rescnet.console import say
    from keras_rescnet.mistake import Mistake, mistakes_in_tensorflow, shorten
    from keras_rescnet.recipe import Recipe
    from keras_rescnet.training.engines import make_engine
    from keras_rescnet.training.environment import versions
    from keras_rescnet.training.run import Run
    from keras_rescnet.training.setup import check_same
    from keras_rescnet.training.signals import StopRequest
    from keras_rescnet.training.workdir import WorkDir

    if not isinstance(recipe, Recipe):
        hint = "" if not isinstance(recipe, str | os.PathLike) else ": load_recipe(file) makes it"
        raise Mistake(f"`recipe` must be a Recipe{hint}. Received: recipe={shorten(recipe)}.")
    for name, value in (("workdir", workdir), ("data_dir", data_dir)):
        given = isinstance(value, str | os.PathLike) and str(value)
        if not given and not (name == "data_dir" and value is None):
            raise Mistake(
                f"`{name}` must be the path of a folder. Received: {name}={shorten(value)}."
            )
    with mistakes_in_tensorflow(), contextlib.ExitStack() as stack:
        # A search that draws the next recipe with them would draw the same one for ever
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())
        engine = make_engine(devices, timeout)  # of several processes, it takes SIGTERM itself
        # Around all that takes time, for Ctrl-C may be lost where Python collects garbage
        with StopRequest() as stop:
            check_same(engine, recipe=recipe.describe(), versions=versions())
            folder = stack.enter_context(
                WorkDir(workdir, recipe, chief=engine.chief, devices=engine.devices)
            )
            if folder.results is not None:
                say(f"{folder.path} holds a finished run: nothing is done again.")
                return folder.results
            run = Run(recipe, folder, engine, data_dir)
            run.fit(stop)
        return run.finish()
