"""Which places of a picture a classifier looks at: Grad-CAM, and the gain of RC Layers."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from keras_rescnet.analysis.derivatives import gradient
from keras_rescnet.analysis.responses import is_transparent
from keras_rescnet.analysis.watching import layers_of, watching
from keras_rescnet.layers import RCLayer
from keras_rescnet.mistake import Mistake, nearest, shorten
from keras_rescnet.models.parts import activates_with, last_operation


def grad_cam(model: keras.Model, images, classes=None, layer: str | None = None) -> np.ndarray:
    """Returns where in images the evidence for a class is: Grad-CAM.

    With `A` the `K` maps that a layer returns, and `y_c` the logit of the class,

        alpha_k = mean over i, j of d y_c / d A_ijk                    (N, K)
        map_ij  = relu(sum_k alpha_k A_ijk)                            (N, H, W)

    The model is called as it is, in inference, so that models of every kind will do, with other
    models nested in them to any depth. A softmax, log-softmax or sigmoid at the end, as a layer, an
    operation or an activation of the last layer, is left out.

    Reference:
        Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based
        localization", ICCV 2017, Eqs. 1 and 2.

    Args:
        model: A classifier of images, channels last, which returns `(N, classes)`.
        images: As the model takes them, `(N, height, width, C)`.
        classes: The class of each image, `(N,)`, or one for all. Defaults to `None`, the likeliest.
        layer: Name of the layer, or `"outer/inner"` in nested models; of one that is called several
            times, the last call counts. Defaults to `None`, the last that returns a map and does
            not only pool or pad it.

    Returns:
        Maps `(N, H, W)` of the size of the layer's, float32, in units of the logit.

    Raises:
        Mistake: If there is no such layer or class, or Keras runs on another backend than
            TensorFlow and JAX.

    Example:

    >>> model = kr.models.CifarResNet8(activation=kr.gclu)
    >>> images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    >>> kr.grad_cam(model, images).shape
    (2, 8, 8)
    >>> kr.grad_cam(model, images, classes=[3, 7], layer="stage1_block1_add").shape
    (2, 32, 32)
    """
    images = _batch(images)
    with _logits_of(model):
        maps, logits = _maps(model, images)
        target = _target(model, maps, layer)
        shapes = [shape for called, shape in maps if called is target]
        chosen = np.eye(logits.shape[-1], dtype="float32")[_indices(classes, logits)]
        values = None

        def score(changes):
            calls = itertools.count(1)

            def change(_, outputs):
                nonlocal values
                if next(calls) < len(shapes):
                    return outputs
                values = outputs
                return outputs + ops.cast(changes[0], outputs.dtype)

            with watching(target, change):
                outputs = model(images, training=False)
            return ops.sum(ops.cast(outputs, "float32") * chosen)

        (slopes,) = gradient(score, [ops.zeros(shapes[-1], "float32")])
    weights = ops.convert_to_numpy(slopes).mean((1, 2))
    values = ops.convert_to_numpy(ops.cast(values, "float32"))
    return np.maximum(np.einsum("nhwk,nk->nhw", values, weights), 0.0)


def rc_maps(model: keras.Model, images) -> dict[str, np.ndarray]:
    """Returns where in images the RC Layers of a model strengthen responses.

        map_ij = mean over channels of Phi(-|z_ijc|)                   (N, H, W)

    It lies between 0 and 1/2: 1/2 where all responses are the means of their channels, which are
    those that the layer takes for typical, and near 0 where all are far from them. Of a layer with
    `gated=True` it is the gain before the gate.

    Reference:
        Xu et al., "Deep feature response discriminative calibration", Neurocomputing 615
        (2025) 128848, Eq. 4.

    Args:
        model: A model of any kind with `kr.layers.RCLayer`, in nested models too.
        images: As the model takes them, `(N, height, width, C)`.

    Returns:
        Maps by the address of the layer, such as `"outer/inner"`, in the order of their calls, each
        of the size of the layer's, float32; of a layer that is called several times, those of the
        last call.

    Raises:
        Mistake: If the model has no RC Layer.

    Example:

    >>> model = kr.models.CifarResNet8(calibration=kr.layers.RCLayer)
    >>> maps = kr.rc_maps(model, np.zeros((2, 32, 32, 3), "float32"))
    >>> {name: map.shape for name, map in maps.items()}["stage3_block1_calibration"]
    (2, 8, 8)
    """
    addresses = layers_of(model)
    layers = [layer for layer in addresses if isinstance(layer, RCLayer)]
    if not layers:
        raise Mistake(
            f"A model must have an RC Layer for its map. Received: {model.name}, which has none."
        )
    maps: dict[str, np.ndarray] = {}

    def watch(layer):
        def note(inputs, outputs):
            gain = ops.cast(ops.mean(layer.gain(inputs), axis=-1), "float32")
            maps[addresses[layer]] = ops.convert_to_numpy(gain)
            return outputs

        return watching(layer, note)

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(watch(layer))
        model(_batch(images), training=False)
    return maps


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What is drawn of one picture.

    Args:
        label: Index of the class.
        probability: That the model gives it.
        maps: `(H, W)` each, by "Grad-CAM" and "RC map" and the name of the layer.
    """

    label: int
    probability: float
    maps: dict[tuple[str, str], np.ndarray]


def explain(
    model, images, label=None, layer=None, rc_layer=None, multi_label=False, batch_size=8
) -> list[Explanation]:
    """Returns the `Explanation` of every image, with the RC map if the model has an RC Layer.

    Args:
        model: As for `grad_cam`.
        images: As the model takes them.
        label: Index of the class; the likeliest of each image if `None`.
        layer: As for `grad_cam`.
        rc_layer: Name or address of the RC Layer; the last if `None`.
        multi_label: Whether a picture has any number of classes.
        batch_size: Images per call of the model.
    """
    addresses = _operations_of(model)
    calibrated = any(isinstance(part, RCLayer) for part in addresses)
    found = []
    for start in range(0, len(images), batch_size):
        batch = _batch(images[start : start + batch_size])
        with _logits_of(model) as left_out:
            maps, logits = _maps(model, batch)
            target = addresses[_target(model, maps, layer)]
        alone = multi_label or left_out == "sigmoid" or logits.shape[-1] == 1
        shares = keras.activations.sigmoid if alone else keras.activations.softmax
        probabilities = ops.convert_to_numpy(shares(ops.cast(logits, "float32")))
        labels = _indices(label, logits)
        drawn = {("Grad-CAM", target): grad_cam(model, batch, labels, target)}
        if calibrated or rc_layer is not None:
            gains = rc_maps(model, batch)
            name = list(gains)[-1] if rc_layer is None else _address(model, gains, rc_layer)
            drawn["RC map", name] = gains[name]
        for row, number in enumerate(labels):
            parts = {key: values[row] for key, values in drawn.items()}
            found.append(Explanation(int(number), float(probabilities[row, number]), parts))
    return found


def _batch(images):
    images = np.asarray(images)
    if images.ndim != 4:
        raise Mistake(
            "`images` must be of shape (N, height, width, channels). "
            f"Received: images of shape {images.shape}."
        )
    return images


def _maps(model, images):
    """Returns what returns maps or sequences, with their shapes by call, and the logits."""
    found = []

    def watch(layer):
        def note(_, outputs):
            shape = tuple(getattr(outputs, "shape", ()))
            if len(shape) in (3, 4) and max(shape[1:-1]) > 1:
                found.append((layer, shape))
            return outputs

        return watching(layer, note)

    with contextlib.ExitStack() as stack:
        for layer in _operations_of(model):
            if not isinstance(layer, keras.Model):
                stack.enter_context(watch(layer))
        logits = model(images, training=False)
    if len(getattr(logits, "shape", ())) != 2:
        raise Mistake(
            "A model must return logits (N, classes). "
            f"Received: {model.name}, which returns {shorten(logits, length=60)}."
        )
    rows = ops.convert_to_numpy(ops.cast(logits, "float32"))
    add_up = rows.shape[1] > 1 and (rows >= 0).all() and np.allclose(rows.sum(1), 1.0, atol=1e-2)
    linear = getattr(last_operation(model), "activation", None) is keras.activations.linear
    if add_up and not linear:  # a softmax that `_logits_of` does not find
        raise Mistake(
            "A model must return logits (N, classes): take its softmax off. "
            f"Received: {model.name}, which returns probabilities."
        )
    return found, logits


def _operations_of(model):
    """Returns `layers_of` a model, and the operations such as `x + y` in the graphs of models."""
    found = layers_of(model)
    for whole, address in {model: "", **found}.items():
        prefix = f"{address}/" if address else ""
        for operation in whole.operations if isinstance(whole, keras.Function) else ():
            found.setdefault(operation, prefix + operation.name)
    return found


def _target(model, maps, layer):
    """Returns the layer or operation of a name, or the last that makes a map."""
    if layer is not None:
        addresses = _operations_of(model)
        named = {addresses[called]: called for called, shape in maps if len(shape) == 4}
        return named[_address(model, named, layer)]
    made = [(called, shape) for called, shape in maps if not is_transparent(called)]
    if not made or len(made[-1][1]) != 4:
        last = f"whose last are of shape {made[-1][1]}" if made else "which has none"
        raise Mistake(
            "Grad-CAM needs maps (N, H, W, C): name a layer that has them. "
            f"Received: {model.name}, {last}."
        )
    return made[-1][0]


def _address(model, known, name):
    """Returns the address that a name means: the last one that is it, or ends in it."""
    fitting = [address for address in known if f"/{address}".endswith(f"/{name}")]
    if not fitting:
        near = f" Nearest: {nearest(name, known)}." if known else ""
        raise Mistake(
            f"{model.name} has no layer of this name that would do. "
            f"Received: {shorten(name)}.{near}"
        )
    return fitting[-1]


def _indices(classes, logits):
    """Returns the class of each row of logits."""
    rows, count = logits.shape
    if classes is None:
        return ops.convert_to_numpy(ops.argmax(logits, axis=-1))
    indices = np.asarray(classes)
    fits = indices.dtype.kind in "iu" and indices.shape in ((), (rows,))
    if not fits or not ((0 <= indices) & (indices < count)).all():
        raise Mistake(
            f"`classes` must be numbers from 0 to {count - 1}, one or as many as images, {rows}. "
            f"Received: classes={shorten(classes)}."
        )
    return np.broadcast_to(indices, (rows,))


@contextlib.contextmanager
def _logits_of(model) -> Iterator[str | None]:
    """Within it, a model that ends in a softmax or sigmoid returns what it is applied to.

    Yields the name of what is left out.
    """
    last = last_operation(model)
    activation, name = getattr(last, "activation", None), activates_with(last)
    if name not in ("softmax", "log_softmax", "logsoftmax", "sigmoid"):
        yield None
    elif activation is not None:
        last.activation = keras.activations.linear
        try:
            yield name
        finally:
            last.activation = activation
    else:
        with watching(last, lambda inputs, _: inputs):
            yield name
