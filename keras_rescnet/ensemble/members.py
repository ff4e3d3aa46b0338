"""Members of an ensemble: trained one after the other, and joined into one model."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_rescnet.analysis.runs import load_run
from keras_rescnet.arguments import check_integer
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.models.parts import of_tensors
from keras_rescnet.recipe import Recipe
from keras_rescnet.training import train as train_run
from keras_rescnet.training.signals import StopRequest


def train(
    recipe: Recipe,
    workdir: str | os.PathLike,
    members: int = 5,
    *,
    data_dir: str | os.PathLike | None = None,
    devices: int | None = None,
    timeout: float = 300,
) -> list[pathlib.Path]:
    """Trains a recipe several times, one run after the other, with a seed of its own each.

    Run `i` has the seed `recipe.seed + i` and lies in the folder `seed<seed>`, an ordinary run as
    `kr.train` makes it. The same call continues where it was stopped; with more members it trains
    those that are missing.

    Reference:
        Lakshminarayanan et al., "Simple and scalable predictive uncertainty estimation using deep
        ensembles", NIPS 2017, Algorithm 1 without adversarial training.

    Args:
        recipe: What to train.
        workdir: Folder of the runs' folders.
        members: How many runs. Defaults to 5.
        data_dir: As of `kr.train`.
        devices: As of `kr.train`.
        timeout: As of `kr.train`.

    Returns:
        The folders of the runs.

    Raises:
        Mistake: If something in the recipe or the call cannot be used.
        KeyboardInterrupt, SystemExit, FloatingPointError, ConnectionError: As `kr.train` does.

    Example:

    >>> recipe = kr.load_recipe("digits_gclu_resnet8")
    >>> kr.ensemble.train(recipe, "runs/five", members=0)
    Traceback (most recent call last):
    ...
    keras_rescnet.mistake.Mistake: `members` must be a positive integer. Received: members=0.
    """
    if not isinstance(recipe, Recipe):
        raise Mistake(
            "`recipe` must be a Recipe: load_recipe(file) makes it. "
            f"Received: recipe={shorten(recipe)}."
        )
    check_integer("members", members, 1)
    if not isinstance(workdir, str | os.PathLike) or not str(workdir):
        raise Mistake(
            f"`workdir` must be the path of a folder. Received: workdir={shorten(workdir)}."
        )
    recipes = [dataclasses.replace(recipe, seed=recipe.seed + i) for i in range(members)]
    folders = [pathlib.Path(workdir) / f"seed{each.seed}" for each in recipes]
    with StopRequest() as stop:
        for each, folder in zip(recipes, folders, strict=True):
            if stop.requested:  # in the last steps of a run, which was then finished
                stop.leave(f"Stopped before the member of seed {each.seed}.")
            train_run(each, folder, data_dir=data_dir, devices=devices, timeout=timeout)
    return folders


def load_members(
    members: Sequence[str | os.PathLike | keras.Model], *, with_temperature: bool = True
) -> list[keras.Model]:
    """Returns models of members that are given as models or as folders of finished runs.

    Args:
        members: The list.
        with_temperature: Whether logits of runs are divided by their temperature.

    Raises:
        Mistake: If there is none, or they take other images or know other classes than the first,
            or runs among them were trained with other statistics or class names than the first.
    """
    if isinstance(members, str | os.PathLike) or not isinstance(members, Sequence) or not members:
        raise Mistake(
            "`members` must be a list of models, or of folders of finished runs. "
            f"Received: members={shorten(members)}."
        )
    models, runs = [], []
    for member in members:
        model = member
        if isinstance(member, str | os.PathLike):
            runs.append(run := load_run(member))
            model = run.model if with_temperature else run.trained_model
        if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
            raise Mistake(
                "A member must be a functional or Sequential model, or the folder of a finished "
                f"run. Received: {shorten(member)}."
            )
        if len(model.inputs) > 1 or len(model.outputs) > 1:
            raise Mistake(
                "A member must have one input and one output. Received: "
                f"{model.name} with {len(model.inputs)} and {len(model.outputs)}."
            )
        models.append(of_tensors(model))
    first = (models[0].input_shape, models[0].output_shape)
    for model in models:
        if (model.input_shape, model.output_shape) != first:
            raise Mistake(
                f"All members must map images {first[0]} to logits {first[1]}. "
                f"Received: {model.name} from {model.input_shape} to {model.output_shape}."
            )
    for run in runs[1:]:
        run.check_data(runs[0], "All members must have been trained with the first one's")
    return models


def stacked(members: Sequence[keras.Model]) -> keras.Model:
    """Returns a model from images to the logits of all members, `(N, members, classes)`."""
    images = keras.Input(members[0].input_shape[1:], name="images")
    # One each, also of a member that is there twice: Keras would save shared layers once
    own = {id(member): member for member in members}
    if len({member.name for member in own.values()}) < len(own):  # names within a model differ
        own = {
            key: keras.Model(member.inputs[0], member.outputs[0], name=f"member{i}")
            for i, (key, member) in enumerate(own.items())
        }
    logits = [own[id(member)](images) for member in members]
    logits = [ops.cast(each, "float32") if _is_half(each) else each for each in logits]
    return keras.Model(images, ops.stack(logits, axis=1), name="members")


def mean(
    members: Sequence[str | os.PathLike | keras.Model], *, multi_label: bool = False
) -> keras.Model:
    """Returns an ensemble as one model, whose softmax is the mean of its members' softmax.

        logits = log((1 / K) sum_k softmax(logits_k))                             (N, classes)

    or, with `multi_label`, whose sigmoid is the mean of its members' sigmoid:

        logits = log(p / (1 - p)),    p = (1 / K) sum_k sigmoid(logits_k)

    It is a model of logits like any other: `kr.evaluate` measures it, `kr.export` writes it, and
    it may be the teacher of a `kr.losses.Distillation`. The weights are the members', not copies.

    Args:
        members: Models from normalized images to logits, or folders of finished runs.
        multi_label: Whether a picture has any number of classes, its tags, instead of one. Defaults
            to `False`.

    Returns:
        A functional `keras.Model` from images, as the members take them, to logits `(N, classes)`,
        float32 where the members compute in half precision.

    Raises:
        Mistake: If they take other images or know other classes than the first, runs have tags
            without `multi_label` or none with it, or models have one logit without it.

    Example:

    >>> def member(bias):
    ...     dense = keras.layers.Dense(2, bias_initializer=keras.initializers.Constant(bias))
    ...     return keras.Sequential([keras.Input((1,)), dense])
    >>> pair = kr.ensemble.mean([member(1.0), member([0.0, np.log(3.0)])])
    >>> probabilities = keras.ops.softmax(pair(np.zeros((1, 1))))
    >>> np.asarray(probabilities).round(4)  # (1/2 + 1/4) / 2, ...
    array([[0.375, 0.625]], dtype=float32)
    """
    models = load_members(members)
    for member in members:
        if isinstance(member, str | os.PathLike) and load_run(member).multi_label != multi_label:
            raise Mistake(
                "`multi_label` must be true for runs whose pictures have tags, and for no others. "
                f"Received: multi_label={multi_label}, {shorten(str(member), str)}."
            )
    if models[0].output_shape[-1] == 1 and not multi_label:
        raise Mistake(
            "Models of one logit have a sigmoid, not a softmax, which is always 1: give "
            f"multi_label=True. Received: {models[0].name} to {models[0].output_shape}."
        )
    stack = stacked(models)
    combine = log_odds_of_mean if multi_label else log_mean
    return keras.Model(stack.inputs[0], combine(stack.outputs[0]), name="ensemble")


def log_mean(logits: Any) -> Any:
    """Returns the logarithm of the mean probabilities, of logits `(N, members, classes)`."""
    return ops.logsumexp(ops.log_softmax(logits, axis=-1), axis=1) - math.log(logits.shape[1])


def log_odds_of_mean(logits: Any) -> Any:
    """Returns log-odds of the mean probabilities of tags, of logits `(N, members, tags)`."""
    here, not_here = (ops.logsumexp(ops.log_sigmoid(x), axis=1) for x in (logits, -logits))
    return here - not_here


def _is_half(tensor):
    return keras.backend.standardize_dtype(tensor.dtype) in ("float16", "bfloat16")
