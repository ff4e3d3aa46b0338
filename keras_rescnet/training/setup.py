"""What the fields of a recipe become: engine, model, optimizer, and what a step measures."""

import functools
import math
import re

import keras

from keras_rescnet.mistake import Mistake
from keras_rescnet.training.initial_weights import load_initial_weights


def make_engine(devices=None, timeout=300):
    """Returns the engine of Keras's backend; arguments as of `train`."""
    for name, value in (("devices", devices), ("timeout", timeout)):
        if value is not None and value < 1:
            raise Mistake(f"`{name}` must be at least 1. Received: {name}={value}.")
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from keras_rescnet.training.engines.tensorflow import Engine
    elif backend == "jax":
        from keras_rescnet.training.engines.jax import Engine
    else:
        raise Mistake(
            f"Training runs with Keras on TensorFlow or JAX. Received: KERAS_BACKEND={backend}."
        )
    return Engine(devices, timeout)


def check_batch(recipe, replicas):
    """Raises a `ValueError` unless a batch divides into its parts."""
    parts = replicas * recipe.gradient_accumulation_steps
    if recipe.batch_size % parts:
        raise Mistake(
            "`batch_size` must divide over devices and gradient_accumulation_steps. "
            f"Received: batch_size={recipe.batch_size}, devices={replicas}, "
            f"gradient_accumulation_steps={recipe.gradient_accumulation_steps}."
        )


def build_model(recipe, replicas):
    """Returns the recipe's model, with the weights to start from."""
    dataset = recipe.dataset
    build = functools.partial(recipe.model, input_shape=dataset.image_shape)
    if recipe.drop_path is not None:
        build = functools.partial(build, drop_path=recipe.drop_path)
    try:
        model = build(classes=dataset.classes)
    except ValueError as error:  # Keras's too, of an activation that it does not know, say
        message = " ".join(str(error).split())
        raise Mistake(f"The recipe's `model` cannot be built: {message}") from error
    if not isinstance(model, keras.Model) or model.output_shape != (None, dataset.classes):
        raise Mistake(
            f"`model` must return a keras.Model with logits of shape (None, {dataset.classes}). "
            f"Received: {getattr(model, 'output_shape', model)!r}."
        )
    # On JAX they are of the whole batch anyway
    if recipe.synchronized_bn and replicas > 1 and keras.backend.backend() == "tensorflow":
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
    if recipe.initial_weights is not None:
        load_initial_weights(model, recipe.initial_weights, build)
    return model


def build_optimizer(recipe, model, replicas):
    """Returns the recipe's optimizer, built on the weights of `model`."""
    options = {"learning_rate": recipe.learning_rate}
    if recipe.global_clipnorm is not None:
        # the engine hands every replica the mean over replicas; their sum is the gradient
        options["global_clipnorm"] = recipe.global_clipnorm / replicas
    if recipe.ema_momentum is not None:
        options.update(use_ema=True, ema_momentum=recipe.ema_momentum)
    optimizer = recipe.optimizer(**options)
    if recipe.exclude_from_weight_decay:
        _check_excluded(recipe.exclude_from_weight_decay, model.trainable_variables)
        optimizer.exclude_from_weight_decay(var_names=list(recipe.exclude_from_weight_decay))
    if recipe.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def _check_excluded(parts, variables):
    names = sorted({variable.name for variable in variables})
    for part in parts:
        if not any(re.search(part, name) for name in names):  # as Keras matches them
            raise Mistake(
                "`exclude_from_weight_decay` must have parts of names of weights, but no weight "
                f"has a name with {part!r}. There are: {', '.join(names)}. Received: {parts}."
            )


def count_parameters(model):
    """Returns the number of trainable weights."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)
