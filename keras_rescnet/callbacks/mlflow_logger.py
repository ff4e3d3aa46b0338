"""Sends the log of a run to MLflow."""

import time

from keras_rescnet.callbacks.callback import Callback
from keras_rescnet.callbacks.run_facts import RunFacts
from keras_rescnet.callbacks.unwritten import say_unwritten
from keras_rescnet.mistake import Mistake

_TAG = "keras_rescnet.run"  # holds the run's id, by which its next start finds it
_LONGEST = 500  # characters of a parameter that every version of MLflow takes
_MOST = 1000  # numbers that MLflow takes at once, and 100 parameters


class MLflowLogger(Callback):
    """Writes the log of a run to an MLflow tracking store, every epoch once.

    A run that was stopped continues in the same MLflow run, and what the store has already is not
    written again, wherever the run was killed. An epoch that cannot be written is written with the
    next. Parameters are the fields of the recipe, metrics the columns of the log by epoch.

    Needs `pip install "keras_rescnet[mlflow]"`.

    Args:
        experiment: Name of the experiment; made if there is none. Defaults to `"Default"`.
        tracking_uri: The store, such as `"sqlite:///mlflow.db"` or the address of a server.
            Defaults to `None`, MLflow's own (`MLFLOW_TRACKING_URI`).

    Raises:
        Mistake: From the run, if MLflow is not installed or the store cannot be reached at the
            start.

    Example:

    >>> def callbacks():
    ...     return [kr.callbacks.MLflowLogger("digits", tracking_uri="sqlite:///mlflow.db")]
    >>> callbacks()[0].changes_training  # no part of the recipe's digest
    False
    """

    changes_training = False

    def __init__(self, experiment: str = "Default", tracking_uri: str | None = None):
        super().__init__()
        self.experiment = experiment
        self.tracking_uri = tracking_uri

    def on_train_begin(self, run: RunFacts) -> None:
        """Finds the MLflow run of this run, or makes it."""
        try:
            import mlflow
        except ImportError:
            raise Mistake(
                "MLflowLogger needs mlflow. Received: none installed. "
                'Install it with pip install "keras_rescnet[mlflow]".'
            ) from None
        self._entities = mlflow.entities
        self._client = mlflow.MlflowClient(self.tracking_uri)
        found = self._find(run.id)
        params = {name: str(value)[:_LONGEST] for name, value in run.recipe.items()}
        missing = [
            self._entities.Param(name, value)
            for name, value in params.items()
            if name not in found.data.params
        ]
        self._run_id = found.info.run_id
        self._client.log_batch(self._run_id, params=missing[:100])
        self._client.set_tag(self._run_id, "mlflow.runName", run.name)
        self._client.update_run(self._run_id, status="RUNNING")
        self._written = {
            (name, metric.step)
            for name in found.data.metrics
            for metric in self._client.get_metric_history(self._run_id, name)
        }
        self._rows: list[dict] = []
        for row in run.history:
            self._add(row)
        self._write()

    def _find(self, run):
        experiment = self._client.get_experiment_by_name(self.experiment)
        number = (
            self._client.create_experiment(self.experiment)
            if experiment is None
            else experiment.experiment_id
        )
        found = self._client.search_runs([number], f"tags.`{_TAG}` = '{run}'")
        return found[0] if found else self._client.create_run(number, tags={_TAG: run})

    def on_epoch_end(self, row: dict[str, float | None]) -> None:
        """Writes the numbers of an epoch."""
        self._add(row)
        self._write()

    def on_train_end(self, results: dict) -> None:
        """Writes the results that no epoch has, and marks the MLflow run as finished."""
        numbers = {name: v for name, v in results.items() if isinstance(v, int | float)}
        self._add(numbers)
        self._write()
        try:
            self._client.set_terminated(self._run_id)
        except Exception as error:
            say_unwritten("MLflow", error)

    def _add(self, row):
        self._rows.append({name: value for name, value in row.items() if value is not None})

    def _write(self):
        """Writes what the store has not."""
        now = int(1000 * time.time())
        metrics = [
            self._entities.Metric(name, float(value), now, int(row["epoch"]))
            for row in self._rows
            for name, value in row.items()
            if name != "epoch" and (name, row["epoch"]) not in self._written
        ]
        try:
            for start in range(0, len(metrics), _MOST):
                self._client.log_batch(self._run_id, metrics=metrics[start : start + _MOST])
        except Exception as error:
            say_unwritten("MLflow", error)
            return
        self._written.update((metric.key, metric.step) for metric in metrics)
        self._rows = []
