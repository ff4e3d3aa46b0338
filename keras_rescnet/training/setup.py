"""What the fields of a recipe become: model and optimizer."""

import functools
import hashlib
import inspect
import json
import re

import keras

from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.models.initial_weights import load_initial_weights
from keras_rescnet.models.parts import check_logits, lasting_path, parts_of
from keras_rescnet.optimizers.scaled_optimizer import ScaledOptimizer
from keras_rescnet.recipe import calling
from keras_rescnet.training.freezing import freeze
from keras_rescnet.views import weighted


def check_batch(recipe, replicas):
    """Raises a `Mistake` unless a batch divides into its parts."""
    parts = replicas * recipe.gradient_accumulation_steps
    if recipe.batch_size % parts:
        raise Mistake(
            "`batch_size` must be divisible by devices times gradient_accumulation_steps. "
            f"Received: batch_size={recipe.batch_size}, devices={replicas}, "
            f"gradient_accumulation_steps={recipe.gradient_accumulation_steps}."
        )


def check_same(engine, **facts):
    """Checks that all processes of a run have the same facts, before they wait in its first step.

    Args:
        engine: The `Engine` of this process.
        **facts: What must be the same, by name, as JSON can hold it.

    Raises:
        Mistake: in all processes, if one differs; it says which, and in what.
    """
    digests = {
        name: hashlib.sha256(json.dumps(fact, sort_keys=True, default=str).encode()).hexdigest()
        for name, fact in facts.items()
    }
    every = engine.gather("".join(digests.values()))
    for process, others in enumerate(every):
        different = [
            name
            for place, name in enumerate(digests)
            if others[64 * place : 64 * place + 64] != every[0][64 * place : 64 * place + 64]
        ]
        if different:
            raise Mistake(
                f"All {len(every)} processes of a run must have the same {' and '.join(facts)}: "
                "start all with the same command, code and files. Received: another "
                f"{' and '.join(different)} in process {process} than in process 0."
            )


def build_model(recipe, replicas, initialize=True):
    """Returns the recipe's model.

    Args:
        recipe: The `Recipe`, with a dataset whose facts are known.
        replicas: Number of devices that share a batch.
        initialize: Whether to load `initial_weights`, which a run that continues has no need of.

    Raises:
        Mistake: If the model cannot be built, or does not give logits of the dataset's classes.
    """
    dataset = recipe.dataset
    arguments = {"input_shape": tuple(dataset.image_shape), "classes": dataset.classes}
    if recipe.drop_path is not None:
        arguments["drop_path"] = recipe.drop_path
    _check_arguments(recipe.model, arguments)
    classes = arguments.pop("classes")
    build = functools.partial(recipe.model, **arguments)
    with calling("model", recipe.model):
        model = build(classes=classes)
    check_model(model, arguments["input_shape"], classes)
    _check_saved(model)
    # On JAX they are of the whole batch anyway
    if recipe.synchronized_bn and replicas > 1 and keras.backend.backend() == "tensorflow":
        for layer in parts_of(model):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
    if initialize and recipe.initial_weights is not None:
        load_initial_weights(model, recipe.initial_weights)
    return model


def check_views(recipe):
    """Raises a `Mistake`, before the training and not after an epoch, unless views can be used."""
    if recipe.test_views is not None:
        images = keras.ops.zeros((2, *recipe.dataset.image_shape))
        with calling("test_views", recipe.test_views):
            weighted(recipe.test_views, images)


def _check_arguments(builder, arguments):
    """What a recipe's `model` must take, and what a `partial` of it must not hold otherwise."""
    for name, value in arguments.items():
        if not isinstance(builder, functools.partial) or name not in builder.keywords:
            continue
        given = builder.keywords[name]
        if (tuple(given) if isinstance(given, list) else given) != value:
            source = "recipe's drop_path" if name == "drop_path" else "dataset"
            raise Mistake(
                f"`model` must leave `{name}` out, or have that of the {source}, {value!r}. "
                f"Received: {name}={shorten(given)} in its partial."
            )
    try:
        inspect.signature(builder).bind(**arguments)
    except TypeError as error:
        raise Mistake(
            f"`model` must take {', '.join(arguments)} as named arguments. "
            f"Received: {shorten(builder)}, which has {error}."
        ) from None
    except ValueError:  # Python does not know what it takes
        pass


def check_model(model, input_shape, classes):
    """Raises a `Mistake` unless a model gives logits of so many classes of such images."""
    if not isinstance(model, keras.Model):
        raise Mistake(
            f"`model` must return a keras.Model with logits of shape (None, {classes}). "
            f"Received: {shorten(model)}."
        )
    if len(getattr(model, "inputs", None) or ()) != 1 or len(model.outputs) != 1:
        raise Mistake(
            "`model` must return a functional or Sequential keras.Model of one input and one "
            "output: a run saves and exports it, which needs to know its layers. "
            f"Received: {type(model).__name__} with {len(getattr(model, 'inputs', None) or ())} "
            "known inputs."
        )
    if model.output_shape != (None, classes):
        raise Mistake(
            f"`model` must return a keras.Model with logits of shape (None, {classes}). "
            f"Received: {model.output_shape!r}."
        )
    if not keras.ops.shape(model.inputs[0])[1:] == input_shape:
        raise Mistake(
            f"`model` must return a keras.Model of images of shape {input_shape}. "
            f"Received: input_shape={model.input_shape!r}."
        )
    if not model.trainable_variables:
        raise Mistake(
            f"`model` must return a keras.Model with weights to train. Received: {model.name}, "
            "which has none."
        )
    check_logits(model, "the run")


def _check_saved(model):
    """Raises a `Mistake`, before the training and not after it, unless Keras can save a model."""
    try:
        keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise Mistake(
            "`model` must be a model that Keras can save: a layer of your own with arguments "
            f"needs a `get_config` that returns them. Received: {model.name}; "
            f"{type(error).__name__}: {shorten(reason, str, 150)}"
        ) from error


def build_optimizer(recipe, model):
    """Returns the recipe's optimizer, built on the weights that it trains; freezes the others."""
    weights = model.trainable_variables  # what patterns may name, frozen or not
    freeze(model, recipe.trainable)
    options = {"learning_rate": recipe.learning_rate}
    if recipe.global_clipnorm is not None:
        options["global_clipnorm"] = recipe.global_clipnorm
    if recipe.ema_momentum is not None:
        options.update(use_ema=True, ema_momentum=recipe.ema_momentum)
    with calling("optimizer", recipe.optimizer):
        optimizer = recipe.optimizer(**options)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise Mistake(
            "`optimizer` must return a Keras optimizer. Received: "
            f"{shorten(optimizer)} from {shorten(recipe.optimizer)}."
        )
    _check_options(recipe, optimizer, options)
    if recipe.exclude_from_weight_decay:
        excluded = _matching(recipe.exclude_from_weight_decay, weights)
        optimizer.exclude_from_weight_decay(var_list=excluded)
    _set_multipliers(recipe, model, weights, optimizer)
    if recipe.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def _check_options(recipe, optimizer, options):
    """Raises a `Mistake` unless an optimizer has taken the options that a recipe sets."""
    try:
        optimizer.learning_rate = options.pop("learning_rate")
    except TypeError:
        raise Mistake(
            "`optimizer` must leave the schedule to the recipe: `decay`, `warmup_epochs` and "
            "`schedule_per_step`. Received: an optimizer with a LearningRateSchedule from "
            f"{shorten(recipe.optimizer)}."
        ) from None
    for name, value in options.items():
        if getattr(optimizer, name) != value:
            raise Mistake(
                f"`optimizer` must pass `{name}` on to the Keras optimizer. Received: "
                f"{name}={getattr(optimizer, name)} instead of {value} from "
                f"{shorten(recipe.optimizer)}."
            )


def _matching(patterns, variables):
    """Returns the variables in whose name one of the patterns is found.

    Not left to Keras, which on TensorFlow searches in names such as "block/dense/bias:0".
    """
    names = sorted({variable.name for variable in variables})
    for pattern in patterns:
        try:
            unfit = pattern == "" or not any(re.search(pattern, name) for name in names)
        except (re.error, TypeError) as error:
            raise Mistake(
                "`exclude_from_weight_decay` must have regular expressions. "
                f"Received: {pattern!r} ({error})."
            ) from None
        if unfit:
            raise Mistake(
                "`exclude_from_weight_decay` must have parts of names of weights, but no weight "
                f"has a name with {pattern!r}. There are: {', '.join(names)}. "
                f"Received: {patterns}."
            )
    return [
        variable
        for variable in variables
        if any(re.search(pattern, variable.name) for pattern in patterns)
    ]


def _set_multipliers(recipe, model, weights, optimizer):
    """Gives every trained weight its factors of the learning rate and the weight decay."""
    rename = lasting_path(parts_of(model))
    paths = [rename(variable.path) for variable in weights]
    trained = [rename(variable.path) for variable in model.trainable_variables]
    factors = []
    for field in ("learning_rate_multipliers", "weight_decay_multipliers"):
        multipliers = getattr(recipe, field) or {}
        if multipliers and not isinstance(optimizer, ScaledOptimizer):
            raise Mistake(
                f"`{field}` needs an optimizer of kr.optimizers. "
                f"Received: {shorten(recipe.optimizer)}."
            )
        for pattern in multipliers:
            if not any(re.search(pattern, path) for path in paths):
                raise Mistake(
                    f"`{field}` must have parts of paths of weights, but none has {pattern!r}. "
                    f"There are: {shorten(', '.join(paths), str, 300)}. "
                    f"Received: {field}={shorten(dict(multipliers))}."
                )
        factors.append(
            [
                next((value for part, value in multipliers.items() if re.search(part, path)), 1.0)
                for path in trained
            ]
        )
    if recipe.learning_rate_multipliers or recipe.weight_decay_multipliers:
        optimizer.set_multipliers(*factors)
