"""What a layer takes and returns, in models of every kind."""

import contextlib
from collections.abc import Callable, Iterator

import keras


@contextlib.contextmanager
def watching(layer: keras.layers.Layer, function: Callable) -> Iterator[None]:
    """Within it, a call of `layer` gives what `function(inputs, outputs)` returns.

    A nested model has a graph of its own, so that no `keras.Model` leads from the outer model's
    input to an inner layer's output. A call of the layer is the same everywhere.

    Args:
        layer: A layer of the model that is then called, eagerly, and in this thread alone.
        function: Takes the first tensor that the layer takes, and what the layer returns.
    """
    call, before = layer.call, vars(layer).get("call")  # `before` is set within another `watching`

    def watched(*args, **kwargs):
        return function(keras.tree.flatten((args, kwargs))[0], call(*args, **kwargs))

    layer.call = watched
    try:
        yield
    finally:
        if before is None:
            del layer.call  # that of the class again
        else:
            layer.call = before


def layers_of(whole: keras.layers.Layer, prefix: str = "") -> dict[keras.layers.Layer, str]:
    """Returns the layers in a model or layer, each with its address, such as `"outer/inner"`.

    Unlike `layer.path`, that of a layer that has no weights is known too.
    """
    found: dict[keras.layers.Layer, str] = {}
    for layer in whole._flatten_layers(include_self=False, recursive=False):
        address = f"{prefix}{layer.name}"
        for part, name in {layer: address, **layers_of(layer, f"{address}/")}.items():
            found.setdefault(part, name)
    return found
