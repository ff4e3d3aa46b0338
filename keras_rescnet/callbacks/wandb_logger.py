"""Sends the log of a run to Weights & Biases."""

import json

from keras_rescnet import files
from keras_rescnet.callbacks.callback import Callback
from keras_rescnet.callbacks.run_facts import RunFacts
from keras_rescnet.console import say
from keras_rescnet.mistake import Mistake, shorten

_FILE = "wandb.json"  # in the folder of the run: the last epoch that was sent


class WandbLogger(Callback):
    """Writes the log of a run to Weights & Biases, every epoch once.

    A run that was stopped goes on under the same id. `wandb.json` in the run's folder holds the
    last epoch that was sent; it is written before the epoch is, so that no epoch comes twice, and
    one is missing if the process is killed between the two. With `WANDB_MODE=offline` the files
    lie in `wandb/` of the run's folder, in one folder for every start, all with the same id;
    `wandb sync` sends them.

    Needs `pip install "keras_rescnet[wandb]"`.

    Args:
        project: Name of the project. Defaults to `None`, that of `WANDB_PROJECT`.
        entity: User or team that it belongs to. Defaults to `None`, that of `WANDB_ENTITY`.

    Raises:
        Mistake: From the run, if wandb is not installed or nobody is logged in at the start.

    Example:

    >>> def callbacks():
    ...     return [kr.callbacks.WandbLogger(project="digits")]
    >>> callbacks()[0].changes_training  # no part of the recipe's digest
    False
    """

    changes_training = False

    def __init__(self, project: str | None = None, entity: str | None = None):
        super().__init__()
        self.project = project
        self.entity = entity

    def on_train_begin(self, run: RunFacts) -> None:
        """Opens the run of Weights & Biases, and sends the epochs that it has not."""
        try:
            import wandb
        except ImportError:
            raise Mistake(
                "WandbLogger needs wandb. Received: none installed. "
                'Install it with pip install "keras_rescnet[wandb]".'
            ) from None
        self._file = run.folder / _FILE
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            id=run.id,
            name=run.name,
            config=run.recipe,
            dir=str(run.folder),
            resume="allow",
            reinit="finish_previous",
        )
        for row in run.history:
            self.on_epoch_end(row)

    def on_epoch_end(self, row: dict[str, float | None]) -> None:
        """Sends the numbers of an epoch."""
        epoch = int(row["epoch"] or 0)
        if epoch <= self._last_epoch():
            return
        try:
            files.write(self._file, json.dumps({"epoch": epoch}) + "\n")
            self._run.log(
                {name: value for name, value in row.items() if value is not None}, step=epoch
            )
        except Exception as error:  # a run of days does not end because a server is away
            reason = shorten(" ".join(str(error).split()), str, 150)
            say(
                f"Weights & Biases could not be written ({type(error).__name__}: {reason}). "
                "Training goes on."
            )

    def _last_epoch(self):
        try:
            return int(json.loads(self._file.read_bytes())["epoch"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def on_train_end(self, results: dict) -> None:
        """Puts the results into the summary, and waits until all is sent."""
        self._run.summary.update(results)
        self._run.finish()
