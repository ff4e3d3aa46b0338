"""Where calibrations go: the end of residual branches, before concatenations or activations."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras

from keras_rescnet.surgery.activations import ACTIVATE_AT_THE_END, activation_name, only_activates
from keras_rescnet.surgery.graph import Graph

# By the names of their classes: other packages have classes of their own, `a + b` leaves an
# operation that Keras does not export, and Inception-ResNet adds with a `CustomScaleLayer`.
SUMS = ("Add", "CustomScaleLayer")
STAY_LAST = ("Dropout", "SpatialDropout2D", "StochasticDepth", "DropPath", "LayerScale", "Identity")
GATES = ("sigmoid", "hard_sigmoid", "softmax", "Softmax")


@dataclasses.dataclass
class Place:
    """A place of a calibration.

    Attributes:
        reader: The operation that reads what is calibrated.
        index: Which of the tensors that it reads that is.
        end: The operation whose output is calibrated.
        shortcut: The operation that returns the other summand, in a sum.
        last: Operations of the branch that come after the calibration.
    """

    reader: keras.Operation
    index: int
    end: keras.Operation
    shortcut: keras.Operation | None = None
    last: list[keras.Operation] = dataclasses.field(default_factory=list)


Found = Iterator[tuple[keras.Operation, list[Place] | str]]  # the places, or why there is none


def before_sums(graph: Graph) -> Found:
    """Yields the sums of a graph; the calibration goes at the end of the residual branch."""
    for call in graph.calls:
        if type(call.operation).__name__ in SUMS and len(call.input_tensors) > 1:
            yield call.operation, _end_of_branch(graph, call.operation, call.input_tensors)


def before_concatenations(graph: Graph) -> Found:
    """Yields the concatenations of a graph; the calibrations go on the maps that are new there."""
    for call in graph.calls:
        if not isinstance(call.operation, keras.layers.Concatenate):
            continue
        tensors = call.input_tensors
        others = [tensors[:i] + tensors[i + 1 :] for i in range(len(tensors))]
        new = [i for i, x in enumerate(tensors) if graph.own_layers(x, others[i])]
        makers = [graph.maker(x).operation for x in tensors]
        reason = _shared(graph, call.operation) or "it reads no map that is new"
        yield call.operation, [Place(call.operation, i, makers[i]) for i in new] or reason


def before_activations(graph: Graph) -> Found:
    """Yields the activations of images, but no gates; the calibration goes before each."""
    for call in graph.calls:
        kind, shape = activation_name(call.operation), call.outputs[0].shape
        if kind and kind not in GATES and len(shape) == 4 and shape[1:3] != (1, 1):
            end = call.operation  # `Conv2D(activation="relu")` is split
            if only_activates(end):
                end = graph.maker(call.input_tensors[0]).operation
            elif not isinstance(end, ACTIVATE_AT_THE_END):
                yield call.operation, "its activation is inside of it"
                continue
            place = Place(call.operation, 0, end)
            yield call.operation, _shared(graph, call.operation) or [place]


PLACES = {None: before_sums, "concat": before_concatenations, "activation": before_activations}


def _shared(graph: Graph, operation: keras.Operation) -> str:
    times = graph.times[id(operation)]
    return f"it is a shared layer, called {times} times" if times > 1 else ""


def _end_of_branch(graph: Graph, reader: keras.Operation, tensors: list) -> list[Place] | str:
    if _shared(graph, reader):
        return _shared(graph, reader)
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
    shortcut = graph.maker(tensors[1 - index]).operation
    x = tensors[index]
    last: list[keras.Operation] = []
    while _stays_last(graph, graph.maker(x), x):
        last.insert(0, graph.maker(x).operation)
        x = graph.maker(x).input_tensors[0]
    return [Place(reader, index, graph.maker(x).operation, shortcut, last)]


def _stays_last(graph: Graph, call: Any, x: keras.KerasTensor) -> bool:
    operation = call.operation
    linear = getattr(operation, "activation", None) is keras.activations.linear
    if not (
        type(operation).__name__ in STAY_LAST
        or (isinstance(operation, keras.layers.Activation) and linear)
    ):
        return False
    # Whoever else reads it or calls it would get something else.
    return graph.times[id(operation)] == 1 and graph.read_once(x) and len(call.input_tensors) == 1
