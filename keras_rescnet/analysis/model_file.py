"""Models in `.keras` files."""

from __future__ import annotations

import pathlib
import re
from typing import TYPE_CHECKING

from keras_rescnet.files import is_file
from keras_rescnet.mistake import Mistake, shorten

if TYPE_CHECKING:
    import keras


class NotRegistered(Mistake):
    """A `.keras` file has a function or class that Keras does not know."""


def load_model(file) -> keras.Model:
    """Returns the model of a `.keras` file.

    Raises:
        Mistake: If there is none, or it cannot be loaded.
    """
    import keras

    file = pathlib.Path(file)
    if file.suffix != ".keras" or not is_file(file):
        raise Mistake(f"A model must be a .keras file. Received: {shorten(str(file), str)}.")
    try:
        model = keras.models.load_model(file, compile=False)
    except Exception as error:  # whatever a damaged or foreign file makes Keras do
        missing = re.search(r"Could not locate (class|function) '([^']+)'", str(error))
        if missing:
            kind, name = missing.groups()
            raise NotRegistered(
                "A .keras file must hold a model that Keras can load. Received: "
                f"{shorten(str(file), str)}, which has a {kind} {shorten(name)} that Keras does "
                "not know. From Python, load it with `custom_objects`, and give the model."
            ) from error
        message = shorten(" ".join(str(error).split()), str, 200)
        raise Mistake(
            "A .keras file must hold a model that Keras can load. Received: "
            f"{shorten(str(file), str)} ({type(error).__name__}: {message})."
        ) from error
    if not isinstance(model, keras.Model):
        raise Mistake(
            "A .keras file must hold a model. Received: "
            f"{shorten(str(file), str)}, which holds a {type(model).__name__}."
        )
    return model


def scaled(model: keras.Model, temperature: float | None) -> keras.Model:
    """Returns a model whose logits are divided by a temperature; `None` stands for 1."""
    if temperature is None:
        return model
    import keras

    divide = keras.layers.Rescaling(1.0 / temperature, dtype="float32", name="temperature")
    return keras.Model(model.inputs[0], divide(model.outputs[0]), name=model.name)
