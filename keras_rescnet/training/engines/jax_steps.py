"""What a step computes in JAX, as a pure function of the values of all variables."""

import functools

import jax
import jax.numpy as jnp
import keras

from keras_rescnet.views import averaged


def train_step(task, state, teacher, images, labels):
    """Trains on a batch.

    Args:
        task: The `Task`.
        state: Lists of the values of the trainable variables, the other variables of the model,
            and the optimizer's variables.
        teacher: The same lists of the teacher, without an optimizer; empty if there is none.
        images: `(batch_size, H, W, C)`.
        labels: `(batch_size, classes)`.

    Returns:
        The next state, and the sums of the statistics over the batch, `(k,)`.
    """
    trainable, others, optimizer_state = state
    gradients_of = jax.grad(functools.partial(_loss, task), has_aux=True)
    gradients, sums = None, 0.0
    for part in zip(
        jnp.split(images, task.accumulation_steps),
        jnp.split(labels, task.accumulation_steps),
        strict=True,
    ):
        taught = [] if task.teacher is None else [_logits(task.teacher, teacher, part[0])]
        more, (more_sums, others) = gradients_of(trainable, others, optimizer_state, *part, *taught)
        sums += more_sums
        gradients = more if gradients is None else jax.tree.map(jnp.add, gradients, more)
    trainable, optimizer_state = task.optimizer.stateless_apply(
        optimizer_state, gradients, trainable
    )
    return (trainable, others, optimizer_state), sums


def _loss(task, trainable, others, optimizer_state, images, labels, *teacher_logits):
    """Returns a part's share of the loss, and the sums of its statistics and the other values."""
    logits, others, penalties = task.model.stateless_call(
        trainable, others, images, training=True, return_losses=True
    )
    rows = task.train_statistics(labels, logits, *teacher_logits)
    loss = jnp.sum(rows[:, 0]) / task.batch_size + sum(penalties) / task.accumulation_steps
    if isinstance(task.optimizer, keras.optimizers.LossScaleOptimizer):
        scale = [v is task.optimizer.dynamic_scale for v in task.optimizer.variables].index(True)
        loss = loss * optimizer_state[scale]
    return loss, (jnp.sum(rows, axis=0), others)


def evaluation_step(task, trainable, others, batch):
    """Returns the sums of the statistics over a batch, `(k,)`, by the weights of its rows."""
    logits = _test_logits(task, (trainable, others), batch["images"])
    rows = task.test_statistics(batch["labels"], logits)
    return jnp.sum(rows * batch["weights"][:, None], axis=0)


def prediction_step(task, trainable, others, batch):
    """Returns labels, logits and weights of the rows of a batch, `(rows, 2 classes + 1)`."""
    logits = _test_logits(task, (trainable, others), batch["images"]).astype("float32")
    return jnp.concatenate([batch["labels"], logits, batch["weights"][:, None]], axis=1)


def _test_logits(task, values, images):
    """Returns the logits, averaged over the views of the images."""
    return averaged(functools.partial(_logits, task.model, values), images, task.views)


def _logits(model, values, images):
    logits, _ = model.stateless_call(*values, images, training=False)
    return logits
