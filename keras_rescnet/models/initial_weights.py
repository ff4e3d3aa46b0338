"""Weights to start from: a Keras model, Keras weights, or a PyTorch state dict."""

import contextlib
import io
import pathlib
import re
import zipfile
from collections.abc import Callable

import h5py
import keras
import numpy as np

from keras_rescnet.convert import load_torch_weights
from keras_rescnet.mistake import Mistake, shorten


def load_initial_weights(
    model: keras.Model,
    path,
    build: Callable[..., keras.Model],
    *,
    argument: str = "initial_weights",
    other_classes: bool = True,
) -> None:
    """Sets the weights of `model` from a file.

    Weights are matched by the names of their layers, and by their shapes. Numbers that Keras gave
    to layers without a name (`conv2d_7`) count from the first such layer of the model.

    Args:
        model: A model whose last layer gives the logits.
        path: A `.keras` or `.weights.h5` file, or an `.npz` file of a PyTorch state dict:
            `np.savez(path, **{name: tensor.numpy() for name, tensor in state_dict.items()})`.
        build: Makes the same model for other classes, called as `build(classes=...)`.
        argument: What the file was given as, for the messages.
        other_classes: Whether a last layer for other classes keeps its own weights, or is refused.

    Raises:
        Mistake: If the file does not exist, or is of another kind or another model; no weight is
            changed then.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise Mistake(f"`{argument}` must be a file. Received: {path}, which is none.")
    if file.name.endswith(".keras"):
        with _readable(file, argument), zipfile.ZipFile(file) as archive:
            found = _read_h5(io.BytesIO(archive.read("model.weights.h5")))
    elif file.name.endswith(".weights.h5"):
        with _readable(file, argument):
            found = _read_h5(file)
    elif file.name.endswith(".npz"):
        found = _read_torch(file, build, argument)
    else:
        raise Mistake(
            f"`{argument}` must be a .keras or .weights.h5 file, or an .npz file of a PyTorch "
            f"state dict. Received: {path}."
        )
    variables = _named(model)
    if found.keys() != variables.keys():
        found, variables = _renumbered(found), _renumbered(variables)
    head = {id(variable) for variable in model.layers[-1].weights} if other_classes else set()
    fits = {
        name: name in found and found[name].shape == tuple(variable.shape)
        for name, variable in variables.items()
    }
    unfit = [
        variable.path
        for name, variable in variables.items()
        if not fits[name] and id(variable) not in head
    ]
    unfit += [name for name in found if name not in variables]
    if unfit:
        exception = " but those of its head" if other_classes else ""
        raise Mistake(
            f"`{argument}` must hold every weight of {model.name}{exception}, and no other. "
            f"Received: {path}, with {len(found)} weights for {len(variables)}, of which "
            f"these do not fit: {shorten(', '.join(unfit), str, 150)}."
        )
    for name, variable in variables.items():
        if fits[name]:
            variable.assign(found[name])


def _named(model):
    """Returns the weights by the names of their layers and their number in the layer."""
    found = {}
    counts: dict[str, int] = {}
    for variable in model.weights:
        layer = variable.path.rpartition("/")[0].removeprefix(f"{model.name}/")
        counts[layer] = counts.get(layer, -1) + 1
        found[f"{layer}/{counts[layer]}"] = variable
    return found


def _renumbered(named):
    """Returns `named` with the numbers of each name counted from 0, as `conv2d_7` -> `conv2d_0`."""
    numbers: dict[str, set[int]] = {}
    for name in named:
        for part in name.split("/")[:-1]:
            base, number = _numbered(part)
            numbers.setdefault(base, set()).add(number)
    order = {base: sorted(found) for base, found in numbers.items()}

    def rename(name):
        *parts, index = name.split("/")
        pairs = map(_numbered, parts)
        return "/".join([*(f"{base}_{order[base].index(n)}" for base, n in pairs), index])

    return {rename(name): value for name, value in named.items()}


def _numbered(part):
    match = re.fullmatch(r"(.+)_(\d+)", part)
    return (match[1], int(match[2])) if match else (part, -1)


@contextlib.contextmanager
def _readable(file, argument):
    """Makes one line of whatever is raised by a file that is not what its name says."""
    try:
        yield
    except Mistake:
        raise
    except Exception as error:  # zipfile, h5py and NumPy raise nine kinds of them
        reason = shorten(f"{type(error).__name__}: {error}", str)
        raise Mistake(
            f"`{argument}` must be a file of weights that can be read. Received: {file} ({reason})."
        ) from error


def _read_h5(file):
    """Returns the arrays of a Keras file by the names of their layers and numbers in the layer."""
    found = {}

    def read(group, names):
        if "vars" in group:
            name = group["vars"].attrs.get("name")
            if name is None:
                raise ValueError("without names of layers: save it again with Keras 3.10 or newer")
            names = (*names, str(name))
            for number, array in group["vars"].items():
                found["/".join([*names[1:], number])] = _numbers(np.asarray(array))
        for key, part in group.items():
            if key not in ("vars", "optimizer", "seed_generator") and isinstance(part, h5py.Group):
                read(part, names)

    with h5py.File(file, "r") as root:
        if "vars" not in root:
            raise ValueError("no weights of a Keras model")
        read(root, ())
    return found


def _numbers(array):
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise ValueError(f"an array of {array.dtype}")
    return array


def _read_torch(file, build, argument):
    with _readable(file, argument), np.load(file) as arrays:
        state_dict = {name: _numbers(arrays[name]) for name in arrays.files}
    biases = [name for name in state_dict if name.endswith("bias")]  # the last is the classifier's
    if not biases or state_dict[biases[-1]].ndim != 1:
        raise Mistake(f"`{argument}` must hold a PyTorch state dict. Received: {file}.")
    source = build(classes=len(state_dict[biases[-1]]))
    load_torch_weights(source, state_dict)
    named = _named(source)
    return {name: keras.ops.convert_to_numpy(variable) for name, variable in named.items()}
