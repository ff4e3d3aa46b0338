"""Weights that come with this package, and the argument `weights` of the builders.

A set of weights is two files in `keras_rescnet/weights/`: `<recipe>.npz`, an array per weight by
its `variable.path`, and `<recipe>.json`, its card.
"""

import functools
import hashlib
import inspect
import json
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

import keras

from keras_rescnet.layers.arguments import activation_of
from keras_rescnet.mistake import Mistake, nearest, shorten
from keras_rescnet.models.blocks import made_layer
from keras_rescnet.models.initial_weights import load_initial_weights

FOLDER = pathlib.Path(__file__).parents[1] / "weights"

# Arguments that may differ from those a network was trained with; all others make it another one.
_FREE = frozenset(
    {
        "classes",  # checked by itself
        "drop_path",
        "input_shape",
        "kernel_initializer",
        "logits_initializer",
        "name",
        "normalization",
        "weights",
    }
)
_ENTRY = """
    weights: The name of a dataset, such as `"cifar10"`, for the weights of this network that
        come with the package, which `kr.models.pretrained()` lists; or the folder of a finished
        run, or a file: `.keras`, `.weights.h5`, `.npz`, `.safetensors` or `.pth`. Defaults to
        `None`, random weights."""


def pretrained() -> dict[str, dict[str, Any]]:
    """Returns the cards of all weights that come with this package, by the names of their recipes.

    A card says how to build the network (`"call"`), how its images are normalized (`"mean"` and
    `"std"`, of pixels divided by 255), what its logits stand for (`"class_names"`), how it was
    trained and measured, under which licences it is, and the SHA-256 of the file of weights,
    whose path is `"file"`: a recipe fine-tunes it as `initial_weights`, which keeps a last layer
    for other classes. docs/pretrained.md shows all of them.

    Returns:
        A dict of dicts.

    Raises:
        Mistake: If a card is damaged.

    Example:

    >>> card = kr.models.pretrained()["digits_gclu_resnet8"]
    >>> card["call"]
    'kr.models.CifarResNet8(activation=kr.gclu, weights="digits")'
    >>> f"{card['accuracy']:.4f}", card["class_names"][:3], card["mean"]
    ('0.9887', ['0', '1', '2'], [0.3052, 0.3052, 0.3052])
    >>> model = kr.models.CifarResNet8(activation=kr.gclu, weights="digits")
    >>> kr.models.CifarResNet8(weights="digits")
    Traceback (most recent call last):
    ...
    keras_rescnet.mistake.Mistake: `weights` must go with the network that they were trained in,
    kr.models.CifarResNet8(activation=kr.gclu, weights="digits").
    Received: weights='digits' for CifarResNet8, activation='relu'.
    """
    return {
        file.stem: {**_read_card(file), "file": str(file.with_suffix(".npz"))}
        for file in sorted(FOLDER.glob("*.json"))
    }


def takes_weights(build: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    """Gives a builder, which has a default for every argument, the argument `weights`."""

    @functools.wraps(build)
    def builder(*, weights=None, **options):
        return build(**options) if weights is None else _build(build, weights, options)

    signature = inspect.signature(build)
    if "weights" not in signature.parameters:  # a size of a size has it already
        *others, name = signature.parameters.values()
        argument = inspect.Parameter(
            "weights", name.kind, default=None, annotation=str | os.PathLike | None
        )
        signature = signature.replace(parameters=[*others, argument, name])
        text = inspect.getdoc(build) or ""
        builder.__doc__ = re.sub(r"(?=\n    name: )", _ENTRY, text, count=1)
    builder.__signature__ = signature  # type: ignore[attr-defined]
    return builder


def changed_arguments(build: Callable[..., keras.Model], options: dict) -> dict[str, str]:
    """Returns the arguments, as Python writes them, that make a network another one.

    Args:
        build: A builder.
        options: The arguments it is called with.

    Raises:
        Mistake: If an activation or a calibration is none.
    """
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(build).parameters.items()
    }
    texts = {
        name: (_text(name, options[name]), _text(name, default))
        for name, default in defaults.items()
        if name in options and name not in _FREE
    }
    return {name: text for name, (text, default) in texts.items() if text != default}


def _build(build, weights, options):
    """Returns the network with the weights that `weights` names."""
    if not isinstance(weights, str | os.PathLike) or not str(weights):
        raise Mistake(
            '`weights` must be None, the name of a dataset such as "cifar10", or a file. '
            f"Received: weights={shorten(weights)}."
        )
    file = pathlib.Path(weights)
    is_name = isinstance(weights, str) and file.name == weights and not file.suffix
    names = {card["weights"] for card in pretrained().values()}
    if is_name and (weights in names or not file.is_dir()):
        card = _choose(build, weights, options)
        file = pathlib.Path(card["file"])
    elif file.suffix == ".npz" and _is_card(file.with_suffix(".json")):
        card = _read_card(file.with_suffix(".json"))
        _check_network(build, [card], weights, options)
    else:
        model = build(**options)
        load_initial_weights(model, file, argument="weights", other_classes=False)
        return model
    classes = options.get("classes", card["classes"])
    if classes != card["classes"]:
        raise Mistake(
            f"`classes` must be {card['classes']}, as in the weights, or left out; for others put "
            'a layer of your own behind kr.models.feature_extractor(model, "features"). '
            f"Received: classes={shorten(classes)}, weights={shorten(str(weights))}."
        )
    _check_digest(file, card)
    shape = tuple(card["input_shape"])
    model = build(**{"classes": classes, "input_shape": shape, **options})
    load_initial_weights(model, file, argument="weights", other_classes=False)
    return model


def _choose(build, weights, options):
    """Returns the card of weights of this package."""
    name = build.__name__
    cards = [card for card in pretrained().values() if card["builder"] == name]
    known = sorted({card["weights"] for card in cards})
    if not known:
        raise Mistake(
            f"`weights` of {name} must be a file: kr.models.pretrained() lists what comes with "
            f"this package, and nothing does for {name}. Received: weights={shorten(weights)}."
        )
    if weights not in known:
        raise Mistake(
            f"`weights` of {name} must be a file, or one of {shorten(', '.join(known), str)}. "
            f"Received: weights={shorten(weights)}. Nearest: {nearest(weights, known)}."
        )
    cards = [card for card in cards if card["weights"] == weights]
    return _check_network(build, cards, weights, options)


def _check_network(build, cards, weights, options):
    """Returns the card whose network is the one that is asked for."""
    changed = changed_arguments(build, options)
    for card in cards:
        if card["builder"] == build.__name__ and card["arguments"] == changed:
            return card
    parameters = inspect.signature(build).parameters
    trained = sorted({name for card in cards for name in card["arguments"]} | set(changed))
    received = "".join(
        f", {name}={_text(name, options.get(name, parameters[name].default))}"
        for name in trained
        if name in parameters
    )
    raise Mistake(
        "`weights` must go with the network that they were trained in, "
        f"{shorten(' or '.join(card['call'] for card in cards), str, 240)}. "
        f"Received: weights={shorten(str(weights))} for {build.__name__}{received}."
    )


def _is_card(file):
    """Returns whether there is a card, whole or damaged, and not a file of your own."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return file.is_file()
    return not isinstance(content, dict) or bool(content.keys() & {"builder", "sha256"})


def _read_card(file):
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
        names = ("builder", "arguments", "call", "weights", "classes", "input_shape", "sha256")
        missing = [name for name in names if name not in card]
    except (OSError, ValueError, RecursionError, TypeError):
        missing = ["content"]
    if missing:
        raise Mistake(
            f"The card of weights must be as it was written, but has no {missing[0]}. "
            f"Received: {shorten(str(file), str, 200)}."
        )
    return card


def _check_digest(file, card):
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise Mistake(
            "The file of weights must lie beside its card. "
            f"Received: {shorten(str(file), str, 200)} ({error.strerror})."
        ) from None
    if digest != card["sha256"]:
        raise Mistake(
            "The file of weights must have the SHA-256 of its card; this one is damaged, get it "
            f"again. Received: {shorten(str(file), str, 200)}, with {digest[:16]}..."
        )


def _text(name, value):
    """Returns an argument as Python writes it: the same text for what makes the same network."""
    if name == "calibration" and value is not None:
        if isinstance(value, list | tuple):
            return f"[{', '.join(_text(name, entry) for entry in value)}]"
        layer, changes = _text_of_layer(made_layer(name, value, name))
        return f"partial({layer}, {changes})" if changes else layer
    if name == "activation":
        value = activation_of(name, value)
        if isinstance(value, keras.layers.Layer):
            return "{}({})".format(*_text_of_layer(value))
        if getattr(value, "__module__", "").startswith("keras."):
            return repr(value.__name__)
        return _name_of(value) if hasattr(value, "__qualname__") else repr(value)
    return repr(tuple(value) if isinstance(value, list) else value)


def _text_of_layer(layer):
    """Returns the name of a layer's class, and its options that are not those by default."""
    cls, config = type(layer), layer.get_config()
    parameters = inspect.signature(cls).parameters
    required = {
        name: config[name]
        for name, parameter in parameters.items()
        if name in config and parameter.default is parameter.empty
    }
    defaults = cls(**required).get_config()
    changes = {
        name: config[name]
        for name in parameters
        if name in config
        and (name in required or config[name] != defaults[name])
        and not name.endswith("_initializer")
    }
    return _name_of(cls), ", ".join(f"{name}={value!r}" for name, value in changes.items())


def _name_of(value):
    """Returns the name under which users reach a function or a class."""
    import keras_rescnet  # which has this module's names, too

    own = value.__name__
    for name, room in (("kr.layers", keras_rescnet.layers), ("kr", keras_rescnet)):
        if getattr(room, own, None) is value:
            return f"{name}.{own}"
    return f"{value.__module__}.{value.__qualname__}"
