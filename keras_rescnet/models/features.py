"""Intermediate outputs of a model, as a model."""

import re
from collections.abc import Sequence

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
        ValueError: If there is no layer or stage of a name.

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
    tensors = {layer.name: layer.output for layer in model.layers}
    short = _short_names(model)
    tensors |= short
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
    chosen = {name: tensors[name] for name in names}
    if isinstance(outputs, str):
        chosen = chosen[outputs]
    # A Sequential model that was loaded has no `input` before it is called
    images = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.Model(images, chosen, name=f"{model.name}_features")


def _short_names(model):
    for part in ("stage", "block", "conv"):
        groups = {}
        for layer in model.layers:
            match = re.match(rf"{part}\d+(?=_|$)", layer.name)
            if match and not layer.name.endswith("_merge"):  # which leads to the next stage
                groups[match[0]] = layer.output
        if groups:
            break
    if "logits" in (layer.name for layer in model.layers):
        groups["features"] = model.get_layer("logits").input
    return groups


def _in_short(names):
    """Returns names with the middle left out where there are many: CaiT has 24 blocks."""
    names = list(names)
    listed = ", ".join(names if len(names) < 8 else [*names[:2], "...", *names[-2:]])
    return f", or {listed}" if names else ""
