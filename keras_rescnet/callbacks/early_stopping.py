"""Ends a run that no longer improves."""

from keras_rescnet.arguments import check_integer, check_number
from keras_rescnet.callbacks.callback import Callback
from keras_rescnet.callbacks.run_facts import RunFacts
from keras_rescnet.mistake import Mistake, shorten


class EarlyStopping(Callback):
    """Ends a run when a number of its log has stopped improving.

    Lower is better for columns whose name ends in `loss`, higher for all others. Epochs in which
    the number was not measured do not count. The weights are those of the last epoch; the
    checkpoint of the best epoch is kept beside it.

    A number that ends a run no longer tests it: with `test_loss` or `test_accuracy`, the test set
    has chosen the epoch. Let the recipe's `test_split` be a part of the training set, as
    `kr.data.image_folder` can take one, and evaluate on the test set at the end.

    Reference:
        `keras.callbacks.EarlyStopping`, whose epochs these are.

    Args:
        monitor: The column of the log to watch. Defaults to `"test_loss"`.
        min_delta: What counts as an improvement: a change of more than this. Defaults to 0.
        patience: Number of measured epochs without an improvement after which the run ends.
            Defaults to 0: the first one ends it.

    Raises:
        Mistake: If an argument cannot be used, and from the run, if its log has no such column.

    Example:

    >>> callback = kr.callbacks.EarlyStopping("test_accuracy", patience=2)
    >>> for accuracy in (0.5, 0.7, 0.6, 0.7):
    ...     callback.on_epoch_end({"test_accuracy": accuracy})
    >>> callback.stop_training, callback.state
    (True, {'best': 0.7, 'wait': 2})
    """

    def __init__(self, monitor: str = "test_loss", min_delta: float = 0.0, patience: int = 0):
        super().__init__()
        if not isinstance(monitor, str):
            raise Mistake(
                "`monitor` must be the name of a column of the log, such as 'test_loss'. "
                f"Received: monitor={shorten(monitor)}."
            )
        check_number("min_delta", min_delta, 0)
        check_integer("patience", patience, 0)
        self.monitor = monitor
        self.min_delta = float(min_delta)
        self.patience = int(patience)

    def on_train_begin(self, run: RunFacts) -> None:
        """Looks for the column."""
        if self.monitor not in run.columns[1:]:
            raise Mistake(
                "`monitor` of EarlyStopping must be a column of the log: "
                f"{', '.join(run.columns[1:])}. Received: monitor={shorten(self.monitor)}."
            )

    def on_epoch_end(self, row: dict[str, float | None]) -> None:
        """Counts the epochs without an improvement."""
        value = row[self.monitor]
        if value is None:
            return
        best = self.state.get("best")
        if best is None or self._improves(value, best):
            self.state.update(best=value, wait=0)
            return
        self.state["wait"] += 1
        self.stop_training = self.state["wait"] >= self.patience

    def _improves(self, value, best):
        difference = best - value if self.monitor.endswith("loss") else value - best
        return difference > self.min_delta
