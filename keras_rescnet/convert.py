"""Weights of PyTorch models, under the names their authors gave them, into Keras models.

A naming is a function from the path of a Keras variable (`stage2_block1_1_conv/kernel`) to the
name PyTorch has for it (`layer2.0.conv1.weight`), or `None`. `NAMINGS` lists all; which one a
state dict follows is seen from its names.
"""

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_rescnet.mistake import Mistake, shorten

__all__ = ["NAMINGS", "load_torch_weights"]

_PARAMETERS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "relative_position_bias": "relative_position_bias_table",
    # Parameters that PyTorch has under the name of the module itself.
    "token": "",
    "embedding": "",
    "scale": "",
}
_IGNORED = ("num_batches_tracked", "relative_position_index", "attn_mask")


def load_torch_weights(model: keras.Model, state_dict: Mapping[str, Any]) -> None:
    """Sets all weights of a model from those of its PyTorch original.

    Takes the models of the paper under their authors' names (github.com/tcmyxc/ResCNet and
    CV-Tutorial), torchvision's ResNets and `vgg16_bn`, and timm's ViT and CaiT. Kernels are
    transposed to Keras's layout; an array for another number of classes is an error, as is
    anything missing or left over. Buffers that Keras has no use for, `num_batches_tracked`,
    `relative_position_index` and `attn_mask`, may be there or not.

    Args:
        model: A model of `keras_rescnet.models`.
        state_dict: A mapping of PyTorch names to NumPy arrays or PyTorch tensors, of any floating
            dtype, on any device. A checkpoint that holds it as `"model"` or `"state_dict"`, and
            the prefixes of `DataParallel` and `torch.compile`, are taken too.

    Raises:
        ValueError: If names or shapes do not fit. No weight is changed then.

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
    state_dict = _unwrapped(state_dict)
    variables = {variable.path: variable for variable in model.weights}
    expected = {naming(path) for naming in NAMINGS for path in variables} - {None}
    if not expected:
        raise Mistake(
            "`model` must be a model of keras_rescnet.models, whose layers have the names that "
            f"PyTorch's are found by. Received: {model.name}, with {len(variables)} weights."
        )
    state_dict = _without_prefix(state_dict, expected)
    naming = max(NAMINGS, key=lambda naming: _fit(naming, variables, state_dict))
    paths = {naming(path) or path: path for path in variables}
    missing = [name for name in paths if name not in state_dict]
    unexpected = [name for name in state_dict if name not in paths and not _is_ignored(name)]
    arrays, misshapen = {}, []
    for name in (name for name in paths if name in state_dict):
        array, path = _array(name, state_dict[name]), paths[name]
        shape = tuple(variables[path].shape)
        arrays[path] = _to_keras(array, shape) if path.endswith("/kernel") else array
        if arrays[path].shape != shape:
            misshapen.append(f"{name} {array.shape} for {path} {shape}")
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    if any(faults.values()):
        listed = "; ".join(f"{kind}: {_first(names)}" for kind, names in faults.items() if names)
        raise Mistake(
            f"`state_dict` must fit every weight of {model.name} and hold nothing else. Nothing "
            f"was changed. Received: {listed}."
        )
    for path, array in arrays.items():
        variables[path].assign(array)


def _unwrapped(state_dict):
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
            return _unwrapped(state_dict[key])
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


def _to_keras(kernel, shape):
    """A convolution's `(O, I, H, W)` or a linear layer's `(O, I)` kernel in Keras's layout."""
    if kernel.ndim == 2 and len(shape) == 4 and kernel.size == np.prod(shape):
        height, width, inputs, outputs = shape  # linear on flattened maps: PyTorch has (C, H, W)
        kernel = kernel.reshape(outputs, inputs, height, width)
    return kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T


def _naming(outer, block=None, inner=None):
    """A naming of a network with blocks.

    Args:
        outer: Keras layers outside blocks -> PyTorch modules.
        block: Stage, from 1, `"class"` or `None`, and block, from 0 or `None` -> PyTorch module.
        inner: Keras layers of a block or stage -> PyTorch modules within it.
    """

    def name(path):
        layer, _, parameter = path.rpartition("/")
        match = re.fullmatch(r"(?:stage(\d+)_|(class)_)?(?:block(\d+)_)?(.*)", layer)
        if match is None:
            return None
        if block and match[4] in inner:
            stage = int(match[1]) if match[1] else match[2]
            module = f"{block(stage, match[3] and int(match[3]) - 1)}.{inner[match[4]]}"
        elif layer in outer:
            module = outer[layer]
        else:
            return None
        if parameter not in _PARAMETERS:
            return None
        return f"{module}.{_PARAMETERS[parameter]}".rstrip(".")

    return name


def _layer(stage, block):
    return f"layer{stage}.{block}"


def _rc(module):
    names = {"hidden": "fc1", "mean": "fc21", "log_variance": "fc22"}
    return {f"calibration/{ours}": f"{module}.{theirs}" for ours, theirs in names.items()}


def _se(module):
    return {"calibration/hidden": f"{module}.0", "calibration/gate": f"{module}.2"}


# torchvision, and all of the authors' ResNets but the next two.
_OUTER = {"stem_conv": "conv1", "stem_bn": "bn1", "logits": "fc"}
_INNER = {f"{i}_{kind}": f"{kind}{i}" for i in (1, 2, 3) for kind in ("conv", "bn")}
_SHORTCUT = {"shortcut_conv": "downsample.0", "shortcut_bn": "downsample.1"}
_POOLED_SHORTCUT = {"shortcut_conv": "downsample.1", "shortcut_bn": "downsample.2"}

# resnet50_c100, rescnet50_c100, seresnet50_c100.
_SEQUENTIAL = {f"{i}_conv": f"{3 * i - 3}" for i in (1, 2, 3)}
_SEQUENTIAL |= {f"{i}_bn": f"{3 * i - 2}" for i in (1, 2, 3)}
_SEQUENTIAL_SHORTCUT = {"shortcut_conv": "shortcut.0", "shortcut_bn": "shortcut.1"}
_RESIDUAL_FUNCTION = {key: f"residual_function.{i}" for key, i in _SEQUENTIAL.items()}
_RESIDUAL = {key: f"residual.{i}" for key, i in _SEQUENTIAL.items()}

_ALEXNET = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc1": "classifier.1",
    "fc2": "classifier.4",
    "logits": "classifier.6",
}


def _vgg(depths):
    names = {"fc1": "classifier.0", "fc2": "classifier.3", "logits": "classifier.6"}
    index = 0
    for stage, depth in enumerate(depths, start=1):
        for i in range(1, depth + 1):
            names[f"stage{stage}_{i}_conv"] = f"features.{index}"
            names[f"stage{stage}_{i}_bn"] = f"features.{index + 1}"
            index += 3  # convolution, normalization, activation
        index += 1  # pooling
    return names


def _token_block(stage, block):
    return f"{'blocks_token_only' if stage == 'class' else 'blocks'}.{block}"


def _window_block(stage, block):
    layer = f"layers.{stage - 1 if isinstance(stage, int) else stage}"
    return layer if block is None else f"{layer}.blocks.{block}"


# timm's vision_transformer.py and cait.py, and the authors' swin_transformer.py.
_TRANSFORMER = {"patch_embedding": "patch_embed.proj", "norm": "norm", "logits": "head"}
_TOKENS = {"class_token": "cls_token", "position_embedding": "pos_embed"}
_TRANSFORMER_BLOCK = {
    "norm1": "norm1",
    "attention": "attn",
    "attention/qkv": "attn.qkv",
    "attention/query": "attn.q",
    "attention/key": "attn.k",
    "attention/value": "attn.v",
    "attention/mix_scores": "attn.proj_l",
    "attention/mix_weights": "attn.proj_w",
    "attention/projection": "attn.proj",
    "attention_scale": "gamma_1",
    "norm2": "norm2",
    "mlp_1": "mlp.fc1",
    "mlp_2": "mlp.fc2",
    "mlp_scale": "gamma_2",
}
_MERGE = {"merge/norm": "downsample.norm", "merge/reduction": "downsample.reduction"}


NAMINGS = (
    _naming(_OUTER, _layer, _INNER | _SHORTCUT | _rc("se")),
    _naming(_OUTER, _layer, _INNER | _SHORTCUT | _rc("rc_layer")),
    _naming(_OUTER, _layer, _INNER | _SHORTCUT | _se("se.fc")),
    _naming(_OUTER, _layer, _INNER | _POOLED_SHORTCUT | _rc("rc_layer")),
    _naming(
        {"stem_conv": "conv1.0", "stem_bn": "conv1.1", "logits": "fc"},
        lambda stage, block: f"conv{stage + 1}_x.{block}",
        _RESIDUAL_FUNCTION | _SEQUENTIAL_SHORTCUT | _rc("aa"),
    ),
    _naming(
        {"stem_conv": "pre.0", "stem_bn": "pre.1", "logits": "linear"},
        lambda stage, block: f"stage{stage}.{block}",
        _RESIDUAL | _SEQUENTIAL_SHORTCUT | _se("excitation"),
    ),
    _naming(_vgg((2, 2, 3, 3, 3))),
    _naming(_ALEXNET),
    _naming(_TRANSFORMER | _TOKENS, _token_block, _TRANSFORMER_BLOCK),
    _naming(
        _TRANSFORMER | {"patch_norm": "patch_embed.norm"},
        _window_block,
        _TRANSFORMER_BLOCK | _MERGE,
    ),
)
