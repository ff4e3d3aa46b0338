"""Names for the variables of a model and an optimizer that last."""

import collections

import keras

from keras_rescnet.models.parts import lasting_path, parts_of


def named_variables(model, optimizer):
    """Returns all variables of a model and its optimizer by name, in Keras's order.

    A name is the `variable.path` that a process gives which has built nothing before. Names that
    would be alike get ":1", ":2", ... at their end.

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
    for variable in [*model.variables, *optimizer.variables]:
        name = rename(variable.path)
        scope, _, last = name.rpartition("/")
        if len(named) >= len(model.variables):
            start = max(filter(last.startswith, flat), key=len, default="")
            name = f"{scope}/{flat.get(start, '')}{last.removeprefix(start)}"
        alike[name] += 1
        named[name if alike[name] == 1 else f"{name}:{alike[name] - 1}"] = variable
    return named
