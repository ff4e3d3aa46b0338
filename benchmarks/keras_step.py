"""A training step of a Keras network, and the bytes that its backward pass waits for."""

import keras
import tensorflow as tf

from keras_rescnet import optimizers


def use_threads(count):
    """Gives TensorFlow so many threads; before its first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)


def in_precision(policy, build):
    """Builds a model whose layers compute as the policy says, as a recipe's `precision` does."""
    keras.config.set_dtype_policy(policy)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy("float32")


def keras_step(build, images, labels):
    """Returns a function that makes one step of a bare `tf.function`."""
    model = build()
    optimizer = optimizers.SGD(0.01, momentum=0.9, weight_decay=5e-4)
    optimizer.build(model.trainable_variables)
    values = [variable.value for variable in model.trainable_variables]
    images, labels = tf.constant(images), tf.constant(labels)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        optimizer.apply(tape.gradient(loss, values), model.trainable_variables)
        return loss

    return lambda: float(step())


def bytes_between(forward, gradients, given=()):
    """Returns the bytes of the tensors that cross from the forward into the backward pass.

    Weights and constants do not count.

    Args:
        forward: Names of the operations of the forward pass.
        gradients: Tensors of a graph, which the backward pass computes.
        given: Other tensors that do not count.
    """
    kept, seen, pending = {}, {tensor.name for tensor in given}, list(gradients)
    while pending:
        tensor = pending.pop()
        while tensor.op.type in ("Identity", "IdentityN"):  # one buffer, many names
            tensor = tensor.op.inputs[int(tensor.name.split(":")[1])]
        if tensor.name in seen:
            continue
        seen.add(tensor.name)
        if tensor.op.name not in forward:
            pending.extend(tensor.op.inputs)
        elif tensor.op.type == "FusedBatchNormV3" and tensor.shape.rank is None:
            continue  # the space that cuDNN reserves, of no size elsewhere
        elif tensor.op.type not in ("Const", "ReadVariableOp") and tensor.dtype != tf.resource:
            kept[tensor.name] = tensor.shape.num_elements() * tensor.dtype.size
    return sum(kept.values())


def bytes_kept(model, batch):
    """Returns the bytes that a training step of a model keeps for its backward pass."""
    values = [variable.value for variable in model.trainable_variables]
    kept = []

    @tf.function(autograph=False)
    def step(images, labels):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        forward = {operation.name for operation in loss.graph.get_operations()}
        kept.append(bytes_between(forward, tape.gradient(loss, values)))
        return loss

    images = tf.TensorSpec((batch, *model.input_shape[1:]), "float32")
    step.get_concrete_function(images, tf.TensorSpec((batch,), "int32"))
    return kept[-1]
