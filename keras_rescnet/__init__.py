"""Response calibration and reproducible image-classifier training for Keras.

`gclu` is an activation, `layers` has the RC Layer, `models` has builders of whole networks,
`convert` sets their weights from PyTorch's, `calibrate` changes models that are built, and
`losses` has what a recipe can minimize. These need Keras alone, on TensorFlow
or JAX.

`data`, `augment`, `callbacks`, `Recipe` and `train` make a trained model, `evaluate` measures one,
on pictures with `corruptions` too, `export` writes it in other formats, and `ensemble` makes one of
several; `ExactResume` is for Keras's own `fit`. These need TensorFlow.

A part is imported when it is first used. The classes that Keras must know in order to load a
`.keras` file are registered as soon as both this package and Keras are imported.
"""

import importlib
from typing import TYPE_CHECKING

from keras_rescnet.registration import import_with_keras

if TYPE_CHECKING:
    from keras_rescnet import (
        augment,
        callbacks,
        convert,
        corruptions,
        data,
        ensemble,
        export,
        layers,
        losses,
        models,
        optimizers,
        schedules,
        views,
    )
    from keras_rescnet.activations import gclu, gclu_sigmoid, gclu_tanh
    from keras_rescnet.analysis.evaluation import evaluate
    from keras_rescnet.analysis.explanation import grad_cam, rc_maps
    from keras_rescnet.mistake import Mistake
    from keras_rescnet.recipe import Recipe, load_recipe
    from keras_rescnet.self_gated import gelu, golu, serf, telu
    from keras_rescnet.surgery import calibrate, calibration_report
    from keras_rescnet.training import train
    from keras_rescnet.training.exact_resume import ExactResume

__version__ = "0.1.0"

__all__ = [
    "ExactResume",
    "Mistake",
    "Recipe",
    "__version__",
    "augment",
    "calibrate",
    "calibration_report",
    "callbacks",
    "convert",
    "corruptions",
    "data",
    "ensemble",
    "evaluate",
    "export",
    "gclu",
    "gclu_sigmoid",
    "gclu_tanh",
    "gelu",
    "golu",
    "grad_cam",
    "layers",
    "load_recipe",
    "losses",
    "models",
    "optimizers",
    "rc_maps",
    "schedules",
    "serf",
    "telu",
    "train",
    "views",
]

_MODULE_OF = {
    "ExactResume": "training.exact_resume",
    "Mistake": "mistake",
    "Recipe": "recipe",
    "calibrate": "surgery",
    "calibration_report": "surgery",
    "evaluate": "analysis.evaluation",
    "gclu": "activations",
    "gclu_sigmoid": "activations",
    "gclu_tanh": "activations",
    "gelu": "self_gated",
    "golu": "self_gated",
    "grad_cam": "analysis.explanation",
    "load_recipe": "recipe",
    "rc_maps": "analysis.explanation",
    "serf": "self_gated",
    "telu": "self_gated",
    "train": "training",
}


def __getattr__(name: str) -> object:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"keras_rescnet.{_MODULE_OF[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"keras_rescnet.{name}")
    raise AttributeError(f"module 'keras_rescnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


import_with_keras(
    "keras_rescnet.activations",
    "keras_rescnet.initializers",
    "keras_rescnet.layers",
    "keras_rescnet.losses",
    "keras_rescnet.optimizers",
    "keras_rescnet.self_gated",
)
