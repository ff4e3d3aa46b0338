"""State dicts of PyTorch into Keras models.

A naming is a function from the path of a Keras variable (`stage2_block1_1_conv/kernel`) to the
name PyTorch has for it (`layer2.0.conv1.weight`), or `None`. `NAMINGS` lists all; which one a
state dict follows is seen from its names.
"""

import collections
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_rescnet.convert import resnet, transformer, vgg
from keras_rescnet.mistake import Mistake, shorten

NAMINGS = (*resnet.NAMINGS, *vgg.NAMINGS, *transformer.NAMINGS)
_IGNORED = ("num_batches_tracked", "relative_position_index", "attn_mask")


def load_torch_weights(model: keras.Model, state_dict: Mapping[str, Any]) -> None:
    """Sets all weights of a model from those of its PyTorch original.

    Takes the models of the paper under their authors' names (github.com/tcmyxc/ResCNet and
    CV-Tutorial), torchvision's ResNets and `vgg16_bn`, and timm's ResNets (`seresnet*` and
    `resnet*d` too), `vgg16_bn`, ViT, Swin and CaiT. Kernels are transposed to Keras's layout; an
    array for another number of classes is an error, as is anything missing or left over. Buffers
    that Keras has no use for, `num_batches_tracked`, `relative_position_index` and `attn_mask`,
    may be there or not.

    Args:
        model: A model of `keras_rescnet.models`.
        state_dict: A mapping of PyTorch names to NumPy arrays or PyTorch tensors, of any floating
            dtype, on any device. A checkpoint that holds it as `"model"` or `"state_dict"`, and
            the prefixes of `DataParallel` and `torch.compile`, are taken too.

    Raises:
        Mistake: If `model` is not one of `keras_rescnet.models`, `state_dict` is not a mapping of
            names to arrays of numbers, or names or shapes do not fit. No weight is changed then.

    Example:

    >>> model = kr.models.ResNet50()
    >>> weights = torchvision.models.resnet50(weights="DEFAULT")  # doctest: +SKIP
    >>> kr.convert.load_torch_weights(model, weights.state_dict())  # doctest: +SKIP
    >>> kr.convert.load_torch_weights(model, {"conv1.weight": np.zeros((64, 3, 7, 7))})
    Traceback (most recent call last):
        ...
    keras_rescnet.mistake.Mistake: `state_dict` must ... missing: ... and 264 more.
    """
    if not isinstance(model, keras.Model):
        raise Mistake(
            "`model` must be a model of keras_rescnet.models. "
            f"Received: an object of type {type(model).__name__}."
        )
    names, arrays, unexpected = torch_arrays(model, state_dict)
    variables = {variable.path: variable for variable in model.weights}
    for path, count in collections.Counter(weight.path for weight in model.weights).items():
        if count > 1:
            raise Mistake(
                "Weights are matched by the names of their layers, which must differ: load each "
                f"network by itself. Received: {model.name} with {count} weights named {path}."
            )
    fitted, misshapen = {}, []
    for path, array in arrays.items():
        shape = tuple(variables[path].shape)
        fitted[path] = to_keras(array, path, shape)
        if fitted[path].shape != shape:
            misshapen.append(f"{names[path]} {array.shape} for {path} {shape}")
    missing = [name for path, name in names.items() if path not in arrays]
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    if any(faults.values()):
        listed = "; ".join(f"{kind}: {_first(names)}" for kind, names in faults.items() if names)
        raise Mistake(
            f"`state_dict` must fit every weight of {model.name} and hold nothing else. Nothing "
            f"was changed. Received: {listed}."
        )
    for path, array in fitted.items():
        variables[path].assign(array)


def torch_arrays(
    model: keras.Model, state_dict: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, np.ndarray], list[str]]:
    """Returns the arrays of a state dict by the paths of a model's variables.

    Args:
        model: As for `load_torch_weights`.
        state_dict: As for `load_torch_weights`.

    Returns:
        PyTorch's names by path, for every weight of the model; the arrays by path, in PyTorch's
        layout, as far as they are there; and the names that belong to no weight.

    Raises:
        Mistake: If the model or the state dict is something else.
    """
    state_dict = unwrapped(state_dict)
    paths = [variable.path for variable in model.weights]
    expected = {naming(path) for naming in NAMINGS for path in paths} - {None}
    if not expected:
        raise Mistake(
            "`model` must be a model of keras_rescnet.models, whose layers have the names that "
            f"PyTorch's are found by. Received: {model.name}, with {len(paths)} weights."
        )
    state_dict = _without_prefix(state_dict, expected)
    naming = max(NAMINGS, key=lambda naming: _fit(naming, paths, state_dict))
    names = {path: naming(path) or path for path in paths}
    arrays = {
        path: _array(name, state_dict[name]) for path, name in names.items() if name in state_dict
    }
    known = set(names.values())
    return names, arrays, [n for n in state_dict if n not in known and not _is_ignored(n)]


def to_keras(array: np.ndarray, path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns an array in Keras's layout: other dimensions than `shape` stay as they are.

    Args:
        array: As PyTorch has it: a convolution's kernel is `(O, I, H, W)`, a linear layer's
            `(O, I)`.
        path: Path of the Keras variable.
        shape: Its shape.
    """
    if not path.endswith("/kernel"):
        return array
    if array.ndim == 2 and len(shape) == 4 and array.size == np.prod(shape):
        height, width, inputs, outputs = shape  # linear on flattened maps: PyTorch has (C, H, W)
        array = array.reshape(outputs, inputs, height, width)
    if array.ndim == 4 and array.shape[2:] == (1, 1) and len(shape) == 2:
        array = array[:, :, 0, 0]  # a linear layer written as a convolution
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def unwrapped(state_dict):
    """Returns the mapping of names to arrays in what `torch.load` may return."""
    if not isinstance(state_dict, Mapping):
        hint = "torch.load(path, map_location='cpu')"
        if hasattr(state_dict, "state_dict"):
            hint = "its state_dict()"
        text = isinstance(state_dict, str)
        received = shorten(state_dict) if text else type(state_dict).__name__
        raise Mistake(
            "`state_dict` must be a mapping of PyTorch's names to arrays: give "
            f"{hint}. Received: {received}."
        )
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state_dict.get(key), Mapping):
            return unwrapped(state_dict[key])
    others = [key for key in state_dict if not isinstance(key, str)]
    if others:
        raise Mistake(f"Names in `state_dict` must be text. Received: {shorten(others[0])}.")
    return state_dict


def _without_prefix(state_dict, expected):
    """Returns the arrays without what wrappers put before all names, such as `module.`."""
    inner = state_dict
    while inner and not expected & inner.keys():
        heads = {name.partition(".")[0] for name in inner}
        if len(heads) > 1 or heads & inner.keys():
            return state_dict
        (head,) = heads
        inner = {name[len(head) + 1 :]: array for name, array in inner.items()}
    return inner


def _array(name, value):
    """Returns a NumPy array of an array or of a PyTorch tensor, which may need its gradient."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):  # which NumPy does not know
            value = value.float()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.name in ("bfloat16", "float16"):
        array = array.astype("float32")
    if array.dtype.kind not in "fiu":
        raise Mistake(
            "`state_dict` must hold arrays of numbers. Nothing was changed. "
            f"Received: {name} of type {type(value).__name__}."
        )
    return array


def _first(names):
    others = f" and {len(names) - 2:,} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + others


def _fit(naming, paths, state_dict):
    names = [naming(path) for path in paths]
    return sum(name in state_dict for name in names), sum(name is not None for name in names)


def _is_ignored(name):
    return name.rpartition(".")[2] in _IGNORED
