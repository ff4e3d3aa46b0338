"""Intermediate outputs of a model, as a model."""

import re

import keras

from keras_rescnet.mistake import Mistake


def feature_extractor(model, outputs=None):
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
        ValueError: if there is no layer or stage of a name.

    Example:

    >>> backbone = keras_rescnet.models.ResCNet50(input_shape=(None, None, 3))
    >>> feature_extractor(backbone, ["stage3", "stage4"])(images)  # {"stage3": ..., ...}
    >>> features = feature_extractor(backbone, "features")
    >>> model = keras.Sequential([features, keras.layers.Dense(37)])
    """
    tensors = {layer.name: layer.output for layer in model.layers}
    short = _short_names(model)
    tensors |= short
    names = [outputs] if isinstance(outputs, str) else list(outputs or short)
    unknown = [name for name in names if name not in tensors]
    if unknown:
        raise Mistake(
            f"`outputs` must be layers of {model.name}, or {', '.join(short)}. "
            f"Received: {', '.join(unknown)}."
        )
    chosen = {name: tensors[name] for name in names}
    if isinstance(outputs, str):
        chosen = chosen[outputs]
    return keras.Model(model.input, chosen, name=f"{model.name}_features")


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
