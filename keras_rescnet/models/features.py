"""Intermediate outputs of a model, as a model."""

import re
from collections.abc import Sequence
from typing import Any

import keras

from keras_rescnet.mistake import Mistake, shorten


def feature_extractor(
    model: keras.Model, outputs: str | Sequence[str] | None = None
) -> keras.Model:
    """Returns a model from the same images to intermediate outputs of `model`, by name.

    Besides the layers, of which `model.summary()` lists the names, there are shorter names:
    `"stage1"`, `"stage2"`, ... are what the stages return (`"block1"`, ... in ViT and CaiT,
    `"conv1"`, ... in AlexNet), and `"features"` is what the logits are computed from, so
    `feature_extractor(model, "features")` is the model without its head. The weights are
    shared, not copied: training one trains the other.

    Args:
        model: A model of `keras_rescnet.models`, or any functional model for names of its layers.
        outputs: A name, or a list or tuple of names. Defaults to `None`: every stage, and
            `"features"`.

    Returns:
        A `keras.Model` that returns a tensor for one name, a dict by name for several.

    Raises:
        Mistake: If there is no layer or stage of a name.

    Example:

    >>> model = kr.models.CifarResNet8(input_shape=(None, None, 3))
    >>> list(kr.models.feature_extractor(model).output)
    ['stage1', 'stage2', 'stage3', 'features']
    >>> backbone = kr.models.feature_extractor(model, "features")
    >>> keras.Sequential([backbone, keras.layers.Dense(37)]).output_shape
    (None, 37)
    """
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise Mistake(
            "`model` must be a functional or sequential model, whose layers are known. "
            f"Received: an object of type {type(model).__name__}."
        )
    calls = _calls(model)
    short = _short_names(model, calls)
    tensors = {name: _output(nodes[0]) for name, nodes in calls.items()} | short
    if outputs is None and not short:
        raise Mistake(
            f"`outputs` must name layers of {model.name}, which has no stages. Received: None."
        )
    names = short if outputs is None else [outputs] if isinstance(outputs, str) else outputs
    if not isinstance(names, dict | list | tuple) or not names:
        raise Mistake(
            f"`outputs` must be a name, or a list of names. Received: outputs={shorten(outputs)}."
        )
    unknown = [name for name in names if name not in tensors]
    if unknown:
        others = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        raise Mistake(
            f"`outputs` must be layers of {model.name}{_in_short(short)}. "
            f"Received: {', '.join(map(str, unknown[:4]))}{others}."
        )
    shared = [name for name in names if name not in short and len(calls[name]) > 1]
    if shared:
        raise Mistake(
            f"`outputs` must be layers that {model.name} calls once. "
            f"Received: {shared[0]}, called {len(calls[shared[0]])} times."
        )
    chosen = {name: tensors[name] for name in names}
    if isinstance(outputs, str):
        chosen = chosen[outputs]
    # A Sequential model that was loaded has no `input` before it is called
    images = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.Model(images, chosen, name=f"{model.name}_features")


def _calls(model):
    """Returns the calls of every layer in this model by its name: elsewhere it may have others."""
    function = model._functional if isinstance(model, keras.Sequential) else model
    calls: dict[str, list[Any]] = {layer.name: [] for layer in model.layers}  # in their order
    for depth in function._nodes_by_depth.values():
        for node in depth:
            if isinstance(node.operation, keras.Layer):
                calls.setdefault(node.operation.name, []).append(node)
    return {name: nodes for name, nodes in calls.items() if nodes}


def _output(node):
    return node.output_tensors[0] if len(node.output_tensors) == 1 else node.output_tensors


def _short_names(model, calls):
    for part in ("stage", "block", "conv"):
        groups = {}
        for layer in model.layers:
            match = re.match(rf"{part}\d+(?=_|$)", layer.name)
            if match and not layer.name.endswith("_merge"):  # which leads to the next stage
                groups[match[0]] = _output(calls[layer.name][0])
        if groups:
            break
    if "logits" in calls:
        groups["features"] = calls["logits"][0].input_tensors[0]
    return groups


def _in_short(names):
    """Returns names with the middle left out where there are many: CaiT has 24 blocks."""
    names = list(names)
    listed = ", ".join(names if len(names) < 8 else [*names[:2], "...", *names[-2:]])
    return f", or {listed}" if names else ""
