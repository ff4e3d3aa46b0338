"""What fields of a recipe must be that more than one of them decides."""

import math
import numbers
import typing

from keras_rescnet.arguments import is_number
from keras_rescnet.callbacks import Callback
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.recipe.calling import calling


def check_loss(recipe):
    """Raises a `Mistake` unless loss, label smoothing and class weights can go together."""
    if isinstance(recipe.loss, type):
        raise Mistake(
            "`loss` must be a function of labels and logits, or an object that is called so. "
            f"Received: loss={recipe.loss.__name__}, a class."
        )
    if recipe.loss is not None and recipe.label_smoothing:
        raise Mistake(
            "`label_smoothing` is for the default loss; another takes its own, as in "
            "partial(kr.losses.binary_crossentropy, label_smoothing=0.1). Received: "
            f"label_smoothing={recipe.label_smoothing}, loss={shorten(recipe.loss)}."
        )
    for name, weight in (recipe.class_weights or {}).items():
        if not (isinstance(name, str) and is_number(weight) and weight >= 0):
            raise Mistake(
                "`class_weights` must be a dict of names of classes to weights, at least 0. "
                f"Received: class_weights={shorten(recipe.class_weights)}."
            )


def check_decay(recipe, epochs):
    """Raises a `Mistake` unless `decay` gives a factor in each of some epochs since the warm-up."""
    count = recipe.epochs - recipe.warmup_epochs
    with calling("decay", recipe.decay):
        for epoch in epochs:
            factor: typing.Any = recipe.decay(epoch, count)
            if not (isinstance(factor, numbers.Real) and 0 <= float(factor) < math.inf):
                raise Mistake(
                    "`decay` must return a factor for the learning rate, at least 0. Received: "
                    f"{shorten(factor)} from decay={shorten(recipe.decay)} in epoch {epoch:g} of "
                    f"{count}."
                )


def callbacks_of(recipe) -> list[Callback]:
    """Returns the callbacks that a recipe makes, new ones with every call.

    Raises:
        Mistake: If its `callbacks` fails, or returns anything else.
    """
    if recipe.callbacks is None:
        return []
    with calling("callbacks", recipe.callbacks):
        made = recipe.callbacks()
    if not isinstance(made, list | tuple) or not all(isinstance(c, Callback) for c in made):
        raise Mistake(
            "`callbacks` must return a list of kr.callbacks.Callback. Received: "
            f"{shorten(made)} from callbacks={shorten(recipe.callbacks)}."
        )
    for callback in made:
        if not {"state", "stop_training"} <= vars(callback).keys():
            raise Mistake(
                "The `__init__` of a callback must call super().__init__(). Received: "
                f"{type(callback).__name__} from callbacks={shorten(recipe.callbacks)}."
            )
    return list(made)
