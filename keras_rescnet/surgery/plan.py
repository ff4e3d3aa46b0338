"""What will be changed in a model, what will be left, and why."""

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

import keras

from keras_rescnet.mistake import Mistake, nearest, shorten
from keras_rescnet.surgery.activations import activation_name
from keras_rescnet.surgery.graph import graphs, is_graph, weighted_layers
from keras_rescnet.surgery.places import PLACES, Place

Where = str | Collection[str] | Callable[[keras.Operation], bool] | None

PLACE_NAMES = {
    None: "residual branch to calibrate",
    "concat": "concatenation of new maps to calibrate",
    "activation": "activation of maps to calibrate",
}


@dataclasses.dataclass
class Plan:
    """The changes of a model.

    Attributes:
        activations: The `id`s of the operations whose activation is replaced.
        places: The places of calibrations, by the `id` of the operation that reads them.
        lines: The addresses of operations, and what becomes of each.
    """

    activations: set[int] = dataclasses.field(default_factory=set)
    places: dict[int, list[Place]] = dataclasses.field(default_factory=dict)
    lines: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def leave(self, address: str, reason: str) -> None:
        """Notes why an operation is left as it is."""
        self.lines.append((address, f"left: {reason}"))

    def left(self) -> list[str]:
        """Returns the lines of what is left."""
        return [f"{address}, {text[6:]}" for address, text in self.lines if text[:5] == "left:"]

    def __str__(self):
        added = sum(map(len, self.places.values()))
        width = max((len(address) for address, _ in self.lines), default=0)
        head = f"{len(self.activations)} activations replaced, {added} calibrations added"
        rows = [f"  {address:{width}}  {text}" for address, text in self.lines]
        return "\n".join([f"{head}, {len(self.left())} left", *rows])


class Choice:
    """What `where` says: a kind of place, names, or a predicate."""

    def __init__(self, where: Where):
        self.where = where
        self.kind = where if isinstance(where, str) else None
        self.names = tuple(where) if isinstance(where, list | tuple | set | frozenset) else None
        listed = bool(self.names) and all(isinstance(name, str) for name in self.names or ())
        fits = self.kind in PLACES if where is None or isinstance(where, str) else callable(where)
        if not (fits or listed):
            raise Mistake(
                '`where` must be "concat", "activation", a predicate, or a list of names such as '
                f'["conv1_relu"]. Received: where={shorten(where)}.'
            )
        self.known: set[str] = set()
        self.used: set[str] = set()

    def of(self, address: str, operation: keras.Operation) -> bool | None:
        """Returns whether an operation is chosen, `None` if that is left to its kind."""
        if self.names is not None:
            return address in self.names
        return bool(self.where(operation)) if callable(self.where) else None

    def check_names(self) -> None:
        """Raises a `Mistake` if a name was of no use."""
        for name in self.names or ():
            if name not in self.known:
                hint = nearest(name, self.known)
                raise Mistake(f"`where` names no layer. Received: {name}. Did you mean {hint}?")
            if name not in self.used:
                raise Mistake(
                    "`where` must name layers with an activation, to replace it, or sums, to "
                    f"calibrate their branch. Received: {name}, which is neither."
                )


def make_plan(model: keras.Model, activation: Any, calibration: Any, where: Where) -> Plan:
    """Finds what to change.

    Args:
        model: The model.
        activation: What replaces activations, or `None`.
        calibration: A layer such as those that will be added, or `None`.
        where: As for `kr.calibrate`.
    """
    plan, choice = Plan(), Choice(where)
    for graph in graphs(model):
        for operation in dict.fromkeys(call.operation for call in graph.calls):
            address = graph.address(operation)
            choice.known.add(address)
            if activation is not None:
                _plan_activation(plan, choice, address, operation)
            if calibration is not None and _hides_blocks(operation):
                plan.leave(address, "the layers inside of it are out of reach")
        if calibration is not None:
            _plan_calibrations(plan, choice, graph, type(calibration))
    choice.check_names()
    if activation is not None and not plan.activations:
        chosen = "plain ReLU" if where is None or choice.kind else "activation that `where` chooses"
        raise Mistake(
            f"{model.name} has no {chosen}. Received: activation={shorten(activation)}; left are "
            f"{shorten('; '.join(plan.left()) or 'none', str)}. Choose others with `where`."
        )
    if calibration is not None and not plan.places:
        raise Mistake(
            f"{model.name} has no {PLACE_NAMES[choice.kind]}. Received: where={shorten(where)}; "
            f"left are {shorten('; '.join(plan.left()) or 'none', str)}. Other places are "
            'where="concat" and where="activation".'
        )
    return plan


def _plan_activation(plan, choice, address, operation):
    kind = activation_name(operation)
    if kind is None:
        return
    chosen = choice.of(address, operation)
    if chosen or (chosen is None and kind == "relu"):
        choice.used.add(address)
        plan.activations.add(id(operation))
        plan.lines.append((address, f"{kind} is replaced"))
    else:
        plan.leave(address, f"{kind} is not plain ReLU" if chosen is None else "not chosen")


def _plan_calibrations(plan, choice, graph, kind):
    names = {call.operation.name for call in graph.calls}
    for operation, found in PLACES[choice.kind](graph):
        address = graph.address(operation)
        chosen = choice.of(address, operation)
        if chosen is False:
            plan.leave(address, "not chosen")
            continue
        if not isinstance(found, str) and any(isinstance(place.end, kind) for place in found):
            found = f"{kind.__name__} is there already"
        if not isinstance(found, str) and f"{operation.name}_calibration" in names:
            found = f"{operation.name}_calibration is there already"
        if isinstance(found, str):
            if choice.names is not None:
                raise Mistake(
                    f"{address} cannot be calibrated: {found}. "
                    f"Received: where={shorten(choice.where)}."
                )
            plan.leave(address, found)
            continue
        choice.used.add(address)
        plan.places[id(operation)] = found
        for place in found:
            last = "".join(f", before {operation.name}" for operation in place.last[:1])
            shortcut = f"; the shortcut is {place.shortcut.name}" if place.shortcut else ""
            plan.lines.append((address, f"{place.end.name} is calibrated{last}{shortcut}"))


def _hides_blocks(operation: keras.Operation) -> bool:
    """Returns whether a layer of another package than Keras and this one has layers inside."""
    if not isinstance(operation, keras.Layer) or is_graph(operation):
        return False
    if type(operation).__module__.startswith(("keras.", "keras_rescnet.")):
        return False
    return sum(map(weighted_layers, operation._flatten_layers(include_self=False))) > 1
