"""Weights to start from: of a run, of a Keras file, or of PyTorch."""

import collections
import contextlib
import functools
import io
import pathlib
import re
import tempfile
import zipfile

import h5py
import keras
import ml_dtypes
import numpy as np

from keras_rescnet.convert.torch_weights import to_keras, torch_arrays, unwrapped
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.models.parts import automatic_stems, finalize, parts_of, split_number


def load_initial_weights(
    model: keras.Model,
    path,
    *,
    argument: str = "initial_weights",
    other_classes: bool = True,
) -> None:
    """Sets the weights of `model` from a file.

    Weights are matched by the names of the layers that lead to them and by their shapes, never by
    order. Names that Keras gave (`conv2d_7`) count from the first such layer of a model; both
    models must have as many. Arrays that are no Keras file's have the `variable.path` of a weight
    as their name, or PyTorch's name.

    Args:
        model: A functional or Sequential model, whose last layer with weights gives the logits.
        path: A file of one of the kinds in `_READERS`, or the folder of a finished run.
        argument: What the file was given as, for the messages.
        other_classes: Whether a last layer for other classes keeps its own weights, or is refused.

    Raises:
        Mistake: If the file does not exist, or is of another kind or another model; no weight is
            changed then.
    """
    file = pathlib.Path(path)
    if file.is_dir():
        file = file / "model.keras"
    if not file.is_file():
        raise Mistake(
            f"`{argument}` must be a file, or the folder of a finished run. Received: {path}, "
            "which is none."
        )
    reader = next((suffix for suffix in _READERS if file.name.endswith(suffix)), None)
    if reader is None:
        raise Mistake(
            f"`{argument}` must be a file of {', '.join(_READERS)}, or the folder of a finished "
            f"run. Received: {path}."
        )
    with _readable(file, argument):
        found = _READERS[reader](file)
    head = _head(model) if other_classes else []
    choose = functools.partial(_choose, model, path, argument)
    if reader in (".keras", ".weights.h5"):
        _load_by_layers(model, found, head, choose)
    else:
        _load_by_paths(model, found, head, choose)


def _head(model):
    """Returns the layers, one within the other, that lead to the last one with weights."""
    layer = next(layer for layer in reversed(model.layers) if layer.weights)
    inner = isinstance(layer, keras.Model) and getattr(layer, "inputs", None)
    return [layer, *_head(layer)] if inner else [layer]


def _choose(model, path, argument, found, shapes, head):
    """Returns the arrays that fit, by key; all must, but those of a head."""
    fits = {key for key, shape in shapes.items() if key in found and found[key].shape == shape}
    if not head <= fits:
        fits -= head
    unfit = [key for key in shapes if key not in fits | head]
    unfit += [key for key in found if key not in shapes]
    if unfit:
        names = dict.fromkeys(re.sub(r"/\d+$", "", key) for key in unfit)
        exception = " but those of its head" if head else ""
        raise Mistake(
            f"`{argument}` must hold every weight of {model.name}{exception}, and no other. "
            f"Received: {path}, with {len(found)} weights for {len(shapes)}, of which "
            f"{len(unfit)} do not fit: {shorten(', '.join(names), str, 150)}."
        )
    return {key: found[key] for key in shapes if key in fits}


def _load_by_layers(model, found, head, choose):
    """Sets weights from arrays by the names of their layers and their number in the layer.

    Keras writes the model's weights into a file, which says how it names them; those that were
    found take their places, and Keras reads them again.
    """
    stems = automatic_stems(parts_of(model))
    start = tuple(layer.name for layer in head)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "own.weights.h5"
        model.save_weights(file)
        with h5py.File(file, "r+") as root:
            own = list(_datasets(root))
            addresses = [address for address, _ in own]
            datasets = {
                key: dataset for key, (_, dataset) in zip(_keys(addresses, stems), own, strict=True)
            }
            of_head = {
                key
                for key, address in zip(datasets, addresses, strict=True)
                if start and address[: len(start)] == start
            }
            arrays = choose(
                dict(zip(_keys([a for a, _ in found], stems), (a for _, a in found), strict=True)),
                {key: dataset.shape for key, dataset in datasets.items()},
                of_head,
            )
            for key, array in arrays.items():
                datasets[key][...] = array.astype(_dtype(datasets[key]))
        model.load_weights(file)


def _load_by_paths(model, found, head, choose):
    """Sets weights from arrays by `variable.path`, or by PyTorch's names."""
    stems = automatic_stems(parts_of(model))
    weights = model.weights
    keys = _keys([weight.path.split("/") for weight in weights], stems)
    variables = dict(zip(keys, weights, strict=True))
    of_head = {id(weight) for layer in head[-1:] for weight in layer.weights}
    named = dict(zip(_keys([name.split("/") for name in found], stems), found, strict=True))
    if named.keys() & variables.keys():
        arrays = {key: np.asarray(found[name]) for key, name in named.items()}
    else:
        _, translated, left = torch_arrays(model, found)
        arrays = {
            key: to_keras(translated[weight.path], weight.path, tuple(weight.shape))
            for key, weight in variables.items()
            if weight.path in translated
        }
        arrays |= {name: np.empty(0) for name in left}
    arrays = choose(
        arrays,
        {key: tuple(weight.shape) for key, weight in variables.items()},
        {key for key, weight in variables.items() if id(weight) in of_head},
    )
    for key, array in arrays.items():
        variables[key].assign(array)
    finalize(model)


def _keys(addresses, stems):
    """Returns what addresses are matched by: without the numbers that Keras gave to names.

    Of a model's three layers `dense_4`, `dense_7` and `dense_9`, these are `dense (1 of 3)` and so
    on: a model of four is another one.

    Args:
        addresses: Names of layers, one within the other, and of a weight at last.
        stems: Names without numbers, of layers that Keras named.

    Raises:
        Mistake: If two weights have one address.
    """
    numbers: dict[str, set[int]] = {stem: set() for stem in stems}
    for *names, _ in addresses:
        for stem, number in map(split_number, names):
            numbers.get(stem, set()).add(number)
    order = {stem: sorted(given) for stem, given in numbers.items()}

    def rename(name):
        stem, number = split_number(name)
        given = order.get(stem, [])
        if len(given) > 1:
            return f"{stem} ({given.index(number) + 1} of {len(given)})"
        return stem if given else name

    keys = ["/".join([*map(rename, names), last]) for *names, last in addresses]
    for key, count in collections.Counter(keys).items():
        if count > 1:
            raise Mistake(
                "Weights are matched by the names of their layers, which must differ. "
                f"Received: {count} weights named {key}."
            )
    return keys


@contextlib.contextmanager
def _readable(file, argument):
    """Makes one line of whatever is raised by a file that is not what its name says."""
    try:
        yield
    except Mistake:
        raise
    except Exception as error:  # zipfile, h5py, NumPy and PyTorch raise a dozen kinds of them
        reason = shorten(f"{type(error).__name__}: {error}", str)
        raise Mistake(
            f"`{argument}` must be a file of weights that can be read. Received: {file} ({reason})."
        ) from error


def _read_keras(file):
    with zipfile.ZipFile(file) as archive:
        return _read_h5(io.BytesIO(archive.read("model.weights.h5")))


def _read_h5(file):
    with h5py.File(file, "r") as root:
        if "vars" not in root:
            raise ValueError("no weights of a Keras model")
        return [
            (address, _numbers(np.asarray(dataset).view(_dtype(dataset))))
            for address, dataset in _datasets(root)
        ]


def _datasets(group, names=()):
    """Yields the arrays of a Keras file with their addresses: layers' names, and a number."""
    if "vars" in group:
        name = group["vars"].attrs.get("name")
        if name is None:
            raise ValueError("without names of layers: save it again with Keras 3.10 or newer")
        names = (*names, str(name))
        for number, dataset in group["vars"].items():
            yield (*names[1:], number), dataset
    for key, part in group.items():
        if key not in ("vars", "optimizer", "seed_generator") and isinstance(part, h5py.Group):
            yield from _datasets(part, names)


def _dtype(dataset):
    return ml_dtypes.bfloat16 if dataset.attrs.get("dtype") == "bfloat16" else dataset.dtype


def _numbers(array):
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise ValueError(f"an array of {array.dtype}")
    return array


def _read_npz(file):
    with np.load(file) as arrays:
        return {name: _numbers(arrays[name]) for name in arrays.files}


def _read_safetensors(file):
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise _missing("safetensors", file) from error
    return load_file(file)


def _read_torch(file):
    try:
        import torch
    except ImportError as error:
        raise _missing("torch", file) from error
    # Only arrays: a pickled file may hold any program
    return unwrapped(torch.load(file, map_location="cpu", weights_only=True))


def _missing(package, file):
    return Mistake(
        f"A {file.suffix} file is read by {package}, which is not installed. Install it with "
        f"pip install {package}. Received: {file}."
    )


_READERS = {
    ".keras": _read_keras,
    ".weights.h5": _read_h5,
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".pth": _read_torch,
    ".pt": _read_torch,
}
