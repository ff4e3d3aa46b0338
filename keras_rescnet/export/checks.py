"""What all exports check before they write."""

import keras
import numpy as np

from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.models.parts import check_logits, of_tensors


def checked(model, mean, std, multi_label):
    """Returns a model, from a tensor to a tensor, that can be exported with such statistics.

    Raises:
        Mistake: Unless Keras runs on TensorFlow, which writes every export, `model` is a classifier
            of images, and `mean` and `std` fit its channels.
    """
    if keras.backend.backend() != "tensorflow":
        raise Mistake(
            "Models are exported with Keras on TensorFlow. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}; load `model.keras` there."
        )
    shape, output = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    logits = isinstance(output, tuple) and len(output) == 2 and isinstance(output[1], int)
    is_model = isinstance(model, keras.Model) and logits
    if not (is_model and isinstance(shape, tuple) and len(shape) == 4):
        raise Mistake(
            "`model` must be a keras.Model from images (N, H, W, C) to logits (N, classes). "
            f"Received: model={shorten(model)}, input_shape={shorten(shape)}, "
            f"output_shape={shorten(output)}."
        )
    check_logits(model, "an export")
    try:
        numbers = np.array([mean, std], "float64")
        fits = numbers.shape == (2, shape[-1]) and np.all(np.isfinite(numbers))
        fits = fits and np.all(numbers[1] > 0)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise Mistake(
            f"`mean` and `std` must be {shape[-1]} numbers, one per channel, and `std` positive. "
            f"Received: mean={shorten(mean)}, std={shorten(std)}."
        )
    if model.output_shape[1] == 1 and not multi_label:
        raise Mistake(
            "A model of one logit has a sigmoid, not a softmax, which is always 1: give "
            f"multi_label=True. Received: {model.name}, output_shape={shorten(output)}."
        )
    inputs = getattr(model, "inputs", None) or ()  # a subclassed model has none
    dtype = next((keras.backend.standardize_dtype(x.dtype) for x in inputs), "float32")
    if "float" not in dtype and not np.allclose(numbers, [[0.0], [1 / 255]]):
        raise Mistake(
            "`mean` and `std` of a model that takes integers must be 0 and 1 / 255, which leave "
            "pixels as they are: it would cut normalized ones off to integers. "
            f"Received: {model.name} of inputs {dtype}, mean={shorten(mean)}, std={shorten(std)}."
        )
    return of_tensors(model)
