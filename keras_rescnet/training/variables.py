"""Names for the variables of a model and an optimizer that last."""

import collections
import re

import keras

from keras_rescnet.models.parts import lasting_path, parts_of

# What becomes of the path of an optimizer's variable without a name; Keras counts them
UNNAMED = r"/variable(_\d+)?"


def named_variables(model, optimizer):
    """Returns all variables of a model and its optimizer by name, in Keras's order.

    A name is the `variable.path` that a process gives which has built nothing before. Names that
    would be alike get ":1", ":2", ... at their end, and those of an optimizer's variables without
    a name are "/variable", "/variable_1", ...

    Args:
        model: A `keras.Model`.
        optimizer: Its built optimizer, whose variables carry the paths of the model's.

    Returns:
        A dict of names to `keras.Variable`.
    """
    rename = lasting_path([*parts_of(model), *parts_of(optimizer)])
    # Keras names an optimizer's variable "sgd/block_conv_kernel_velocity", of "block/conv/kernel"
    flat = {
        variable.path.replace("/", "_") + "_": rename(variable.path).replace("/", "_") + "_"
        for variable in model.trainable_variables
    }
    named: dict[str, keras.Variable] = {}
    alike: collections.Counter[str] = collections.Counter()
    unnamed = 0
    for variable in [*model.variables, *variables_of(optimizer)]:
        name = rename(variable.path)
        scope, _, last = name.rpartition("/")
        if len(named) >= len(model.variables):
            start = max(filter(last.startswith, flat), key=len, default="")
            name = f"{scope}/{flat.get(start, '')}{last.removeprefix(start)}"
        if re.fullmatch(UNNAMED, name):
            name, unnamed = f"/variable_{unnamed}" if unnamed else "/variable", unnamed + 1
        alike[name] += 1
        named[name if alike[name] == 1 else f"{name}:{alike[name] - 1}"] = variable
    return named


def variables_of(optimizer):
    """Returns the variables of an optimizer, and what a loss scale leaves out of them.

    Keras's `LossScaleOptimizer` builds the optimizer within it without noting its variables, and
    Nadam has one, a product over all steps, that it notes in no other way.
    """
    noted = optimizer.variables
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    own = [value for value in vars(inner).values() if isinstance(value, keras.Variable)]
    return noted + [value for value in own if id(value) not in set(map(id, noted))]
