"""Formats for those who use a trained model without this package: SavedModel, ONNX, LiteRT."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_rescnet.export.portable import litert, onnx
    from keras_rescnet.export.serving import saved_model

__all__ = [
    "litert",
    "onnx",
    "saved_model",
]

# In the folder of a run
FILE_NAMES = {"onnx": "model.onnx", "litert": "model.tflite"}
_MODULE_OF = {"litert": "portable", "onnx": "portable", "saved_model": "serving"}


def __getattr__(name: str) -> object:  # the command of this package must not wait for TensorFlow
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
