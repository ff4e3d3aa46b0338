"""A model made again with the changes of a plan, and the weights carried over."""

from typing import Any

import keras

from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.models.blocks import calibrated
from keras_rescnet.surgery.activations import (
    activates_last,
    activation_layer,
    only_activates,
    policy_of,
)
from keras_rescnet.surgery.graph import functional, is_graph
from keras_rescnet.surgery.plan import Place, Plan


class Rebuild:
    """One rebuilding of a model; nested models are rebuilt with it.

    Layers are paired with those they were made from: in a functional model layers are sorted by
    depth, so that a calibration in a branch changes their order, and with it that of the weights.

    Args:
        plan: What to change.
        activation: What replaces activations.
        calibration: What makes the calibration layers.
    """

    def __init__(self, plan: Plan, activation: Any, calibration: Any):
        self.plan, self.activation, self.calibration = plan, activation, calibration
        self._new: dict[keras.Operation, keras.Operation] = {}  # by the old
        self._old: dict[keras.Operation, keras.Operation] = {}  # by the new
        self._split: dict[keras.Operation, keras.Layer] = {}  # activations that were arguments
        self._inner: set[keras.Layer] = set()  # activations that are layers within a new layer
        places = [place for places in plan.places.values() for place in places]
        self._waiting: dict[keras.Operation, Any] = {
            old: 0 for place in places for old in place.last
        }

    def model(self, model: keras.Model) -> keras.Model:
        """Returns the model with the changes, and with the weights that new layers start with."""
        view = functional(model)
        # The inputs that Keras would make have other names, and are not `optional`.
        inputs = keras.tree.map_structure(_new_input, view.input)
        return keras.models.clone_model(view, inputs, self._operation, self._call)

    def carry_weights(self) -> None:
        """Gives every layer the state of the layer it was made from, as a `.keras` file would."""
        owners: dict[int, str] = {}
        for old, new in self._new.items():
            if type(new) is not type(old) or is_graph(old) or not isinstance(old, keras.Layer):
                continue
            for variable in old.variables:
                if (owner := owners.setdefault(id(variable), old.name)) != old.name:
                    raise Mistake(
                        "Layers must not share a weight, which would become two. "
                        f"Received: {variable.path} of {owner} and {old.name}."
                    )
            try:
                parts = [part for part in _with_weights(new) if part not in self._inner]
                for one, two in zip(_with_weights(old), parts, strict=True):
                    state: dict[str, Any] = {}
                    one.save_own_variables(state)
                    two.load_own_variables(state)
                    two.trainable = one.trainable
            except ValueError as error:
                raise _not_made_again(old, error) from None

    def _operation(self, old: keras.Operation) -> keras.Operation:
        if old not in self._new:
            self._new[old] = new = self.model(old) if is_graph(old) else self._copy(old)
            self._old[new] = old
        return self._new[old]

    def _copy(self, old: keras.Operation) -> keras.Operation:
        replaced = old in self.plan.activations
        if replaced and only_activates(old):
            return activation_layer(self.activation, old, old.name)
        activation = keras.activations.linear if self._is_split(old) else self.activation
        if replaced and isinstance(activation, keras.Layer):  # which `old` uses inside
            activation = activation_layer(activation, old, f"{old.name}_activation")
            self._inner.add(activation)
        change = {"activation": activation} if replaced or self._is_split(old) else {}
        try:
            return type(old).from_config({**old.get_config(), **change})
        except (NotImplementedError, TypeError, ValueError) as error:
            raise _not_made_again(old, error) from None

    def _is_split(self, old: keras.Operation) -> bool:
        """Returns whether an activation that is an argument, as of `Conv2D`, becomes a layer."""
        replaced = old in self.plan.activations and isinstance(self.activation, keras.Layer)
        inside = any(place.end is old for place in self.plan.places.get(old, ()))
        return activates_last(old) and (replaced or inside)

    def _call(self, new: keras.Operation, *args, **kwargs) -> Any:
        old = self._old[new]
        places = self.plan.places.get(old, [])
        if self._is_split(old):
            x = new(*args, **kwargs)
            for place in places:
                x = self._calibrated(old.name, place, [x])
            if old not in self._split:
                activation = self.activation if old in self.plan.activations else old.activation
                self._split[old] = activation_layer(activation, old, f"{old.name}_activation")
            return self._split[old](x)
        if old in self._waiting:
            self._waiting[old] = lambda x: new(x, *args[1:], **kwargs)
            return args[0]
        values = keras.tree.flatten((args, kwargs))
        tensors = [i for i, value in enumerate(values) if isinstance(value, keras.KerasTensor)]
        for place in places:
            name = f"{old.name}_{place.index}" if len(places) > 1 else old.name
            values[tensors[place.index]] = self._calibrated(
                name, place, [values[i] for i in tensors]
            )
        args, kwargs = keras.tree.pack_sequence_as((args, kwargs), values)
        return new(*args, **kwargs)

    def _calibrated(self, name: str, place: Place, tensors: list) -> keras.KerasTensor:
        """Returns a tensor calibrated, after the operations that stay last in its branch."""
        x = tensors[place.index]
        identity = (lambda: tensors[1 - place.index]) if place.shortcut else None
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy_of(place.end))
        try:
            y = calibrated(x, self.calibration, name, identity)
            if (y.shape, y.dtype) != (x.shape, x.dtype):
                raise Mistake(
                    "the calibration must keep shape and dtype. "
                    f"Received: {y.shape}, {y.dtype} in place of {x.shape}, {x.dtype}."
                )
        except Mistake as mistake:
            raise Mistake(f"{name} cannot be calibrated: {mistake}") from None
        finally:
            keras.config.set_dtype_policy(policy)
        for old in place.last:
            y = self._waiting[old](y)
        return y


def _not_made_again(layer: keras.Operation, error: Exception) -> Mistake:
    return Mistake(
        f"The layer {layer.name} is not made again, with the same weights, by its config: "
        f"{shorten(error, str)} Received: a layer of type {type(layer).__name__}."
    )


def _with_weights(layer: keras.Layer) -> list[keras.Layer]:
    return [part for part in layer._flatten_layers() if part.weights]


def _new_input(tensor: keras.KerasTensor) -> keras.KerasTensor:
    layer = tensor._keras_history.operation
    return type(layer).from_config(layer.get_config()).output
