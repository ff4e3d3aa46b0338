"""What Keras's callbacks keep between two epochs, as data that a checkpoint holds."""

import collections
import hashlib
import inspect
import json
from collections.abc import Mapping
from types import MappingProxyType

import keras
import numpy as np

from keras_rescnet.training.checkpoint import storable

# What each of Keras's callbacks changes in itself while `fit` runs
_CHANGED = {
    keras.callbacks.CSVLogger: ("keys", "append_header"),
    keras.callbacks.EarlyStopping: (
        "wait",
        "stopped_epoch",
        "best",
        "best_epoch",
        "best_weights",
    ),
    keras.callbacks.History: ("history", "epoch"),
    keras.callbacks.LambdaCallback: (),
    keras.callbacks.LearningRateScheduler: (),  # what it sets is a variable of the optimizer
    keras.callbacks.ModelCheckpoint: (
        "best",
        "_batches_seen_since_last_saving",
        "_current_epoch",
        "_last_batch_seen",
    ),
    keras.callbacks.ProgbarLogger: (),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
    keras.callbacks.RemoteMonitor: (),
    keras.callbacks.SwapEMAWeights: ("_ema_weights_in_model",),
    keras.callbacks.TensorBoard: ("_global_train_batch", "_global_test_batch"),
    keras.callbacks.TerminateOnNaN: (),
}
_SEQUENCES = {"list": list, "tuple": tuple, "set": set}
_MAPPINGS = {
    "dict": dict,
    "Counter": collections.Counter,
    "OrderedDict": collections.OrderedDict,
}
# What Keras sets anew in every `fit`: the last two are one fact, and `min_delta` changes its sign
_SET_BY_FIT = {"_model", "params", "csv_file", "writer", "monitor_op", "min_delta"}


def has_state(callback: keras.callbacks.Callback) -> bool:
    """Returns whether a callback may keep something that a `fit` that continues must have."""
    return _CHANGED.get(type(callback)) != ()


def arguments_of(callback: keras.callbacks.Callback) -> dict[str, str]:
    """Returns a digest of every attribute that a callback of a user begins with.

    Args:
        callback: One of the callbacks of `fit`, whose `on_train_begin` was called.
    """
    if type(callback) in _CHANGED:
        return {}
    found = {name: getattr(callback, name, None) for name in _names(callback)}
    return {name: _digest(value) for name, value in found.items() if is_data(value)}


def state_of(
    callback: keras.callbacks.Callback, arguments: Mapping[str, str] = MappingProxyType({})
) -> tuple[dict, list[str]]:
    """Returns what a callback keeps, and the names of its attributes that are no data.

    Of Keras's callbacks it is known what changes. Of others all attributes are taken that are
    numbers, strings, arrays, or lists, tuples, sets and dicts of these, and that have changed:
    a path, say, is the script's, which may have been given another one since.

    Args:
        callback: One of the callbacks of `fit`, not this package's.
        arguments: What `arguments_of` returned when the training began.
    """
    kept, unknown = {}, []
    for name in _names(callback):
        value = getattr(callback, name, None)
        if is_data(value):
            if name not in arguments or arguments[name] != _digest(value):
                kept[name] = value
        elif not inspect.isroutine(value) and not inspect.isclass(value):
            unknown.append(name)
    if isinstance(callback, keras.callbacks.CSVLogger) and callback.csv_file is not None:
        callback.csv_file.flush()
        with open(callback.filename, newline="") as file:
            kept["csv_file"] = file.read()
    return kept, unknown


def set_state(callback: keras.callbacks.Callback, state: dict) -> None:
    """Gives a callback whose `on_train_begin` was called what `state_of` returned."""
    text = state.pop("csv_file", None)
    for name, value in state.items():
        setattr(callback, name, value)
    if text is not None:  # rows that were written after the checkpoint are dropped
        callback.csv_file.seek(0)
        callback.csv_file.truncate()
        callback.csv_file.write(text)
        callback.csv_file.flush()
        callback.append_header = not text


def _names(callback):
    if type(callback) in _CHANGED:
        return _CHANGED[type(callback)]
    return [name for name in vars(callback) if name not in _SET_BY_FIT]


def _digest(value):
    arrays: dict[str, np.ndarray] = {}
    digest = hashlib.blake2b(json.dumps(pack(value, arrays, "")).encode())
    for array in arrays.values():
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def is_data(value) -> bool:
    """Returns whether `pack` takes a value: no namedtuple, which would come back as a tuple."""
    if type(value) in _MAPPINGS.values():
        return all(is_data(part) for pair in value.items() for part in pair)
    if type(value) in _SEQUENCES.values():
        return all(map(is_data, value))
    if isinstance(value, np.ndarray):
        return value.dtype != object
    return value is None or isinstance(value, bool | int | float | str | np.generic)


def pack(value, arrays: dict[str, np.ndarray], name: str):
    """Returns data as JSON can hold them, and puts their arrays into `arrays`.

    Args:
        value: What `state_of` returns.
        arrays: Dict to put the arrays into.
        name: What the names of these arrays begin with.
    """
    if isinstance(value, np.ndarray | np.generic):
        arrays[name] = storable(np.asarray(value))
        return {"array": name}
    kind = type(value).__name__
    if isinstance(value, dict):
        pairs = [
            [pack(key, arrays, f"{name}/{i}.key"), pack(part, arrays, f"{name}/{i}")]
            for i, (key, part) in enumerate(value.items())
        ]
        return {kind: pairs}
    if isinstance(value, list | tuple | set):
        return {kind: [pack(part, arrays, f"{name}/{i}") for i, part in enumerate(value)]}
    return value


def unpack(value, arrays: dict[str, np.ndarray]):
    """Returns the data that `pack` was given, of what it returned and the arrays."""
    if not isinstance(value, dict):
        return value
    ((kind, parts),) = value.items()
    if kind == "array":
        return arrays[parts][()]  # a number of NumPy, of an array without axes
    if kind in _MAPPINGS:
        pairs = {unpack(key, arrays): unpack(part, arrays) for key, part in parts}
        return _MAPPINGS[kind](pairs)
    return _SEQUENCES[kind](unpack(part, arrays) for part in parts)
