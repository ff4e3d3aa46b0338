"""The callbacks of a run: who calls them, and what a checkpoint holds of them."""

import collections

import numpy as np

from keras_rescnet.callbacks import Callback, RunFacts
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.recipe import callbacks_of, calling
from keras_rescnet.training.callback_state import is_data, pack, unpack

_ARRAYS = "callback/"  # what the names of their arrays begin with


class Callbacks:
    """The callbacks of a run, of which every process has its own and the first calls its own.

    Args:
        recipe: The `Recipe`.
        engine: The `Engine` of this process.
    """

    def __init__(self, recipe, engine):
        self._engine = engine
        self._recipe = recipe
        self._named: dict[str, Callback] = {}
        self._stopped_by: str | None = None
        alike: collections.Counter[str] = collections.Counter()
        for callback in callbacks_of(recipe):
            name = type(callback).__name__
            self._named[f"{name}:{alike[name]}" if alike[name] else name] = callback
            alike[name] += 1

    def begin(self, run: RunFacts) -> None:
        """Tells all callbacks that training begins; after `restore`, of a run that continues."""
        self._tell("on_train_begin", run)

    def end_epoch(self, row: dict) -> str | None:
        """Tells all callbacks of an epoch; returns the name of the first that has ended the run.

        It stays so: in the epochs until the next test, a callback may set `stop_training` anew.
        """
        self._tell("on_epoch_end", row)
        for name, callback in self._named.items():
            if callback.stop_training and not callback.changes_training:
                raise Mistake(
                    "A callback that sets `stop_training` must have changes_training = True, so "
                    "that the recipe's digest has it. "
                    f"Received: {name} with changes_training = False."
                )
            if self._stopped_by is None and self._engine.any(bool(callback.stop_training)):
                self._stopped_by = name
        return self._stopped_by

    def end(self, results: dict) -> None:
        """Tells all callbacks that the run has ended."""
        self._tell("on_train_end", results)

    def _tell(self, method, value):
        for callback in self._named.values() if self._engine.chief else ():
            with calling("callbacks", self._recipe.callbacks):
                getattr(callback, method)(value)

    def pack(self, arrays: dict[str, np.ndarray]) -> dict:
        """Returns what callbacks remember as JSON can hold it, and puts its arrays into `arrays`.

        Raises:
            Mistake: If a callback remembers what a checkpoint cannot hold.
        """
        packed = {}
        for name, callback in self._named.items():
            if not is_data(callback.state):
                parts = callback.state.items() if isinstance(callback.state, dict) else ()
                wrong = [f"{shorten(k)}: {shorten(v)}" for k, v in parts if not is_data({k: v})]
                raise Mistake(
                    "The `state` of a callback must be a dict of numbers, strings, NumPy arrays, "
                    "and lists, tuples, sets and dicts of these. "
                    f"Received: {[*wrong, shorten(callback.state)][0]} of {name}."
                )
            stop = bool(callback.stop_training) or name == self._stopped_by
            state = {"state": callback.state, "stop_training": stop}
            packed[name] = pack(state, arrays, f"{_ARRAYS}{name}")
        return packed

    def restore(self, packed: dict, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Gives callbacks back what they remembered; returns the arrays that are not theirs.

        Loggers may have come and gone since the checkpoint was written.
        """
        self._stopped_by = None
        for name, callback in self._named.items():
            if name in packed:
                kept = unpack(packed[name], arrays)
                callback.state, callback.stop_training = kept["state"], kept["stop_training"]
                if callback.stop_training and self._stopped_by is None:
                    self._stopped_by = name
        return {name: array for name, array in arrays.items() if not name.startswith(_ARRAYS)}
