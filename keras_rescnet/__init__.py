"""Response calibration and reproducible image-classifier training for Keras.

Layers, models and their conversion need Keras alone, on any backend. Data and training need
TensorFlow, and are imported when they are first asked for.
"""

import importlib

from keras_rescnet import convert, layers, models
from keras_rescnet.activations import gclu, gclu_sigmoid, gclu_tanh

__version__ = "0.1.0"

_MODULES = ("augment", "data", "export", "optimizers")
_MODULE_OF = {
    "Mistake": "mistake",
    "Recipe": "recipe",
    "load_recipe": "recipe",
    "train": "training",
}


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"keras_rescnet.{name}")
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"keras_rescnet.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'keras_rescnet' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_MODULES, *_MODULE_OF])
