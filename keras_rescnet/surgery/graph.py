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
    function = operation._functional if isinstance(operation, keras.Sequential) else operation
    return isinstance(operation, keras.Model) and isinstance(function, keras.Function)


def functional(model: keras.Model) -> keras.Model:
    """Returns the model itself, or a functional view of a `Sequential`, on the same layers."""
    if not isinstance(model, keras.Sequential):
        return model
    return keras.Model(model._functional.input, model._functional.output, name=model.name)


def weighted_layers(operation: keras.Operation) -> set[keras.Layer]:
    """Returns the layers with a kernel that an operation has: those that tell a branch."""
    if is_graph(operation):
        return set().union(*map(weighted_layers, operation.layers))
    kernels = [weight for weight in getattr(operation, "weights", ()) if len(weight.shape) > 1]
    return {operation} if kernels else set()


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
        self._above: dict[int, set[keras.Layer]] = {}  # the weighted layers that lead to a tensor
        for node in nodes:
            above = [self._above[id(x)] for x in node.input_tensors]
            leading = weighted_layers(node.operation).union(*above)
            self._above.update((id(x), leading) for x in node.outputs)

    def own_layers(self, tensor: keras.KerasTensor, others: list[keras.KerasTensor]) -> int:
        """Returns how many weighted layers lead to `tensor` that lead to none of `others`."""
        return len(self._above[id(tensor)].difference(*(self._above[id(x)] for x in others)))

    def data_format(self, tensor: keras.KerasTensor) -> str | None:
        """Returns that of the layer that made `tensor`, or else what it read; `None` of none."""
        call = self.maker[id(tensor)]
        while not hasattr(call.operation, "data_format") and call.input_tensors:
            call = self.maker[id(call.input_tensors[0])]
        return getattr(call.operation, "data_format", None)


def graphs(model: keras.Model, prefix: str = "", seen: set[int] | None = None) -> Iterator[Graph]:
    """Yields the graph of a model and those of the models nested in it, each once."""
    seen = set() if seen is None else seen
    graph = Graph(model, prefix)
    yield graph
    for inner in graph.calls:
        if is_graph(inner) and id(inner) not in seen:
            seen.add(id(inner))
            yield from graphs(inner, f"{prefix}{inner.name}/", seen)
