"""What a gradient step loses because it moves all weights at once."""

import dataclasses
import math
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_rescnet.analysis.derivatives import compiled, gradient, twice_differentiable
from keras_rescnet.mistake import Mistake

ALL = "all layers"  # the name of the sum over them


class Surface:
    """The loss of a batch as a function of a model's trainable weights, as in a step of training.

        L(w) = mean over n of loss(labels_n, model(images_n; w))

    Batch normalization normalizes by the batch, and keeps its moving statistics as they are.
    Dropout draws one mask, the same at every call.

    Args:
        model: From images to logits.
        loss: Function of labels and logits to `(N,)`, and of the teacher's logits if there is one.
        teacher: From images to logits, or `None`.

    Attributes:
        weights: The trainable weights, a list of tensors.
        layers: The path of the layer of each.
        loss: Function of weights and a batch, `(images, labels)`, to the loss.
        gradient: Function of weights and a batch to `g`, a list of the shapes of the weights.
        product: Function of weights, a batch and such a list `v` to `H v`, `H` being the Hessian.
    """

    def __init__(self, model: keras.Model, loss: Callable, teacher: keras.Model | None = None):
        variables = model.trainable_variables
        self.weights = [ops.convert_to_tensor(variable.value) for variable in variables]
        self.layers = [variable.path.rpartition("/")[0] for variable in variables]
        state = [ops.convert_to_tensor(v.value) for v in model.non_trainable_variables]

        def value(weights, batch):
            images, labels = batch
            with twice_differentiable():
                logits, _ = model.stateless_call(weights, state, images, training=True)
            others = [] if teacher is None else [teacher(images, training=False)]
            return ops.mean(loss(labels, logits, *others))

        def slopes(weights, batch):
            return gradient(lambda weights: value(weights, batch), weights)

        def product(weights, batch, vectors):
            def along(weights):
                pairs = zip(slopes(weights, batch), vectors, strict=True)
                return sum(ops.sum(slope * vector) for slope, vector in pairs)

            return gradient(along, weights)

        self.loss = compiled(value)
        self.gradient, self.product = compiled(slopes), compiled(product)


@dataclasses.dataclass(frozen=True)
class Noise:
    """What a step `-eta g` does to the loss of a batch, to second order, and a layer's part of it.

    Args:
        layer: Path of the layer.
        weights: How many it has.
        first_order: `-eta sum_i g_i d_i`, where `d` is the gradient of the batch.
        joint: `eta^2 / 2 sum_i g_i (H g)_i`, of the step as it is.
        single: `eta^2 / 2 sum_i H_ii g_i^2`, of as many steps, each of one weight alone.
        standard_error: Of `single`, and so of the penalty; 0 if it is exact.
    """

    layer: str
    weights: int
    first_order: float
    joint: float
    single: float
    standard_error: float

    @property
    def penalty(self) -> float:
        """The inherent noise: what the loss gains because the weights move together."""
        return self.joint - self.single


def inherent_noise(
    surface: Surface,
    step,
    batch,
    *,
    learning_rate: float,
    probes: int = 64,
    exact: int = 0,
    seed: int = 0,
) -> list[Noise]:
    """Returns the inherent noise of a gradient step in every layer, and in all together.

    Every weight moves by its own slope, and all the others move at the same time. To second order
    the loss of a batch gains by that

        penalty = eta^2 / 2 (g^T H g - sum_i H_ii g_i^2)

    where `g` is the gradient that the step takes and `H` the Hessian of the batch, which is the one
    that gave `g` or another. A layer's part has the sum over `i` of its weights: an interaction of
    two layers counts half in each, and the parts add up to the whole.

    The first term takes one product with the Hessian. For the second, each probe draws signs
    `s_i = +-1`: `z^T H z` with `z_i = s_i g_i` has the mean `sum_i H_ii g_i^2`, and no other
    estimate from products with signs has a smaller variance. So the penalty is also how much more
    the loss curves along the step than along steps of the same sizes with random signs.

    Reference:
        After A. Gupta, "Inherent noise in gradient based methods", arXiv 2005.12743, of which only
        the idea is used; the equation is derived here, from Taylor's. Probes of signs:
        Hutchinson, "A stochastic estimator of the trace of the influence matrix for Laplacian
        smoothing splines", 1990.

    Args:
        surface: The loss.
        step: `g`, a list of the shapes of the weights.
        batch: Whose loss it is, `(images, labels)`.
        learning_rate: `eta`.
        probes: How many products estimate the second term, at least 2.
        exact: Layers of at most so many weights have it exactly, by a product per weight.
        seed: Of the signs.

    Returns:
        A `Noise` of each layer, in their order in the model, then that of `ALL`. In units of the
        loss.
    """
    if probes < 2:
        raise Mistake(f"`probes` must be at least 2. Received: probes={probes}.")
    scale = learning_rate**2 / 2
    step = [_numpy(part) for part in step]
    own = [_numpy(part) for part in surface.gradient(surface.weights, batch)]
    curved = _products(surface, batch, step)
    layers = list(dict.fromkeys(surface.layers))
    index = np.array([layers.index(layer) for layer in surface.layers])

    def by_layer(parts):
        return np.bincount(index, weights=parts, minlength=len(layers))

    sizes = by_layer([part.size for part in step])
    slopes = by_layer(_dots(step, own))
    joint = by_layer(_dots(step, curved))
    few = sizes <= exact
    single = by_layer(_exact(surface, batch, step, few[index]))
    sums = _probed(surface, batch, step, ~few[index], probes, seed)
    sums = np.array([by_layer(row) for row in sums])
    single += sums.mean(0)
    errors = sums.std(0, ddof=1) / math.sqrt(probes)
    whole = sums.sum(1).std(ddof=1) / math.sqrt(probes)
    columns = [
        [*layers, ALL],
        [*sizes.astype(int), int(sizes.sum())],
        -learning_rate * np.append(slopes, slopes.sum()),
        scale * np.append(joint, joint.sum()),
        scale * np.append(single, single.sum()),
        scale * np.append(errors, whole),
    ]
    return [Noise(name, int(n), *map(float, row)) for name, n, *row in zip(*columns, strict=True)]


def change_of_loss(surface: Surface, step, batch, learning_rate: float) -> float:
    """Returns by how much a step really moves the loss of a batch: `L(w - eta g) - L(w)`."""
    moved = [
        weight - ops.cast(learning_rate * part, weight.dtype)
        for weight, part in zip(surface.weights, step, strict=True)
    ]
    return float(surface.loss(moved, batch)) - float(surface.loss(surface.weights, batch))


def mean_penalty(noises) -> tuple[float, float]:
    """Returns the mean penalty of several batches and its standard error.

    From how far the batches are apart, which the probes' errors are part of; of one batch, that of
    its probes.
    """
    penalties = [noise.penalty for noise in noises]
    if len(noises) == 1:
        return penalties[0], noises[0].standard_error
    error = np.std(penalties, ddof=1) / math.sqrt(len(noises))
    return float(np.mean(penalties)), float(error)


def _exact(surface, batch, step, chosen):
    """Returns `sum_i H_ii g_i^2` of each weight tensor that is chosen, and 0 of the others."""
    sums = np.zeros(len(step))
    for number in np.flatnonzero(chosen):
        for place in np.ndindex(step[number].shape):
            alone = [np.zeros_like(part) for part in step]
            alone[number][place] = step[number][place]
            product = _products(surface, batch, alone)[number]
            sums[number] += float(alone[number][place]) * float(product[place])
    return sums


def _probed(surface, batch, step, chosen, probes, seed):
    """Returns `z . H z` of each probe and weight tensor, `z` being 0 in those not chosen."""
    sums = np.zeros((probes, len(step)))
    if not any(chosen):
        return sums
    generator = np.random.default_rng(seed)
    for row in sums:
        signed = [
            part * (generator.choice([-1, 1], part.shape) * kept).astype(part.dtype)
            for part, kept in zip(step, chosen, strict=True)
        ]
        row[:] = _dots(signed, _products(surface, batch, signed))
    return sums


def _products(surface, batch, vectors):
    return [_numpy(part) for part in surface.product(surface.weights, batch, vectors)]


def _dots(ones, others):
    return [np.vdot(a.astype("float64"), b) for a, b in zip(ones, others, strict=True)]


def _numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))
