"""The base of callbacks."""

import typing

from keras_rescnet.callbacks.run_facts import RunFacts
from keras_rescnet.mistake import Mistake


class Callback:
    """Base class of callbacks of `kr.train`, which follow a run and may end it.

    Override the methods that matter. Whatever a callback must remember is put into `state`, which
    every checkpoint holds, and which a run that continues has back before `on_train_begin`. Of
    several processes, the first one alone calls callbacks; what they decide holds for all.

    Attributes:
        changes_training: Whether it changes what is trained, as one does that ends the run: it
            is then part of the recipe's digest, with its code and its attributes. Defaults to
            `True`; a logger has `False`.
        state: Dict of numbers, strings, NumPy arrays, and lists, tuples, sets and dicts of these.
        stop_training: `True` ends the run after this epoch, or if that was not tested
            (`evaluate_every`), after the next one that is.

    Raises:
        Mistake: If it is given to Keras's `fit`, which calls `set_model`.

    Example:

    >>> class StopAt(kr.callbacks.Callback):
    ...     def __init__(self, accuracy):
    ...         super().__init__()
    ...         self.accuracy = accuracy
    ...
    ...     def on_epoch_end(self, row):
    ...         self.stop_training = (row["test_accuracy"] or 0.0) >= self.accuracy
    >>> callback = StopAt(0.9)
    >>> for accuracy in (0.5, None, 0.95):  # the second epoch was not tested
    ...     callback.on_epoch_end({"test_accuracy": accuracy})
    ...     print(callback.stop_training)
    False
    False
    True
    """

    changes_training: bool = True

    def __init__(self):
        self.state: dict[str, typing.Any] = {}
        self.stop_training = False

    def set_model(self, model):
        """Refuses Keras's `fit`, which calls this first."""
        raise Mistake(
            "Callbacks of kr.callbacks are for kr.train; `fit` takes those of keras.callbacks. "
            f"Received: {type(self).__name__}."
        )

    def on_train_begin(self, run: RunFacts) -> None:
        """Called once in every start of the run, before its first step.

        Args:
            run: What the run is.
        """

    def on_epoch_end(self, row: dict[str, float | None]) -> None:
        """Called after every epoch.

        Args:
            row: The epoch's row of the log: `epoch`, counted from 1, `learning_rate`,
                `train_loss`, `test_accuracy`, ...; `None` stands for what was not measured.
        """

    def on_train_end(self, results: dict) -> None:
        """Called when the run has ended, by its last epoch or a callback; not when it is stopped.

        Args:
            results: What `kr.train` returns.
        """
