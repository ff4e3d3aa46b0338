"""The parts of a model and an optimizer, and names for their variables that last."""

import collections

import keras

_PARTS = (keras.layers.Layer, keras.random.SeedGenerator, keras.optimizers.Optimizer)


def parts_of(whole):
    """Returns a model, layer or optimizer and all layers, generators and optimizers within it.

    Found through the objects' attributes, so that layers within nested models and within layers
    of a user's own are among them.
    """
    found = {}

    def visit(value):
        if isinstance(value, _PARTS) and id(value) not in found:
            found[id(value)] = value
            for attribute in keras.tree.flatten(list(vars(value).values())):
                visit(attribute)

    visit(whole)
    return list(found.values())


def named_variables(model, optimizer):
    """Returns all variables of a model and its optimizer by name, in Keras's order.

    A name is the `variable.path` that a process gives which has built nothing before. Keras
    numbers layers without a name over the whole life of a process, so that the second model of a
    notebook has a `dense_1` where the first has `dense`; here they are numbered within the model.
    Names that would be alike get ":1", ":2", ... at their end.

    Args:
        model: A `keras.Model`.
        optimizer: Its built optimizer, whose variables carry the paths of the model's.

    Returns:
        A dict of names to `keras.Variable`.
    """
    fresh = _fresh_names([*parts_of(model), *parts_of(optimizer)])

    def rename(path):
        return "/".join(fresh.get(part, part) for part in path.split("/"))

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


def _fresh_names(parts):
    """Returns the names that Keras gave, and those it would have given in a new process."""
    numbers = collections.defaultdict(set)  # of "dense", "dense_7": 0 and 7
    for part in parts:
        stem, _, number = part.name.rpartition("_")
        if not number.isdecimal():
            stem, number = part.name, 0
        if stem.replace("_", "") == type(part).__name__.lower():
            numbers[stem].add(int(number))
    return {
        _numbered(stem, number): _numbered(stem, place)
        for stem, given in numbers.items()
        for place, number in enumerate(sorted(given))
    }


def _numbered(stem, number):
    return f"{stem}_{number}" if number else stem
