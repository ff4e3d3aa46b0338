"""Sends the log of a run to Weights & Biases."""

from keras_rescnet.callbacks.callback import Callback
from keras_rescnet.callbacks.run_facts import RunFacts
from keras_rescnet.callbacks.unwritten import say_unwritten
from keras_rescnet.callbacks.wandb_files import offline_rows
from keras_rescnet.mistake import Mistake


class WandbLogger(Callback):
    """Writes the log of a run to Weights & Biases, every epoch once.

    A run that was stopped continues under the same id. What the server has, or with
    `WANDB_MODE=offline` the files, is not sent again, wherever the run was killed; what got lost is
    sent by the next start. The files lie in `wandb/` of the run's folder, in one folder for every
    start; `wandb sync` sends them.

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
        if self._run.offline:
            self._sent = {row["_step"] for row in offline_rows(run.folder, run.id)}
        else:
            self._sent = set(range(self._run.step))
        for row in run.history:
            self.on_epoch_end(row)

    def on_epoch_end(self, row: dict[str, float | None]) -> None:
        """Sends the numbers of an epoch."""
        if row["epoch"] in self._sent:
            return
        known = {name: value for name, value in row.items() if value is not None}
        try:
            self._run.log(known, step=int(known["epoch"]))
        except Exception as error:
            say_unwritten("Weights & Biases", error)

    def on_train_end(self, results: dict) -> None:
        """Puts the results into the summary, and waits until all is sent."""
        try:
            self._run.summary.update(results)
            self._run.finish()
        except Exception as error:  # else a trained run would never be a finished one
            say_unwritten("Weights & Biases", error)
