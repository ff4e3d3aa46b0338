"""Concatenated representations: the features of several runs under one head."""

from __future__ import annotations

import os
from collections.abc import Sequence

import keras
import numpy as np

from keras_rescnet.arguments import check_integer
from keras_rescnet.ensemble.members import load_members
from keras_rescnet.mistake import Mistake, shorten


def concatenate(
    members: Sequence[str | os.PathLike | keras.Model],
    input_shape: tuple[int, ...] | None = None,
    classes: int | None = None,
) -> keras.Model:
    """Returns one model of the features of several, side by side, under one dense head.

        features = [f_1(x), ..., f_n(x)]
        logits   = features W + b,      W = [W_1; ...; W_n] / n,      b = (b_1 + ... + b_n) / n

    where `W_i`, `b_i` are the last dense layer of member `i`: before any training, the logits are
    the means of the members' logits. For other classes the head starts at 0.

    As the `model` of a recipe it is `partial(concatenate, ["runs/a", "runs/b"])`. With
    `trainable=("^logits/",)` that is a linear probe; after runs that have each been fine-tuned
    alone (`initial_weights`), it is the two-stage fine-tuning of the paper.

    Reference:
        Zhang and Bottou, "Learning useful representations for shifting tasks and distributions",
        ICML 2023; `src/models.py` of github.com/TjuJianyu/RRL.

    Args:
        members: Models from normalized images to logits that end in a `keras.layers.Dense` without
            activation, or folders of finished runs. The weights of their features are the
            members', not copies.
        input_shape: Shape of the images, which must be that of the members. A recipe gives it.
            Defaults to `None`, that of the members.
        classes: Number of classes. Defaults to `None`, those of the members.

    Returns:
        A model whose last layer is `"logits"`; the members are within it, `"member0"`, ...

    Raises:
        Mistake: If members differ in images or classes, take other images, or end otherwise, or
            `classes` is not positive.

    Example:

    >>> def member(seed):
    ...     keras.utils.set_random_seed(seed)
    ...     layers = [keras.layers.Dense(8, kr.gclu), keras.layers.Dense(2)]
    ...     return keras.Sequential([keras.Input((4,)), *layers])
    >>> pair = [member(0), member(1)]
    >>> both, x = kr.ensemble.concatenate(pair), np.ones((1, 4), "float32")
    >>> np.allclose(both(x), (pair[0](x) + pair[1](x)) / 2, atol=1e-6)
    True
    >>> both.get_layer("logits").count_params()  # 16 x 2, and 2
    34
    """
    if classes is not None:
        check_integer("classes", classes, 1)
    models = load_members(members, with_temperature=False)
    expected = tuple(models[0].input_shape[1:])
    if input_shape is not None and tuple(input_shape) != expected:
        raise Mistake(
            f"`input_shape` must be that of the members, {expected}. "
            f"Received: input_shape={shorten(input_shape)}."
        )
    heads = [_head(model) for model in models]
    images = keras.Input(expected, name="images")
    own = {  # one each, also of a member that is there twice
        id(model): keras.Model(model.inputs[0], head.input, name=f"member{i}")
        for i, (model, head) in enumerate(zip(models, heads, strict=True))
    }
    features = [own[id(model)](images) for model in models]
    side_by_side = keras.layers.Concatenate(name="features")(features)
    count = heads[0].units if classes is None else int(classes)
    logits = keras.layers.Dense(
        count,
        kernel_initializer="zeros",
        dtype=heads[0].dtype_policy,
        name="logits",
    )
    model = keras.Model(images, logits(side_by_side), name="concatenated")
    if count == heads[0].units:
        kernels = [keras.ops.convert_to_numpy(head.kernel) for head in heads]
        biases = [keras.ops.convert_to_numpy(head.bias) for head in heads if head.use_bias]
        logits.kernel.assign(np.concatenate(kernels) / len(heads))
        logits.bias.assign(np.sum(biases, axis=0) / len(heads) + np.zeros(count))
    return model


def _head(model):
    """Returns the dense layer that gives the logits of a model."""
    head = model.layers[-1]
    if (
        not isinstance(head, keras.layers.Dense)
        or head.activation is not keras.activations.linear
        or len(head.input.shape) != 2
    ):
        raise Mistake(
            "A member must end in a keras.layers.Dense without activation. "
            f"Received: {model.name}, which ends in {type(head).__name__}."
        )
    return head
