"""The layers within a model, the names they would have in a new process, and what it ends in."""

import collections
from collections.abc import Callable

import keras

from keras_rescnet.mistake import Mistake

_PARTS = (keras.layers.Layer, keras.random.SeedGenerator, keras.optimizers.Optimizer)
# Layers and operations that pass probabilities on as they are
_PASSING = ("Identity", "Dropout", "Flatten", "Reshape", "Cast")


def parts_of(whole) -> list:
    """Returns a model, layer or optimizer and all layers, generators and optimizers within it.

    Found through the objects' attributes, so that layers within nested models and within layers
    of a user's own are among them.
    """
    found = {}
    seen = set()

    def visit(value):
        if id(value) in seen:
            return
        if isinstance(value, _PARTS):
            found[id(value)] = value
            inner = vars(value).values()
        elif isinstance(value, dict):
            inner = value.values()
        elif isinstance(value, list | tuple | set):
            inner = value
        else:
            return
        seen.add(id(value))
        for item in list(inner):
            visit(item)

    visit(whole)
    return list(found.values())


def finalize(model: keras.Model) -> None:
    """Makes the tensors again that layers compute with in place of their weights.

    Keras's `Normalization` makes them once, and knows nothing of weights that are assigned later.
    """
    for part in parts_of(model):
        if isinstance(part, keras.layers.Normalization):
            part.finalize_state()


def of_tensors(model: keras.Model) -> keras.Model:
    """Returns a model of one input and output that has them as tensors, not in a list or dict."""
    if isinstance(model, keras.Sequential) or not isinstance(model, keras.Function):
        return model
    if keras.tree.is_nested(model.input) or keras.tree.is_nested(model.output):
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return model


def lasting_path(parts) -> Callable[[str], str]:
    """Returns a function from a path to the one that a process gives which has built nothing.

    Keras numbers layers without a name over the whole life of a process, so that the second model
    of a notebook has a `dense_1` where the first has `dense`; here they are numbered within the
    parts.

    Args:
        parts: What `parts_of` returns, of all that the paths belong to.
    """
    numbers = collections.defaultdict(set)  # of "dense", "dense_7": 0 and 7
    for part in parts:
        stem, number = split_number(part.name)
        if stem in automatic_stems([part]):
            numbers[stem].add(number)
    fresh = {
        _numbered(stem, number): _numbered(stem, place)
        for stem, given in numbers.items()
        for place, number in enumerate(sorted(given))
    }
    return lambda path: "/".join(fresh.get(part, part) for part in path.split("/"))


def automatic_stems(parts) -> set[str]:
    """Returns the names without numbers that Keras gave parts which were given none."""
    stems = {(split_number(part.name)[0], type(part).__name__.lower()) for part in parts}
    return {stem for stem, kind in stems if stem.replace("_", "") == kind}


def split_number(name: str) -> tuple[str, int]:
    """Returns `("dense", 7)` of `"dense_7"`, and `("dense", 0)` of `"dense"`."""
    stem, _, number = name.rpartition("_")
    return (stem, int(number)) if stem and number.isdecimal() else (name, 0)


def _numbered(stem, number):
    return f"{stem}_{number}" if number else stem


def last_operation(model):
    """Returns what computes a model's outputs, in a nested model too; `None` if it is not known.

    Operations that pass on what they read are left out.
    """
    # In the order of the graph: the last gives the output, the one before feeds it alone, ...
    sequential = isinstance(model, keras.Sequential)
    for operation in reversed(model.layers if sequential else getattr(model, "operations", [])):
        if isinstance(operation, keras.Model):
            return last_operation(operation)
        kind = type(operation).__name__
        linear = getattr(operation, "activation", None) is keras.activations.linear
        if kind not in _PASSING and not (kind == "Activation" and linear):
            return operation
    return None


def activates_with(operation) -> str:
    """Returns the name of the activation of an operation, or of what is nothing else."""
    activation = getattr(operation, "activation", None)
    return getattr(activation, "__name__", type(operation).__name__.lower())


def last_activation(model):
    """Returns "softmax" or "sigmoid" if a model ends in it, in a nested model too, else `None`."""
    name = activates_with(last_operation(model))
    return name if name in ("softmax", "sigmoid") else None


def check_logits(model, what):
    """Raises a `Mistake` if a model ends in softmax or sigmoid, which `what` applies itself."""
    if last := last_activation(model):
        raise Mistake(
            f"`model` must return logits, to which {what} applies softmax or sigmoid itself: take "
            f"the last activation off. Received: {model.name}, which ends in {last}."
        )
