"""What a recipe's loss becomes: the losses of training and of tests, and their teacher."""

import dataclasses
import functools
import inspect
import os
import pathlib
from collections.abc import Callable

import keras
import numpy as np

from keras_rescnet.analysis.model_file import load_model
from keras_rescnet.analysis.runs import load_run
from keras_rescnet.losses import Distillation, categorical_crossentropy, per_example
from keras_rescnet.mistake import Mistake, nearest, shorten
from keras_rescnet.recipe import calling
from keras_rescnet.training.setup import check_model


@dataclasses.dataclass(frozen=True)
class Losses:
    """The losses of a run, functions of labels and logits to `(N,)`.

    Args:
        train: What is minimized; where there is a teacher, a function of its logits too.
        test: What is reported of tests: without label smoothing, class weights and teacher.
    """

    train: Callable
    test: Callable


def build_losses(recipe, class_names) -> Losses:
    """Returns the losses of a recipe, tried on two pictures.

    Args:
        recipe: The `Recipe`, with a dataset whose facts are known.
        class_names: Names of the classes.

    Raises:
        Mistake: If they do not give one number per picture, or class weights cannot be used.
    """
    options = {}
    if recipe.label_smoothing:
        options["label_smoothing"] = recipe.label_smoothing
    if recipe.class_weights:
        options["class_weights"] = _weights(recipe.class_weights, class_names)
    if recipe.dataset.multi_label and isinstance(recipe.loss, Distillation | None):
        raise Mistake(
            "`loss` must be one for tags, such as kr.losses.binary_crossentropy: pictures of "
            f"{recipe.dataset.name} have any number of them. Received: loss={shorten(recipe.loss)}."
        )
    if recipe.loss is None:
        train = test = categorical_crossentropy
    else:
        train = test = per_example(recipe.loss)
    if "class_weights" in options:
        _check_takes_weights(recipe)
    if options:
        train = functools.partial(train, **options)
    count = 1 if getattr(recipe.loss, "teacher", None) is None else 2
    _try(recipe, train, count)
    if recipe.loss is not None:
        _try(recipe, test, 1)
    return Losses(train, test)


def build_teacher(recipe) -> keras.Model | None:
    """Returns the model that the recipe's loss learns from, or `None`.

    Args:
        recipe: The `Recipe`, with a dataset whose facts are known.

    Raises:
        Mistake: If it cannot be made or loaded, or is of a run on other data.
    """
    teacher = getattr(recipe.loss, "teacher", None)
    if teacher is None:
        return None
    dataset = recipe.dataset
    if isinstance(teacher, str | os.PathLike):
        folder = pathlib.Path(teacher).parent
        if (folder / "run.json").is_file():
            words = "A teacher must have been trained with the dataset's"
            load_run(folder).check_data(dataset, words)
        model = load_model(teacher)
    else:
        with calling("loss", recipe.loss):
            model = teacher(input_shape=tuple(dataset.image_shape), classes=dataset.classes)
    try:
        check_model(model, tuple(dataset.image_shape), dataset.classes)
    except Mistake as mistake:
        raise Mistake(f"The teacher of `loss` does not fit: {mistake}") from None
    model.trainable = False
    return model


def _weights(weights, class_names):
    """Returns the weights of all classes, float32 `(classes,)`."""
    unknown = [name for name in weights if name not in class_names]
    if unknown:
        raise Mistake(
            "`class_weights` must name classes of the dataset. Received: "
            f"{shorten(unknown[0])}. Nearest: {nearest(unknown[0], class_names)!r}."
        )
    return np.array([weights.get(name, 1.0) for name in class_names], "float32")


def _check_takes_weights(recipe):
    loss = recipe.loss
    try:
        takes = list(inspect.signature(loss or categorical_crossentropy).parameters)
    except ValueError:  # Python does not know what it takes
        takes = []
    if "class_weights" not in takes:
        raise Mistake(
            "With `class_weights`, `loss` must take an argument class_weights, as those of "
            f"kr.losses do. Received: loss={shorten(loss)}, which has none."
        )


def _try(recipe, loss, count):
    """Raises a `Mistake` unless a loss gives one number per picture of two.

    Args:
        recipe: The `Recipe`.
        loss: The function.
        count: How many logits it takes: with a teacher 2.
    """
    classes = recipe.dataset.classes
    labels = keras.ops.convert_to_tensor(np.eye(2, classes, dtype="float32"))
    logits = keras.ops.convert_to_tensor(np.zeros((2, classes), "float32"))
    with calling("loss", recipe.loss):
        rows = loss(labels, *[logits] * count)
    shape = tuple(getattr(rows, "shape", ()))
    if shape != (2,) or not keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(rows.dtype)
    ):
        raise Mistake(
            "`loss` must return the loss of every picture, floats of shape (N,); the run takes "
            f"their mean. Received: {shorten(rows, str)} of shape {shape} for 2 pictures from "
            f"loss={shorten(recipe.loss)}."
        )
