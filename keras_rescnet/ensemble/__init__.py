"""Several runs as one: ensembles, their scores, and concatenated representations.

`train` makes the members, one run each, `mean` joins them into one model of logits, and `measure`
scores both. `FoRDE` trains members together that repel each other. `fit_temperature` makes the
probabilities of a run as sure as they are right, and `concatenate` puts the features of several
runs under one head.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_rescnet.ensemble.concatenation import concatenate
    from keras_rescnet.ensemble.forde import FoRDE, principal_components
    from keras_rescnet.ensemble.members import mean, train
    from keras_rescnet.ensemble.scores import measure, table, write_csv
    from keras_rescnet.ensemble.temperature import fit_temperature

__all__ = [
    "FoRDE",
    "concatenate",
    "fit_temperature",
    "mean",
    "measure",
    "principal_components",
    "table",
    "train",
    "write_csv",
]

_MODULE_OF = {
    "FoRDE": "forde",
    "concatenate": "concatenation",
    "fit_temperature": "temperature",
    "mean": "members",
    "measure": "scores",
    "principal_components": "forde",
    "table": "scores",
    "train": "members",
    "write_csv": "scores",
}


def __getattr__(name: str) -> object:  # the command of this package must not wait for TensorFlow
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
