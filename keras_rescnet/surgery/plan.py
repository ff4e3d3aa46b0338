"""What will be changed in a model, what will be left, and why."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_rescnet.mistake import Mistake, nearest, shorten
from keras_rescnet.surgery.activations import activates_last, activation_name, only_activates
from keras_rescnet.surgery.graph import Graph, graphs, is_graph, weighted_layers

Where = str | Collection[str] | Callable[[keras.Operation], bool] | None

# By the names of their classes: other packages have classes of their own, `a + b` leaves an
# operation that Keras does not export, and Inception-ResNet adds with a `CustomScaleLayer`.
SUMS = ("Add", "CustomScaleLayer")
STAY_LAST = ("Dropout", "SpatialDropout2D", "StochasticDepth", "DropPath", "LayerScale", "Identity")
GATES = ("sigmoid", "hard_sigmoid", "softmax")
PLACES = {
    None: "residual branch",
    "concat": "concatenation of new maps",
    "activation": "activation of maps",
}


@dataclass
class Place:
    """A place of a calibration.

    Attributes:
        index: Which of the tensors that an operation reads is calibrated.
        end: The operation that returns it.
        shortcut: The operation that returns the other summand, in a sum.
        last: Operations of the branch that come after the calibration.
    """

    index: int
    end: keras.Operation
    shortcut: keras.Operation | None = None
    last: list[keras.Operation] = field(default_factory=list)

    def __str__(self):
        last = f", before {self.last[0].name}" if self.last else ""
        shortcut = f"; the shortcut is {self.shortcut.name}" if self.shortcut else ""
        return f"{self.end.name} is calibrated{last}{shortcut}"


@dataclass
class Plan:
    """The changes of a model.

    Attributes:
        activations: The operations whose activation is replaced.
        places: The places of calibrations, by the operation that reads them.
        lines: The addresses of operations, and what becomes of each.
    """

    activations: set[keras.Operation] = field(default_factory=set)
    places: dict[keras.Operation, list[Place]] = field(default_factory=dict)
    lines: list[tuple[str, str]] = field(default_factory=list)

    def leave(self, address: str, reason: str, chosen: bool | None) -> None:
        """Notes why an operation stays as it is."""
        self.lines.append((address, f"left: {'not chosen' if chosen is False else reason}"))

    def left(self) -> list[str]:
        """Returns the lines of what is left."""
        return [f"{address} is {text}" for address, text in self.lines if text.startswith("left")]

    def __str__(self):
        added = sum(map(len, self.places.values()))
        width = max((len(address) for address, _ in self.lines), default=0)
        head = f"{len(self.activations)} activations replaced, {added} calibrations added"
        rows = [f"  {address:{width}}  {text}" for address, text in self.lines]
        return "\n".join([f"{head}, {len(self.left())} left", *rows])


def make_plan(model: keras.Model, activation: Any, calibration: Any, where: Where) -> Plan:
    """Finds what to change. The arguments are those of `kr.calibrate`."""
    kind = where if isinstance(where, str) else None
    names = where if isinstance(where, list | tuple | set) else ()
    listed = bool(names) and all(isinstance(name, str) for name in names)
    if not (kind in PLACES if where is None or kind is not None else callable(where) or listed):
        raise Mistake(
            '`where` must be "concat", "activation", a predicate, or a list of names such as '
            f'["conv1_relu"]. Received: where={shorten(where)}.'
        )
    plan = Plan()
    for graph in graphs(model):
        for operation in graph.calls:
            address = graph.prefix + operation.name
            chosen = address in names if names else None
            chosen = bool(where(operation)) if callable(where) else chosen
            name = activation_name(operation)
            if activation is not None and name and (name == "relu" if chosen is None else chosen):
                plan.activations.add(operation)
                plan.lines.append((address, f"{name} is replaced"))
            elif activation is not None and name:
                plan.leave(address, f"{name} is not plain ReLU", chosen)
            found = None if calibration is None else _places(graph, operation, kind)
            if isinstance(found, list) and chosen is not False:
                plan.places[operation] = found
                plan.lines += [(address, str(place)) for place in found]
            elif found and chosen and names:
                raise Mistake(f"{address} cannot be calibrated: {found}. Received: where={where}.")
            elif found:
                plan.leave(address, str(found), chosen)
            elif _hides_places(operation, activation, calibration):
                plan.leave(address, "the layers inside it are out of reach", None)
    _check(plan, model, activation, calibration, where)
    return plan


def _check(plan, model, activation, calibration, where):
    """Raises a `Mistake` if there is no place for an argument, or a name is none of a place."""
    addresses = [address for address, _ in plan.lines]
    for name in where if isinstance(where, list | tuple | set) else ():
        if addresses and name not in addresses:
            raise Mistake(
                "`where` must name layers with an activation, to replace it, or sums, to calibrate "
                f"their branch. Received: {name}. Did you mean {nearest(name, addresses)}?"
            )
    missing = None
    if activation is not None and not plan.activations:
        missing = "activation that `where` chooses" if callable(where) else "plain ReLU to replace"
    elif calibration is not None and not plan.places:
        missing = f"{PLACES[where if isinstance(where, str) else None]} to calibrate"
    if missing:
        raise Mistake(
            f"{model.name} has no {missing}. Received: where={shorten(where)}, and "
            f"{shorten('; '.join(plan.left()) or 'no other place', str, 200)}. Other values of "
            '`where` are "concat", "activation" and names.'
        )


def _places(graph: Graph, operation: keras.Operation, kind: str | None) -> list[Place] | str | None:
    """Returns the places that an operation reads, why it has none, or `None` if it is no sum."""
    call, *others = graph.calls[operation]
    tensors = call.input_tensors
    makers = [graph.maker[id(x)].operation for x in tensors]
    found: list[Place] | str
    if kind is None and type(operation).__name__ in SUMS and len(tensors) > 1:
        found = _end_of_branch(graph, tensors)
    elif kind == "concat" and _joins(operation):
        rest = [tensors[:i] + tensors[i + 1 :] for i in range(len(tensors))]
        new = [i for i, x in enumerate(tensors) if graph.own_layers(x, rest[i])]
        found = [Place(i, makers[i]) for i in new] or "it reads no map that is new"
        if len(tensors[0].shape) != 4 or getattr(operation, "axis", -1) not in (-1, 3):
            found = "it joins something else than channels of maps"
    elif kind == "activation" and _activates_maps(operation, call.outputs[0].shape):
        inside = not only_activates(operation) and not activates_last(operation)
        end = operation if activates_last(operation) else makers[0]
        found = "its activation is inside it" if inside else [Place(0, end)]
    else:
        return None
    if others:
        return f"it is a shared layer, called {1 + len(others)} times"
    if isinstance(found, str):
        return found
    if any(graph.data_format(tensors[place.index]) == "channels_first" for place in found):
        return "its channels come first"
    ends = [place.end.name for place in found]
    calibrated = [name for name in ends if name.endswith("_calibration")]
    return f"{calibrated[0]} is there already" if calibrated else found


def _joins(operation: keras.Operation) -> bool:
    """Returns whether an operation concatenates: the layer, or what `keras.ops` leaves."""
    is_layer = isinstance(operation, keras.layers.Concatenate)
    return is_layer or type(operation).__name__ == "Concatenate"


def _activates_maps(operation: keras.Operation, shape: tuple[int | None, ...]) -> bool:
    name = activation_name(operation)
    return name is not None and name not in GATES and len(shape) == 4 and shape[1:3] != (1, 1)


def _end_of_branch(graph: Graph, tensors: list[keras.KerasTensor]) -> list[Place] | str:
    if len(tensors) > 2:
        return f"it adds {len(tensors)} tensors"
    if tensors[0].shape != tensors[1].shape:
        return "it adds tensors of different shapes"
    own = [graph.own_layers(tensors[i], [tensors[1 - i]]) for i in (0, 1)]
    if own[0] == own[1] or min(own) > 1:
        return (
            f"its branch cannot be told from its shortcut: its inputs have {own[0]} and {own[1]} "
            "layers with weights of their own"
        )
    index = own.index(max(own))
    shortcut = graph.maker[id(tensors[1 - index])].operation
    x = tensors[index]
    last: list[keras.Operation] = []
    while _stays_last(graph, x):
        last.insert(0, graph.maker[id(x)].operation)
        (x,) = graph.maker[id(x)].input_tensors
    return [Place(index, graph.maker[id(x)].operation, shortcut, last)]


def _stays_last(graph: Graph, x: keras.KerasTensor) -> bool:
    """Returns whether `x` comes from what scales or drops a branch, and a sum alone reads it."""
    call = graph.maker[id(x)]
    kind = type(call.operation).__name__
    scales = kind in STAY_LAST or (kind == "Activation" and not activation_name(call.operation))
    alone = graph.readers[id(x)] == 1 and len(graph.calls.get(call.operation, ())) == 1
    return scales and alone and len(call.input_tensors) == 1 and len(call.arguments.args) > 0


def _hides_places(operation: keras.Operation, activation: Any, calibration: Any) -> bool:
    """Returns whether a wrapper has a ReLU inside, or a layer of another package a ReLU or blocks.

    Other layers of Keras and of this package are one place each, or none.
    """
    if is_graph(operation) or not isinstance(operation, keras.Layer):
        return False
    own = type(operation).__module__.startswith(("keras.", "keras_rescnet."))
    inner = list(operation._flatten_layers(include_self=False))
    if activation is not None and any(activation_name(layer) == "relu" for layer in inner):
        return isinstance(operation, keras.layers.Wrapper) or not own
    blocks = calibration is not None and len(set().union(*map(weighted_layers, inner))) > 1
    return blocks and not own
