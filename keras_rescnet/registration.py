"""Registers classes with Keras without importing Keras."""

import functools
import importlib
import importlib.abc
import importlib.util
import sys


def import_with_keras(*modules):
    """Imports modules as soon as Keras is imported, which may be now.

    `keras.models.load_model` finds a layer by the name under which its module registered it, and
    `import keras_rescnet` is all that a user does for that. To import Keras there and then would
    take seconds, for which `--help` and the commands that need no Keras would have to wait.
    """
    if "keras" in sys.modules:
        for module in modules:
            importlib.import_module(module)
    else:
        sys.meta_path.insert(0, _Finder(modules))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds Keras and the modules of this package as Python does, and makes their import continue.

    Once the outermost of them is imported, and Keras with it, all modules are. Not sooner: a
    module of this package may be what imports Keras, and be half done when Keras is imported.
    """

    def __init__(self, modules):
        self.modules = modules
        self.busy = False

    def find_spec(self, name, path=None, target=None):
        """Returns the spec of a module, or `None` for modules that are none of its business."""
        if self.busy or not (name == "keras" or name.startswith("keras_rescnet.")):
            return None
        self.busy = True  # so that the others find it
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.busy = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module
            run = functools.partial(self._execute, execute)
            spec.loader.exec_module = run  # type: ignore[method-assign]
        return spec

    def _execute(self, execute, module):
        self.busy = True
        try:
            execute(module)
        finally:
            self.busy = False
        if "keras" in sys.modules and self in sys.meta_path:
            sys.meta_path.remove(self)
            for name in self.modules:
                importlib.import_module(name)
