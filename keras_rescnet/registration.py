"""Registers classes with Keras without importing Keras."""

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
        sys.meta_path.insert(0, _KerasFinder(modules))


class _KerasFinder(importlib.abc.MetaPathFinder):
    def __init__(self, modules):
        self.modules = modules

    def find_spec(self, name, path=None, target=None):
        """Finds Keras as Python does, and makes its import go on with the modules."""
        if name != "keras" or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("keras")
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_with_modules(keras):
            execute(keras)
            for module in self.modules:
                importlib.import_module(module)

        spec.loader.exec_module = execute_with_modules
        return spec
