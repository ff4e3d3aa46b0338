"""What fields of a recipe must be that more than one of them decides."""

import math
import numbers

from keras_rescnet.mistake import Mistake, shorten


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
        number = isinstance(weight, numbers.Real) and not isinstance(weight, bool)
        if not (isinstance(name, str) and number and 0 <= float(weight) < math.inf):
            raise Mistake(
                "`class_weights` must be a dict of names of classes to weights, at least 0. "
                f"Received: class_weights={shorten(recipe.class_weights)}."
            )
