"""A model made again with the changes of a plan, and the weights carried over."""

from typing import Any

import keras

from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.models.blocks import calibrated
from keras_rescnet.surgery.activations import (
    ACTIVATE_AT_THE_END,
    activation_layer,
    only_activates,
    with_activation,
)
from keras_rescnet.surgery.graph import functional, is_graph
from keras_rescnet.surgery.places import Place
from keras_rescnet.surgery.plan import Plan


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
        self.plan = plan
        self.activation = activation
        self.calibration = calibration
        self._new: dict[int, keras.Operation] = {}  # by the id of the old
        self._old: dict[int, keras.Operation] = {}  # by the id of the new
        self._split: dict[int, keras.Layer] = {}  # activations that were arguments, by the same
        self._last: dict[int, Any] = {  # calls to make after a calibration
            id(operation): None
            for places in plan.places.values()
            for place in places
            for operation in place.last
        }

    def model(self, model: keras.Model) -> keras.Model:
        """Returns the model with the changes, and the weights that new layers start with."""
        view = functional(model)
        return keras.models.clone_model(
            view,
            input_tensors=keras.tree.map_structure(_input_like, view.input),
            clone_function=self._operation,
            call_function=self._call,
        )

    def carry_weights(self) -> None:
        """Gives every layer the state of the layer it was made from, as a `.keras` file would."""
        owners: dict[int, str] = {}
        for new in self._new.values():
            old = self._old[id(new)]
            if type(new) is not type(old) or is_graph(old) or not isinstance(old, keras.Layer):
                continue
            for variable in old.variables:
                owner = owners.setdefault(id(variable), old.name)
                if owner != old.name:
                    raise Mistake(
                        "Layers must not share a weight, which would become two. "
                        f"Received: {variable.path} of {owner} and {old.name}."
                    )
            if _weights(old) != _weights(new):
                raise Mistake(
                    f"The layer {old.name} must make the same weights again from its config. "
                    f"Received: {shorten(_weights(new))} in place of {shorten(_weights(old))}."
                )
            for before, after in zip(_weighted(old), _weighted(new), strict=True):
                state: dict[str, Any] = {}
                before.save_own_variables(state)
                after.load_own_variables(state)

    def _operation(self, old: keras.Operation) -> keras.Operation:
        if id(old) not in self._new:
            new = self._copy(old)
            self._new[id(old)] = new
            self._old[id(new)] = old
        return self._new[id(old)]

    def _copy(self, old: keras.Operation) -> keras.Operation:
        if is_graph(old):
            return self.model(old)
        try:
            if self._is_split(old):
                return with_activation(old, keras.activations.linear)
            if id(old) in self.plan.activations and only_activates(old):
                return activation_layer(self.activation, old, old.name)
            if id(old) in self.plan.activations:
                return with_activation(old, self.activation)
            return type(old).from_config(old.get_config())
        except (NotImplementedError, TypeError, ValueError) as error:
            raise Mistake(
                f"The layer {old.name} cannot be made again from its config: "
                f"{shorten(error, str)}. Received: a layer of type {type(old).__name__}."
            ) from None

    def _is_split(self, old: keras.Operation) -> bool:
        """Returns whether an activation that is an argument, as of `Conv2D`, becomes a layer."""
        if not isinstance(old, ACTIVATE_AT_THE_END):
            return False
        replaced = id(old) in self.plan.activations and isinstance(self.activation, keras.Layer)
        return replaced or any(place.end is old for place in self.plan.places.get(id(old), ()))

    def _call(self, new: keras.Operation, *args, **kwargs) -> Any:
        old = self._old[id(new)]
        places = self.plan.places.get(id(old), [])
        if self._is_split(old):
            x = new(*args, **kwargs)
            for place in places:
                x = self._calibrated(place, [x], "")
            if id(old) not in self._split:
                activation = self.activation if id(old) in self.plan.activations else old.activation
                name = f"{old.name}_activation"
                self._split[id(old)] = activation_layer(activation, old, name)
            return self._split[id(old)](x)
        if id(old) in self._last:
            self._last[id(old)] = lambda x: new(x, *args[1:], **kwargs)
            return args[0]
        flat = keras.tree.flatten((args, kwargs))
        tensors = [i for i, x in enumerate(flat) if isinstance(x, keras.KerasTensor)]
        for place in places:
            number = f"_{place.index}" if len(places) > 1 else ""
            x = self._calibrated(place, [flat[i] for i in tensors], number)
            flat[tensors[place.index]] = x
        args, kwargs = keras.tree.pack_sequence_as((args, kwargs), flat)
        return new(*args, **kwargs)

    def _calibrated(self, place: Place, tensors: list, number: str) -> keras.KerasTensor:
        """Returns a tensor calibrated, after the operations that stay last in its branch."""
        x = tensors[place.index]
        identity = (lambda: tensors[1 - place.index]) if place.shortcut else None
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(getattr(place.end, "dtype_policy", policy))
        try:
            y = calibrated(x, self.calibration, f"{place.reader.name}{number}", identity)
        except Mistake as mistake:
            raise Mistake(f"{place.reader.name} cannot be calibrated: {mistake}") from None
        finally:
            keras.config.set_dtype_policy(policy)
        if (y.shape, y.dtype) != (x.shape, x.dtype):
            raise Mistake(
                f"{place.reader.name} cannot be calibrated: the calibration must keep shape and "
                f"dtype. Received: {y.shape}, {y.dtype} in place of {x.shape}, {x.dtype}."
            )
        for operation in place.last:
            y = self._last[id(operation)](y)
        return y


def _weights(layer: keras.Layer) -> list[tuple[str, tuple[int, ...]]]:
    return [(weight.name, tuple(weight.shape)) for weight in layer.weights]


def _weighted(layer: keras.Layer) -> list[keras.Layer]:
    return [part for part in layer._flatten_layers() if part.weights]


def _input_like(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Returns a new input; the one that `clone_model` would make forgets `optional`."""
    layer = tensor._keras_history.operation
    return keras.Input(
        batch_shape=tensor.shape,
        dtype=tensor.dtype,
        sparse=tensor.sparse,
        optional=layer.optional,
        name=layer.name,
    )
