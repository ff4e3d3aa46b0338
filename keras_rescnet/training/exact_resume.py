"""Exact resume for Keras's own `fit`."""

import json
import os
import pathlib
import sys
import time

import keras

from keras_rescnet.console import say
from keras_rescnet.data.resumable import ResumableBatches
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.training.callback_state import (
    arguments_of,
    has_state,
    pack,
    set_state,
    state_of,
    unpack,
)
from keras_rescnet.training.checkpoint import match, storable
from keras_rescnet.training.fit_folder import FitFolder
from keras_rescnet.training.fit_state import FitState
from keras_rescnet.training.variables import named_variables, variables_of


class ExactResume(keras.callbacks.Callback):
    """Resumes a `fit` that was stopped, as if it had never been interrupted.

    The same script, started again after the process was killed at any time, ends with the weights,
    the optimizer, the metrics and the history of a `fit` that nothing had stopped, bit for bit on
    a CPU. Random numbers of dropout and what the other callbacks keep are part of it, wherever in
    the list of callbacks this one stands. One folder is for one `fit`; on a finished one the same
    script trains nothing, and returns its history.

    A checkpoint is written before every epoch, every `checkpoint_minutes` within it, and at the
    end. Before the first step `fit` is refused, in one line, if it cannot be resumed exactly: its
    data are not the `batches` that this callback was given, it runs on several devices, or its
    model is not built. One line also names attributes of other callbacks that cannot be saved.

    Args:
        workdir: Folder for the checkpoints; made if it does not exist.
        batches: What `fit` trains on, as `kr.data.resumable` returns it. Validation data are given
            to `fit` as usual; they must be the same in every epoch.
        checkpoint_minutes: Largest number of minutes between two checkpoints. Defaults to 10.

    Raises:
        Mistake: If an argument cannot be used, and from `fit`, if it cannot be resumed exactly or
            the folder holds something else.

    Example:

    >>> import tempfile
    >>> import tensorflow as tf
    >>> rows = tf.data.Dataset.from_tensor_slices((np.eye(4, dtype="float32"), np.arange(4.0)))
    >>> batches = kr.data.resumable(lambda epoch: rows.shuffle(4, seed=epoch).batch(2))
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     resume = kr.ExactResume(folder, batches)
    ...     history = model.fit(batches, epochs=3, callbacks=[resume], shuffle=False, verbose=0)
    >>> history.epoch
    [0, 1, 2]
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        batches: ResumableBatches,
        *,
        checkpoint_minutes: float = 10.0,
    ):
        super().__init__()
        if not isinstance(workdir, str | os.PathLike) or not str(workdir):
            raise Mistake(
                f"`workdir` must be the path of a folder. Received: workdir={shorten(workdir)}."
            )
        if not isinstance(batches, ResumableBatches):
            raise Mistake(
                "`batches` must be what `kr.data.resumable` returns. "
                f"Received: batches={shorten(batches)}."
            )
        if isinstance(checkpoint_minutes, bool) or not (
            isinstance(checkpoint_minutes, int | float) and checkpoint_minutes >= 0
        ):
            raise Mistake(
                "`checkpoint_minutes` must be a number, at least 0. "
                f"Received: checkpoint_minutes={shorten(checkpoint_minutes)}."
            )
        self.path = pathlib.Path(workdir).absolute()
        self.batches = batches
        self.checkpoint_minutes = checkpoint_minutes
        self._list: keras.callbacks.CallbackList = None
        self._found: tuple[FitState, dict] | None = None
        self._epoch, self._begun = 0, False

    def set_model(self, model: keras.Model) -> None:
        """Takes the first place among the callbacks: see `on_epoch_begin`."""
        super().set_model(model)
        # That their list calls this is the only way to the other callbacks that Keras gives
        self._list = sys._getframe(1).f_locals.get("self")
        if not isinstance(self._list, keras.callbacks.CallbackList):
            raise Mistake(
                "ExactResume must be in the list of callbacks of `fit`. "
                f"Received: a call of set_model by {type(self._list).__name__}."
            )
        self._others = [callback for callback in self._list.callbacks if callback is not self]
        self._list.callbacks = [self, *self._others]

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Looks for a checkpoint."""
        self._check()
        if not self._model.optimizer.built:
            self._model.optimizer.build(self._model.trainable_variables)
        self._end_skipping()  # of a `fit` that an exception has ended
        facts = {
            "first_batch": self.batches.checksum,
            "steps_per_epoch": len(self.batches),
            "compiled": _compiled(self._model),
        }
        self._folder = FitFolder(self.path, facts)
        try:
            self._found = self._folder.checkpoints.last()
            if self._found is not None:
                self._check_found(*self._found)
        except BaseException:
            self._folder.close()
            raise
        self._begun, self._saved = False, time.monotonic()

    def _check(self):
        """Raises a `Mistake` if this `fit` cannot be resumed exactly."""
        model = self._model
        if not model.built:
            raise Mistake(
                "The model must be built before `fit`: begin it with keras.Input. "
                f"Received: {shorten(model)}, which is not built."
            )
        devices = getattr(model, "distribute_strategy", None)
        devices = 1 if devices is None else devices.num_replicas_in_sync
        if devices > 1 or keras.distribution.distribution() is not None:
            raise Mistake(
                "ExactResume is for one device: kr.train resumes runs on several. "
                "Received: a model with a distribution."
            )
        for optimizer in _other_optimizers(model):
            if not optimizer.built:
                raise Mistake(
                    "All optimizers of a model must be built before `fit`, so that what they keep "
                    "is saved: call their `build` with the weights they train, such as in "
                    f"`compile`. Received: {optimizer.name}, which is not built."
                )
        steps = self.params["steps"]
        if steps != len(self.batches):
            raise Mistake(
                "`fit` must be given the batches of ExactResume, without `steps_per_epoch`. "
                f"Received: {steps} steps per epoch, where the batches are {len(self.batches)}."
            )
        kinds = (ExactResume, keras.callbacks.BackupAndRestore)
        for other in self._others:
            if isinstance(other, kinds):
                raise Mistake(
                    "One callback alone can resume a `fit`. Received: ExactResume and "
                    f"{type(other).__name__}."
                )
        unknown = [
            f"{type(other).__name__}.{name}"
            for other in self._others
            for name in state_of(other)[1]
        ]
        if unknown:
            say(
                "Of the other callbacks numbers, strings, arrays, and lists and dicts of these are "
                "saved, if they change. Not saved, so that what depends on it may differ after a "
                "stop: "
                f"{', '.join(unknown)}."
            )

    def _check_found(self, state, arrays):
        """Raises a `Mistake` if a checkpoint is of another `fit`; says where this one continues."""
        epochs = self.params["epochs"]
        begun = state.epoch + (state.batch > 0)
        if begun > epochs:
            raise Mistake(
                f"`epochs` must be at least {begun}, as many as were begun in {self.path}. "
                f"Received: epochs={epochs}."
            )
        match(_of_model(arrays, metrics=False), self._variables(metrics=False), state.step)
        if state.batch % self._model.steps_per_execution:
            raise Mistake(
                f"`steps_per_execution` must divide the {state.batch} steps that were done in "
                f"epoch {begun} of the `fit` in {self.path}: compile with that of before. "
                f"Received: steps_per_execution={self._model.steps_per_execution}."
            )
        kept = [name for name, _ in state.callbacks]
        here = [type(callback).__name__ for callback in self._with_state()]
        if kept != here:
            raise Mistake(
                f"The callbacks that keep something must be those of the checkpoints in "
                f"{self.path}: {', '.join(kept)}. Received: {', '.join(here)}."
            )
        # Keras's own callback that resumes sets this, too
        self._model._initial_epoch = epochs if state.stopped else state.epoch
        if self._model._initial_epoch == epochs:
            say(f"{self.path} holds a finished fit: nothing is trained again.")
        else:
            say(
                f"Continues after step {state.batch} of {len(self.batches)} of epoch "
                f"{state.epoch + 1} of {epochs}."
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Saves, or restores what was saved in this place.

        Being the first callback, it sees what all others have made of the epoch before, and they
        have made nothing yet of this one. The same holds for steps and for the end.
        """
        self._model._initial_epoch = None
        first, self._begun, self._epoch = not self._begun, True, epoch
        if first:
            self._arguments = list(map(arguments_of, self._with_state()))
        self.batches.seek(epoch)
        if self._found is None:
            self._save()
            if first:
                self._folder.checkpoints.wait()  # before others write what could not be undone
        elif self._found[0].batch == 0:
            self._restore(*self._found, metrics=False)
        else:
            self.batches.seek(epoch, self._found[0].batch - self._model.steps_per_execution)

    def _skip(self, last):
        """Makes `fit` do nothing in the step that begins.

        The last one is done, for Keras makes the variables of metrics in a step; what it does to
        all variables is overwritten.
        """
        function = self._model.train_function
        on_jax = keras.backend.backend() == "jax"  # where it takes and returns the variables, too

        def train_function(*arguments):
            self._end_skipping()  # at once: an exception must not leave the model with it
            results = function(*arguments) if last else (None, arguments[0])
            return ({}, results[1]) if on_jax else {}

        train_function.skipped = function  # type: ignore[attr-defined]
        self._model.train_function = train_function

    def _end_skipping(self):
        function = self._model.train_function
        self._model.train_function = getattr(function, "skipped", function)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Saves now and then, or restores; the others hear nothing of steps that are skipped."""
        if self._found is None or batch == self._found[0].batch:
            if batch or keras.backend.backend() == "tensorflow":  # JAX reads within the step
                self._check_read()
        if self._found is None:
            if batch and time.monotonic() - self._saved >= 60.0 * self.checkpoint_minutes:
                self._save(batch)
        elif batch == self._found[0].batch:
            self._restore(*self._found, metrics=True)
            self._list.callbacks[1:] = self._others  # which are called now, after this one
        else:
            self._list.callbacks[1:] = []
            self._skip(last=batch + self._model.steps_per_execution == self._found[0].batch)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Looks once more at what was read, for epochs of one step."""
        self._check_read()

    def _check_read(self):
        if not self.batches.read:
            raise Mistake(
                "`fit` must be given the batches of ExactResume as they are, without "
                "`class_weight` and `steps_per_epoch`; a generator, arrays or another dataset "
                f"cannot be begun again. Received: other data in epoch {self._epoch + 1}."
            )

    def on_train_end(self, logs: dict | None = None) -> None:
        """Saves what `fit` has come to, or restores it."""
        self._model._initial_epoch = None
        if self._found is not None:
            self._build_metrics(self._found[1])
            self._restore(*self._found, metrics=True)
        elif self._begun:
            self._epoch += 1
            self._save(finished=True)
        self._folder.close()

    def _save(self, batch=0, finished=False):
        model = self.model  # which, on JAX, gives the variables the values they have within `fit`
        stopped = finished and bool(model.stop_training)
        arrays = {
            name: storable(keras.ops.convert_to_numpy(variable))
            for name, variable in self._variables(metrics=batch > 0 or finished).items()
        }
        callbacks = [
            [type(callback).__name__, pack(state_of(callback, begun)[0], arrays, f"callback/{i}")]
            for i, (callback, begun) in enumerate(
                zip(self._with_state(), self._arguments, strict=True)
            )
        ]
        step = self._epoch * len(self.batches) + batch
        state = FitState(step, self._epoch, batch, finished, stopped, callbacks)
        self._folder.checkpoints.save(state, arrays)
        self._saved = time.monotonic()

    def _build_metrics(self, arrays):
        """Makes Keras make the variables of metrics, which it does in the first step of a test."""
        kept = sum(name.startswith("metric/") for name in arrays)
        if len(self._model.metrics_variables) < kept:
            batch = keras.utils.unpack_x_y_sample_weight(next(iter(self.batches)))
            self._model.test_on_batch(*batch)

    def _restore(self, state, arrays, metrics):
        self._found = None
        if keras.backend.backend() == "jax":
            self._model.jax_state_sync()  # so that `fit` takes up the variables anew
        variables = self._variables(metrics)
        for name, array in match(_of_model(arrays, metrics), variables, state.step).items():
            variables[name].assign(array)
        for callback, (_, packed) in zip(self._with_state(), state.callbacks, strict=True):
            set_state(callback, unpack(packed, arrays))
        self._saved = time.monotonic()

    def _with_state(self):
        return [callback for callback in self._others if has_state(callback)]

    def _variables(self, metrics):
        """Returns the variables of model and optimizers by name, and those of metrics."""
        variables = named_variables(self._model, self._model.optimizer)
        for i, optimizer in enumerate(_other_optimizers(self._model)):
            for place, variable in enumerate(variables_of(optimizer)):
                variables[f"optimizer/{i}/{place}"] = variable
        if metrics:  # which are nought at the beginning of an epoch, if they are there at all
            for i, variable in enumerate(self._model.metrics_variables):
                variables[f"metric/{i}/{variable.name}"] = variable
        return variables


def _of_model(arrays, metrics):
    """Returns the arrays of a checkpoint without those of callbacks, and without metrics."""
    others = ("callback/",) if metrics else ("callback/", "metric/")
    return {name: array for name, array in arrays.items() if not name.startswith(others)}


def _other_optimizers(model):
    """Returns the optimizers among a model's attributes, but the one it was compiled with."""
    found: list = []
    for value in vars(model).values():
        parts = value.values() if isinstance(value, dict) else value
        found += parts if isinstance(value, dict | list | tuple) else [value]
    return [
        value
        for value in found
        if isinstance(value, keras.optimizers.Optimizer) and value is not model.optimizer
    ]


def _compiled(model):
    """Returns what a model was compiled with as JSON holds it, or `None` if that is not known."""
    if int(model.optimizer.iterations) > 0:
        return None  # the learning rate in Keras's answer may have changed since
    try:
        return _nameless(json.loads(json.dumps(model.get_compile_config())))
    except (TypeError, ValueError, NotImplementedError):
        return None


def _nameless(value):
    """Leaves out names, which Keras numbers over the life of a process."""
    if isinstance(value, list):
        return [_nameless(part) for part in value]
    if isinstance(value, dict):
        return {name: _nameless(part) for name, part in value.items() if name != "name"}
    return value
