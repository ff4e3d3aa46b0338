"""The graph of a functional model: its calls, and which side of a sum is the residual branch.

Keras has no public way to the calls of a graph: `_nodes_by_depth`, `_keras_history` and
`_functional` are what its own `clone_model` reads.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras


def is_graph(operation: keras.Operation) -> bool:
    """Returns whether an operation is a model whose inner calls are known."""
    if isinstance(operation, keras.Sequential):
        return operation._functional is not None
    return isinstance(operation, keras.Model) and isinstance(operation, keras.Function)


def functional(model: keras.Model) -> keras.Model:
    """Returns the model itself, or a functional view of a `Sequential`, on the same layers."""
    if not isinstance(model, keras.Sequential):
        return model
    inner = model._functional
    return keras.Model(inner.input, inner.output, name=model.name)


def weighted_layers(operation: keras.Operation) -> int:
    """Returns how many layers with a kernel an operation has: those that tell a branch."""
    if is_graph(operation):
        return sum(weighted_layers(layer) for layer in operation.layers)
    if not isinstance(operation, keras.Layer):
        return 0
    return int(any(len(weight.shape) > 1 for weight in operation.weights))


class Graph:
    """The calls of a model in an order in which they can be made.

    Args:
        model: A functional or built sequential model.
        prefix: What the addresses of its operations begin with, `"outer/"` for a nested model.
    """

    def __init__(self, model: keras.Model, prefix: str = ""):
        view = functional(model)
        depths = view._nodes_by_depth
        nodes = [node for depth in sorted(depths, reverse=True) for node in depths[depth]]
        self.prefix = prefix
        self.calls = [node for node in nodes if not node.is_input]
        self.times = Counter(id(node.operation) for node in self.calls)
        self._readers = Counter(id(x) for node in self.calls for x in node.input_tensors)
        self._readers.update(map(id, view.outputs))
        self._makers = {id(x): node for node in nodes for x in node.outputs}
        self._above = self._weighted_layers_above()

    def address(self, operation: keras.Operation) -> str:
        """Returns the name of an operation, after the names of the models around it."""
        return f"{self.prefix}{operation.name}"

    def maker(self, tensor: keras.KerasTensor) -> Any:
        """Returns the call that returned a tensor."""
        return self._makers[id(tensor)]

    def read_once(self, tensor: keras.KerasTensor) -> bool:
        """Returns whether one call reads a tensor, and it is no output of the model."""
        return self._readers[id(tensor)] == 1

    def own_layers(self, tensor: keras.KerasTensor, others: list[keras.KerasTensor]) -> int:
        """Returns how many weighted layers lead to `tensor` that lead to none of `others`."""
        above = self._above[id(tensor)]
        for other in others:
            above &= ~self._above[id(other)]
        return above.bit_count()

    def _weighted_layers_above(self):
        """Returns the weighted layers that lead to each tensor, as the bits of an integer."""
        bits: dict[int, int] = {}
        used = 0
        above: dict[int, int] = {}
        for node in self._makers.values():
            if id(node.operation) not in bits:
                count = weighted_layers(node.operation)
                bits[id(node.operation)] = ((1 << count) - 1) << used
                used += count
            mask = bits[id(node.operation)]
            for x in node.input_tensors:
                mask |= above[id(x)]
            above.update((id(x), mask) for x in node.outputs)
        return above


def graphs(model: keras.Model, prefix: str = "", seen: set[int] | None = None) -> Iterator[Graph]:
    """Yields the graph of a model and those of the models nested in it, each once."""
    seen = set() if seen is None else seen
    graph = Graph(model, prefix)
    yield graph
    for node in graph.calls:
        inner = node.operation
        if is_graph(inner) and id(inner) not in seen:
            seen.add(id(inner))
            yield from graphs(inner, f"{graph.address(inner)}/", seen)
