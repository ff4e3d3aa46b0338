"""`train`: from a recipe to a trained, tested and exported model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_rescnet.recipe import Recipe


def train(recipe: Recipe, workdir, *, data_dir=None, devices=None, timeout=300) -> dict[str, float]:
    """Trains what a recipe says, in a folder of its own.

    The same call on the same folder goes on where it stopped: whatever ended the run, on a CPU
    and with transforms of this package the result is the same to the last bit. On a finished run
    it returns the results.

    Leaves in the folder: the recipe, `run.json`, `checkpoints/`, `log.csv`, `results.json`,
    `model.keras` (normalized images to logits) and `saved_model/` (pixels to probabilities; with
    Keras on TensorFlow). With `ema_momentum` these two hold the averaged weights.

    Args:
        recipe: What to train.
        workdir: The run's folder.
        data_dir: Where TensorFlow Datasets keeps its data; its own default if `None`.
        devices: How many devices to use; `None` for all GPUs, or else the CPU.
        timeout: Of several processes, seconds after which one that waits for the others gives up.

    Returns:
        The results: losses and accuracies (in [0, 1]) on the test set after the last epoch, the
        same for the training set as seen in the last epoch, and the best epoch's test accuracy.

    Raises:
        ValueError: if something that the recipe or the call says cannot be used.
        FloatingPointError: if the loss is no longer finite.
        ConnectionError: if another process of the run is gone.
        KeyboardInterrupt: after Ctrl-C, when the run is saved.
        SystemExit: with 143, after SIGTERM, when the run is saved.
    """
    # Imported here, for `--help` of the command in this package must not wait for TensorFlow.
    from keras_rescnet.console import say
    from keras_rescnet.training.run import Run
    from keras_rescnet.training.setup import make_engine
    from keras_rescnet.training.signals import StopRequest
    from keras_rescnet.training.workdir import WorkDir

    engine = make_engine(devices, timeout)
    with WorkDir(workdir, recipe, chief=engine.chief, devices=engine.devices) as folder:
        if folder.results is not None:
            say(f"{folder.path} holds a finished run: nothing is done again.")
            return folder.results
        run = Run(recipe, folder, engine, data_dir)
        with StopRequest() as stop:
            run.fit(stop)
        return run.finish()
