"""What a step computes in TensorFlow, on one of the replicas that share a batch."""

import functools

import keras
import tensorflow as tf

from keras_rescnet.gaussian import loops_in_graphs
from keras_rescnet.views import averaged

SUM = tf.distribute.ReduceOp.SUM

# TensorFlow adds gradients up over replicas in buckets of this size or a little more, those of the
# last layers first: each is sent while the backward pass still computes what is before it
BUCKETS = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=25 * 2**20)


def train_step(task, batch):
    """Trains on one replica's rows of a batch; returns the sums of their statistics, `(k,)`.

    Args:
        task: The `Task`.
        batch: Dict of `"images"` and `"labels"`, as many rows as the batch has per replica.
    """
    images = tf.split(batch["images"], task.accumulation_steps)
    labels = tf.split(batch["labels"], task.accumulation_steps)
    gradients, sums = _gradients(task, images[0], labels[0])
    for part in zip(images[1:], labels[1:], strict=True):
        more, more_sums = _gradients(task, *part)
        gradients = [_add(one, other) for one, other in zip(gradients, more, strict=True)]
        sums += more_sums
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
        # Here and not in `apply` (see `_sum_no_more`), which clips and looks for overflow first:
        # both must see the gradient of the whole batch
        found = [g for g in gradients if g is not None]
        summed = iter(context.all_reduce(SUM, found, BUCKETS))
        gradients = [None if g is None else next(summed) for g in gradients]
    task.optimizer.apply(gradients, task.model.trainable_variables)
    return sums


def _gradients(task, images, labels):
    """Returns the gradients of a part of a batch, and the sums of its statistics."""
    teacher_logits = []
    if task.teacher is not None:
        teacher_logits.append(task.teacher(images, training=False))
    values = [variable.value for variable in task.model.trainable_variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        rows = task.train_statistics(labels, task.model(images, training=True), *teacher_logits)
        loss = tf.reduce_sum(rows[:, 0]) / task.batch_size
        if task.model.losses:  # penalties count once, whatever the number of parts and devices
            replicas = tf.distribute.get_replica_context().num_replicas_in_sync
            loss += tf.add_n(task.model.losses) / (replicas * task.accumulation_steps)
        loss = task.optimizer.scale_loss(loss)
    # Of a table that is looked up, a gradient has the rows alone that were; few optimizers take it
    gradients = [
        tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient
        for gradient in tape.gradient(loss, values)
    ]
    return gradients, tf.reduce_sum(rows, axis=0)


def _add(one, other):
    """Returns the sum of two gradients; `None` is that of a weight on which the loss has none."""
    return one if other is None else other if one is None else one + other


def evaluation_step(task, batch):
    """Returns the sums of the statistics of one replica's rows, `(k,)`, by their weights."""
    rows = task.test_statistics(batch["labels"], _logits(task, batch))
    return tf.reduce_sum(rows * batch["weights"][:, None], axis=0)


def prediction_step(task, batch):
    """Returns labels, logits and weights of the rows of all replicas, `(rows, 2 classes + 1)`."""
    logits = tf.cast(_logits(task, batch), "float32")
    rows = tf.concat([batch["labels"], logits, batch["weights"][:, None]], axis=1)
    context = tf.distribute.get_replica_context()
    return rows if context.num_replicas_in_sync == 1 else context.all_gather(rows, axis=0)


def _logits(task, batch):
    """Returns the logits, averaged over the views of the images."""
    with loops_in_graphs():
        predict = functools.partial(task.model, training=False)
        return averaged(predict, batch["images"], task.views)


def share_statistics(task):
    """Gives all replicas the first one's moving statistics, as PyTorch's DDP does.

    Those of batch normalization move by each replica's own rows. The first replica's are saved,
    so they must be those that are evaluated.
    """
    context = tf.distribute.get_replica_context()
    first = tf.equal(context.replica_id_in_sync_group, 0)
    for variable in task.model.non_trainable_variables:
        if keras.backend.is_float_dtype(variable.dtype):  # not the state of a random generator
            value = tf.convert_to_tensor(variable.value)
            mine = tf.where(first, value, tf.zeros_like(value))
            variable.assign(context.all_reduce(SUM, mine))
