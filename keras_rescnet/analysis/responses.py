"""What the last block's responses are like: how Gaussian, and how well they tell classes apart."""

import dataclasses

import keras
import numpy as np
from keras import layers

from keras_rescnet import data
from keras_rescnet.analysis.normality import gaussian_distance, normality, scatter
from keras_rescnet.layers import GCLU
from keras_rescnet.mistake import Mistake

_ACTIVATIONS = (
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.PReLU,
    layers.ELU,
    GCLU,
)


_PASSED = (
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.LayerNormalization,  # of all blocks together, in transformers
    layers.Reshape,
    layers.ZeroPadding2D,
)


def response_model(model, layer=None):
    """Returns a model from images to responses `(N, C)`, with a copy of the weights of `model`.

        r[n, c] = mean over positions of x[n, ..., c]

    where `x` is the last map or sequence in the model, before its activation if it has one.

    Reference:
        Xu et al., "Deep feature response discriminative calibration", Neurocomputing 615
        (2025) 128848, Figures 2 and 5; `src/classification/get_feature.py` of
        github.com/tcmyxc/CV-Tutorial, which takes the last block's activation away.

    Args:
        model: A functional or sequential classifier, channels last.
        layer: Name of the layer whose output is `x`, instead.

    Raises:
        ValueError: if there is no such layer, or no map or sequence in the model.
    """
    if not getattr(model, "inputs", None):
        raise Mistake(
            "Responses need a functional or sequential model. "
            f"Received: {model.name} of {type(model).__name__}."
        )
    copy = keras.models.clone_model(model)  # in it, every layer is called once
    copy.set_weights(model.get_weights())
    if layer is None:
        x = _before_last_activation(copy)
    elif layer in (own.name for own in copy.layers):
        x = copy.get_layer(layer).output
    else:
        raise Mistake(f"{model.name} has no layer of this name. Received: {layer!r}.")
    x = keras.ops.cast(x, "float32")
    responses = keras.ops.mean(x, axis=tuple(range(1, len(x.shape) - 1)))
    return keras.Model(copy.inputs[0], responses, name=f"{model.name}_responses")


def _before_last_activation(model):
    maps = [own for own in model.layers if len(_call(own).outputs[0].shape) in (3, 4)]
    maps = [own for own in maps if not isinstance(own, layers.InputLayer)]
    if not maps:
        raise Mistake(
            f"A model must have a map (N, H, W, C) or a sequence. Received: {model.name}."
        )
    makers = {id(_call(own).outputs[0]): own for own in maps}
    last = maps[-1]
    while isinstance(last, _PASSED) and id(_call(last).input_tensors[0]) in makers:
        last = makers[id(_call(last).input_tensors[0])]
    given = _call(last).input_tensors[0]
    if isinstance(last, keras.Model):
        return keras.Model(last.inputs[0], _before_last_activation(last))(given)
    if isinstance(last, _ACTIVATIONS):
        return given
    if getattr(last, "activation", keras.activations.linear) is not keras.activations.linear:
        linear = type(last).from_config({**last.get_config(), "activation": "linear"})
        x = linear(given)
        linear.set_weights(last.get_weights())
        return x
    return _call(last).outputs[0]


def _call(layer):
    # The public `input` and `output` of a model in a model are its own, not those of the call.
    return layer._inbound_nodes[-1]


def responses(model, examples, images=None, batch_size=128):
    """Returns the responses of a `response_model`, `(N, C)` float32, and the classes, `(N,)`.

    Args:
        model: What `response_model` returns.
        examples: What `keras_rescnet.data.load` returns.
        images: How many, from the first on; all by default.
        batch_size: Images at a time.
    """
    values, labels = [], []
    batches = data.evaluation_batches(examples, batch_size=batch_size)
    if images is not None:
        batches = batches.take(-(-images // batch_size))
    for batch in batches.as_numpy_iterator():
        kept = batch["weights"] > 0
        values.append(model.predict_on_batch(batch["images"])[kept])
        labels.append(batch["labels"][kept].argmax(1))
    return np.concatenate(values)[:images], np.concatenate(labels)[:images]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Responses of one model and what was measured of them, a number for each channel."""

    values: np.ndarray  # (N, C)
    skewness: np.ndarray
    excess_kurtosis: np.ndarray
    ks_distance: np.ndarray
    discriminability: np.ndarray
    overall_discriminability: float  # of all channels together


def measure(values, labels):
    """Returns what is `Measured` of responses `(N, C)` and classes `(N,)`."""
    between, within = scatter(values, labels)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = between / within
    return Measured(
        values,
        *np.transpose([normality(column) for column in values.T]),
        discriminability=ratio,
        overall_discriminability=float(between.sum() / within.sum()),
    )


def describe(name, measured):
    """Returns what the numbers of a model say, in words."""
    count, channels = measured.values.shape
    limit = gaussian_distance(count)
    near = int((measured.ks_distance <= limit).sum())
    rows = {
        "skewness": f"{np.nanmedian(measured.skewness):+.3f}  "
        "0: symmetric; above: a longer tail of strong responses; below: of weak ones",
        "excess kurtosis": f"{np.nanmedian(measured.excess_kurtosis):+.3f}  "
        "0: tails of a Gaussian; above: heavier; below: lighter",
        "KS distance": f"{np.nanmedian(measured.ks_distance):6.3f}  "
        "largest gap between the share of responses up to a value and a Gaussian's share",
        "between / within": f"{measured.overall_discriminability:6.3f}  "
        "of all channels together: variance of class means over variance inside of classes",
    }
    lines = [f"{name}: {channels} channels, {count:,} images; medians over channels:"]
    lines += [f"  {what:<17} {text}" for what, text in rows.items()]
    lines.append(
        f"  {near} of {channels} channels are as near to a Gaussian as 95 % of samples of one "
        f"are (KS distance up to {limit:.3f})."
    )
    return "\n".join(lines)
