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
    """The calls of a model.

    Args:
        model: A functional or built sequential model.
        prefix: What the addresses of its operations begin with, `"outer/"` in a nested model.

    Attributes:
        calls: The calls of each operation, in an order in which they can be made.
        maker: The call that returns a tensor, by the tensor's `id`.
        readers: How many calls read a tensor, and outputs are one, by its `id`.
    """

    def __init__(self, model: keras.Model, prefix: str = ""):
        view = functional(model)
        depths = view._nodes_by_depth
        nodes = [node for depth in sorted(depths, reverse=True) for node in depths[depth]]
        self.prefix = prefix
        self.calls: dict[keras.Operation, list[Any]] = {}
        for node in nodes:
            if not node.is_input:
                self.calls.setdefault(node.operation, []).append(node)
        self.maker = {id(x): node for node in nodes for x in node.outputs}
        self.readers = Counter(id(x) for node in nodes for x in node.input_tensors)
        self.readers.update(map(id, view.outputs))
        self._above = self._weighted_layers_above(nodes)

    def own_layers(self, tensor: keras.KerasTensor, others: list[keras.KerasTensor]) -> int:
        """Returns how many weighted layers lead to `tensor` that lead to none of `others`."""
        above = self._above[id(tensor)]
        for other in others:
            above &= ~self._above[id(other)]
        return above.bit_count()

    def _weighted_layers_above(self, nodes):
        """Returns the weighted layers that lead to each tensor, as the bits of an integer."""
        bits: dict[keras.Operation, int] = {}
        above: dict[int, int] = {}
        used = 0
        for node in nodes:
            if node.operation not in bits:
                count = weighted_layers(node.operation)
                bits[node.operation] = ((1 << count) - 1) << used
                used += count
            mask = bits[node.operation]
            for x in node.input_tensors:
                mask |= above[id(x)]
            above.update((id(x), mask) for x in node.outputs)
        return above


def graphs(model: keras.Model, prefix: str = "", seen: set[int] | None = None) -> Iterator[Graph]:
    """Yields the graph of a model and those of the models nested in it, each once."""
    seen = set() if seen is None else seen
    graph = Graph(model, prefix)
    yield graph
    for inner in graph.calls:
        if is_graph(inner) and id(inner) not in seen:
            seen.add(id(inner))
            yield from graphs(inner, f"{prefix}{inner.name}/", seen)
