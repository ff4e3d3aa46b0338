"""Weights to start from: a Keras model, Keras weights, or a PyTorch state dict."""

import pathlib

import keras
import numpy as np

from keras_rescnet.convert import load_torch_weights


def load_initial_weights(model, path, build):
    """Sets the weights of `model` from a file; a head for other classes keeps its own.

    Args:
        model: A model of `keras_rescnet.models`, or another whose last layer is named `logits`.
        path: A `.keras` or `.weights.h5` file, or an `.npz` file of a PyTorch state dict:
            `np.savez(path, **{name: tensor.numpy() for name, tensor in state_dict.items()})`.
        build: Makes the same model for other classes, called as `build(classes=...)`.

    Raises:
        ValueError: if the file is not there, or is of another kind or another model.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise ValueError(f"`initial_weights` must be a file. Received: {path}, which is none.")
    if file.name.endswith(".keras"):
        found = _by_path(keras.models.load_model(file, compile=False))
    elif file.name.endswith(".weights.h5"):
        found = _read_h5(model, file)
    elif file.name.endswith(".npz"):
        found = _read_torch(file, build)
    else:
        raise ValueError(
            "`initial_weights` must be a .keras or .weights.h5 file, or an .npz file of a PyTorch "
            f"state dict. Received: {path}."
        )
    ours = {variable.path: variable for variable in model.weights}
    unfit = [
        name
        for name, variable in ours.items()
        if not name.startswith("logits/")
        and (name not in found or found[name].shape != tuple(variable.shape))
    ]
    if unfit:
        raise ValueError(
            f"`initial_weights` must hold every weight of {model.name} but those of its head. "
            f"Received: {path}, which lacks or misshapes {len(unfit)} of {len(ours)}: "
            f"{', '.join(unfit[:5])}{', ...' if len(unfit) > 5 else ''}."
        )
    for name, variable in ours.items():
        if name in found and found[name].shape == tuple(variable.shape):
            variable.assign(found[name])


def _by_path(model):
    return {variable.path: keras.ops.convert_to_numpy(variable) for variable in model.weights}


def _read_h5(model, file):
    before = _by_path(model)
    model.load_weights(file, skip_mismatch=True)
    after = _by_path(model)
    for variable in model.weights:
        variable.assign(before[variable.path])
    # A kernel is random at first: one that stayed as it was is not in the file
    return {
        name: array
        for name, array in after.items()
        if np.any(array != before[name]) or not name.endswith("kernel")
    }


def _read_torch(file, build):
    with np.load(file) as arrays:
        state_dict = dict(arrays)
    biases = [name for name in state_dict if name.endswith("bias")]  # the last is the classifier's
    if not biases:
        raise ValueError(f"`initial_weights` must hold a PyTorch state dict. Received: {file}.")
    source = build(classes=len(state_dict[biases[-1]]))
    load_torch_weights(source, state_dict)
    return _by_path(source)
