"""Which weights of a model are trained."""

import re

import keras

from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.models.parts import lasting_path, parts_of
from keras_rescnet.recipe import calling


def freeze(model: keras.Model, trainable) -> None:
    """Leaves the chosen weights trainable, and freezes all others.

    A layer none of whose weights is chosen gets `layer.trainable = False`, as does a model within
    the model: batch normalization then normalizes by its moving statistics, and keeps them.

    Args:
        model: A `keras.Model`.
        trainable: A recipe's `trainable`.

    Raises:
        Mistake: If a regular expression matches no weight, or no weight is left to train.
    """
    if trainable is None:
        return
    parts = parts_of(model)
    rename = lasting_path(parts)
    paths = {id(weight): rename(weight.path) for weight in model.weights}
    chosen = _chosen(trainable, dict.fromkeys(paths.values()))
    for layer in parts:
        if isinstance(layer, keras.layers.Layer) and layer.weights:
            if not any(paths.get(id(weight)) in chosen for weight in layer.weights):
                layer.trainable = False
    for weight in model.trainable_variables:
        weight.trainable = paths[id(weight)] in chosen
    if not model.trainable_variables:
        raise Mistake(
            "`trainable` must leave weights to train. There are: "
            f"{shorten(', '.join(paths.values()), str)}. Received: trainable={shorten(trainable)}."
        )


def _chosen(trainable, paths):
    """Returns the paths that a predicate or one of several regular expressions chooses."""
    if callable(trainable):
        with calling("trainable", trainable):
            return {path for path in paths if trainable(path)}
    for pattern in trainable:
        if pattern == "" or not any(re.search(pattern, path) for path in paths):
            raise Mistake(
                f"`trainable` must have regular expressions that are found in paths of weights, "
                f"such as {next(reversed(paths))!r}; none has {pattern!r}. "
                f"Received: trainable={shorten(trainable)}."
            )
    return {path for path in paths if any(re.search(pattern, path) for pattern in trainable)}
