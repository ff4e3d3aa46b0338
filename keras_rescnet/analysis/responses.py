"""The responses of the last block: how Gaussian they are, and how well they separate classes."""

import dataclasses
import typing

import keras
import numpy as np
from keras import layers, tree

from keras_rescnet.analysis.evaluation import predictions
from keras_rescnet.analysis.normality import gaussian_distance, normality, scatter
from keras_rescnet.layers import GCLU
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.surgery.activations import activation_name

_ACTIVATIONS = (
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.PReLU,
    layers.ELU,
    GCLU,
)

# Layers behind the last block's activation that are not part of a block
_TRANSPARENT = (
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.LayerNormalization,  # of all blocks together, in transformers
    layers.Reshape,
    layers.ZeroPadding2D,
)
# The same as operations: `keras.ops.max_pool(x)` leaves a `MaxPool` in the graph
_TRANSPARENT_OPERATIONS = ("AveragePool", "Cast", "MaxPool", "Pad", "Reshape")


def is_transparent(operation: keras.Operation) -> bool:
    """Returns whether an operation behind the last block's activation is not part of a block."""
    name = type(operation).__name__
    is_layer = isinstance(operation, layers.Layer)
    return isinstance(operation, _TRANSPARENT) if is_layer else name in _TRANSPARENT_OPERATIONS


def response_model(model, layer=None):
    """Returns a model from images to responses `(N, C)`, with a copy of the weights of `model`.

        r[n, c] = mean over positions of x[n, ..., c]

    where `x` is the last map or sequence in the model, before its activation if it has one.

    Reference:
        Xu et al., "Deep feature response discriminative calibration", Neurocomputing 615
        (2025) 128848, Figures 2 and 5; `src/classification/get_feature.py` of
        github.com/tcmyxc/CV-Tutorial, which leaves the last block's activation out.

    Args:
        model: A functional or sequential classifier, channels last.
        layer: Name of the layer whose output is `x`, instead.

    Raises:
        Mistake: If there is no such layer, or no map or sequence in the model.
    """
    if not isinstance(model, keras.Sequential) and not getattr(model, "inputs", None):
        raise Mistake(
            "Responses need a functional or sequential model. "
            f"Received: {model.name} of {type(model).__name__}."
        )
    inputs, calls = _copy(model)
    if layer is None:
        x = _before_last_activation(calls, model.name)
    else:
        named = {call.layer.name: call.output for call in calls}
        if layer not in named:
            raise Mistake(
                f"{model.name} has no layer of this name. Received: {shorten(layer)}. "
                f"The last ones are {', '.join(list(named)[-5:])}."
            )
        x = named[layer]
    x = keras.ops.cast(x, "float32")
    if len(x.shape) < 3:
        raise Mistake(
            "`layer` must give a map (N, H, W, C) or a sequence (N, T, C). "
            f"Received: layer={shorten(layer)}, whose output is of shape {tuple(x.shape)}."
        )
    responses = keras.ops.mean(x, axis=tuple(range(1, len(x.shape) - 1)))
    return keras.Model(inputs, responses, name=f"{model.name}_responses")


class _Call(typing.NamedTuple):
    """A call of an operation of a copied model: its first input and its first output."""

    layer: keras.Operation
    input: keras.KerasTensor
    output: keras.KerasTensor


def _copy(model):
    """Returns the input of a copy of `model`, and the calls of its operations in their order."""
    calls = []

    def call(layer, *args, **kwargs):
        output = layer(*args, **kwargs)
        given = [x for x in tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
        calls.append(_Call(layer, given[0], tree.flatten(output)[0]))
        return output

    if isinstance(model, keras.Sequential):
        copy = keras.models.clone_model(model)
        x = copy.inputs[0]
        for layer in copy.layers:
            x = call(layer, x)
    else:
        copy = keras.models.clone_model(model, call_function=call)
    copy.set_weights(model.get_weights())
    return copy.inputs[0], calls


def _before_last_activation(calls, name):
    maps = list(filter(_has_map, calls))
    if not maps:
        raise Mistake(
            "A model must have a map (N, H, W, C) or a sequence (N, T, C). "
            f"Received: {name}, which has none."
        )
    maker_of = {id(call.output): call for call in maps}
    last = maps[-1]
    while is_transparent(last.layer) and id(last.input) in maker_of:
        last = maker_of[id(last.input)]
    if isinstance(last.layer, keras.Model):
        inputs, inner = _copy(last.layer)
        return keras.Model(inputs, _before_last_activation(inner, last.layer.name))(last.input)
    is_layer = isinstance(last.layer, layers.Layer)
    if isinstance(last.layer, _ACTIVATIONS) or (not is_layer and activation_name(last.layer)):
        return last.input
    linear = keras.activations.linear
    if getattr(last.layer, "activation", linear) is not linear:
        config = {**last.layer.get_config(), "activation": "linear"}
        without_activation = type(last.layer).from_config(config)
        x = without_activation(last.input)
        without_activation.set_weights(last.layer.get_weights())
        return x
    return last.output


def _has_map(call):
    """Returns whether a call returns a map or a sequence, or is of a model that has one inside."""
    sides = call.output.shape[1:-1]
    if len(sides) in (1, 2) and any(side is None or side > 1 for side in sides):
        return True
    is_nested = isinstance(call.layer, keras.Model) and getattr(call.layer, "inputs", None)
    return bool(is_nested) and any(map(_has_map, _copy(call.layer)[1]))


def responses(model, examples, images=None, batch_size=128):
    """Returns the responses of a `response_model`, `(N, C)` float32, and the classes, `(N,)`.

    Of pictures with any number of tags, the tags, `(N, tags)`.

    Args:
        model: What `response_model` returns.
        examples: What `keras_rescnet.data.load` returns.
        images: How many, from the first on; all by default.
        batch_size: Images per step.
    """
    values, classes, count = [], [], 0
    for outputs, labels in predictions(model, examples, batch_size):
        values.append(outputs)
        classes.append(labels if examples.dataset.multi_label else labels.argmax(1))
        count += len(labels)
        if images is not None and count >= images:
            break
    return np.concatenate(values)[:images], np.concatenate(classes)[:images]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Responses of one model and what was measured of them, one number per channel."""

    values: np.ndarray  # (N, C)
    skewness: np.ndarray
    excess_kurtosis: np.ndarray
    ks_distance: np.ndarray
    discriminability: np.ndarray
    overall_discriminability: float  # of all channels together


def measure(values, labels) -> Measured:
    """Returns what is `Measured` of responses `(N, C)` and classes `(N,)` or tags `(N, tags)`.

    Of tags, a picture counts in the scatter once for each tag that it has.
    """
    if labels.ndim == 2:
        rows, tags = np.nonzero(labels)
        between, within = scatter(values[rows], tags)
    else:
        between, within = scatter(values, labels)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = between / within
        overall = float(between.sum() / within.sum())
    skewness, excess_kurtosis, ks_distance = np.transpose([normality(c) for c in values.T])
    return Measured(
        values=values,
        skewness=skewness,
        excess_kurtosis=excess_kurtosis,
        ks_distance=ks_distance,
        discriminability=ratio,
        overall_discriminability=overall,
    )


def describe(name: str, measured: Measured) -> str:
    """Returns what the numbers of a model mean, in words."""
    count, channels = measured.values.shape
    limit = gaussian_distance(count)
    near = int((measured.ks_distance <= limit).sum())
    rows = {
        "skewness": f"{_median(measured.skewness):+.3f}  "
        "0: symmetric; above: a longer tail of strong responses; below: of weak ones",
        "excess kurtosis": f"{_median(measured.excess_kurtosis):+.3f}  "
        "0: tails of a Gaussian; above: heavier; below: lighter",
        "KS distance": f"{_median(measured.ks_distance):6.3f}  "
        "largest gap between the share of responses up to a value and a Gaussian's share",
        "between / within": f"{measured.overall_discriminability:6.3f}  "
        "of all channels together: variance between class means over variance within classes",
    }
    lines = [f"{name}: {channels} channels, {count:,} images; medians over channels:"]
    lines += [f"  {what:<17} {text}" for what, text in rows.items()]
    lines.append(
        f"  {near} of {channels} channels are as near to a Gaussian as 95 % of Gaussian samples "
        f"are (KS distance up to {limit:.3f})."
    )
    return "\n".join(lines)


def _median(values):
    """The median without NaNs, without numpy's warning where there are only NaNs."""
    kept = values[~np.isnan(values)]
    return float(np.median(kept)) if len(kept) else float("nan")
