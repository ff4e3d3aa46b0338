"""Weights to start from: a Keras model, Keras weights, or a PyTorch state dict."""

import contextlib
import pathlib
import warnings
import zipfile

import keras
import numpy as np

from keras_rescnet import layers, optimizers  # noqa: F401  so that Keras knows saved ones
from keras_rescnet.convert import load_torch_weights
from keras_rescnet.mistake import Mistake


def load_initial_weights(model, path, build):
    """Sets the weights of `model` from a file; a last layer for other classes keeps its own.

    Args:
        model: A model whose last layer gives the logits.
        path: A `.keras` or `.weights.h5` file, or an `.npz` file of a PyTorch state dict:
            `np.savez(path, **{name: tensor.numpy() for name, tensor in state_dict.items()})`.
        build: Makes the same model for other classes, called as `build(classes=...)`.

    Raises:
        ValueError: if the file is not there, or is of another kind or another model; no weight
            is changed then.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise Mistake(f"`initial_weights` must be a file. Received: {path}, which is none.")
    if file.name.endswith(".keras"):
        with _readable(file):
            source = keras.models.load_model(file, compile=False)
        found = _arrays(source)
    elif file.name.endswith(".weights.h5"):
        found = _read_h5(model, file)
    elif file.name.endswith(".npz"):
        found = _read_torch(file, build)
    else:
        raise Mistake(
            "`initial_weights` must be a .keras or .weights.h5 file, or an .npz file of a PyTorch "
            f"state dict. Received: {path}."
        )
    head = {id(variable) for variable in model.layers[-1].weights}
    fits = [
        array is not None and array.shape == tuple(variable.shape)
        for variable, array in zip(model.weights, found, strict=False)
    ]
    unfit = [
        variable.path
        for variable, fit in zip(model.weights, fits, strict=False)
        if not fit and id(variable) not in head
    ]
    if unfit or len(found) != len(model.weights):
        raise Mistake(
            f"`initial_weights` must hold every weight of {model.name} but those of its head. "
            f"Received: {path}, with {len(found)} weights for {len(model.weights)}, unfit: "
            f"{', '.join(unfit[:5]) or 'none'}{', ...' if len(unfit) > 5 else ''}."
        )
    for variable, array, fit in zip(model.weights, found, fits, strict=True):
        if fit:
            variable.assign(array)


@contextlib.contextmanager
def _readable(file):
    """Turns what Keras, h5py and NumPy say of a file that is not what its name says into a line."""
    try:
        yield
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise Mistake(
            "`initial_weights` must be a file of weights that can be read. "
            f"Received: {file} ({str(error).splitlines()[0]})."
        ) from error


def _arrays(model):
    return [keras.ops.convert_to_numpy(variable) for variable in model.weights]


def _read_h5(model, file):
    before = _arrays(model)
    with warnings.catch_warnings(), _readable(file):
        warnings.simplefilter("ignore")  # what was skipped is found out below
        model.load_weights(file, skip_mismatch=True)
    after = _arrays(model)
    for variable, array in zip(model.weights, before, strict=True):
        variable.assign(array)
    # A kernel is random at first: one that stayed as it was is not in the file
    return [
        None if variable.path.endswith("kernel") and np.array_equal(new, old) else new
        for variable, new, old in zip(model.weights, after, before, strict=True)
    ]


def _read_torch(file, build):
    with _readable(file), np.load(file) as arrays:
        state_dict = dict(arrays)
    biases = [name for name in state_dict if name.endswith("bias")]  # the last is the classifier's
    if not biases:
        raise Mistake(f"`initial_weights` must hold a PyTorch state dict. Received: {file}.")
    source = build(classes=len(state_dict[biases[-1]]))
    load_torch_weights(source, state_dict)
    return _arrays(source)
