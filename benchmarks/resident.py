"""Training with a whole dataset in the memory of the device: nothing comes from the host.

What `accelerator.py` trains with where there is no TensorFlow to feed the trainer, in JAX: the
order, the crops and the flips are drawn on the device, and an epoch is one call. The recipe is that
of the convolutional networks of the paper's Tables 1 and 5. Other draws than those of `kr.train`:
such a run is no record of a recipe.
"""

import functools
import time
import types

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_rescnet import optimizers, schedules

PADDING = 4  # pixels around a picture that a crop may reach


def train(build, data, *, epochs, batch, precision="float32", seed=0, warmup_epochs=5):
    """Yields a row per epoch: losses, accuracies and seconds.

    Args:
        build: Makes the model, called with `classes`.
        data: Arrays as `read` returns them.
        epochs: How many.
        batch: Images per step.
        precision: The dtype policy.
        seed: Of everything.
        warmup_epochs: Of the learning rate, which rises to 0.1.
    """
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    model = build(classes=int(data["y_train"].max()) + 1)
    optimizer = optimizers.SGD(0.1, momentum=0.9, weight_decay=5e-4)
    optimizer.build(model.trainable_variables)
    groups = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    device = {name: jax.device_put(array) for name, array in data.items()}
    epoch_of = jax.jit(functools.partial(train_epoch, model, optimizer, batch), donate_argnums=0)
    hits_of = jax.jit(functools.partial(count_hits, model, batch))
    plan = types.SimpleNamespace(
        epochs=epochs,
        warmup_epochs=min(warmup_epochs, epochs - 1),
        learning_rate=0.1,
        minimum_learning_rate=0.0,
        decay=schedules.cosine_decay,
    )
    key, started = jax.random.key(seed), time.perf_counter()
    for epoch in range(epochs):
        optimizer.learning_rate = schedules.learning_rate_at(epoch, plan)
        state = tuple([variable.value for variable in group] for group in groups)
        before = time.perf_counter()
        state, loss = epoch_of(state, jax.random.fold_in(key, epoch), device)
        loss = float(loss)
        seconds = time.perf_counter() - before
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        hits = int(hits_of(state[:2], device))
        yield {
            "epoch": epoch + 1,
            "train_loss": loss,
            "test_accuracy": hits / len(data["y_test"]),
            "images/s": len(data["y_train"]) // batch * batch / seconds,
            "seconds": time.perf_counter() - started,
        }


def train_epoch(model, optimizer, batch, state, key, data):
    """Returns the state after an epoch, and the mean of the losses of its steps."""
    count = len(data["y_train"]) // batch
    of_order, of_draws = jax.random.split(key)
    order = jax.random.permutation(of_order, len(data["y_train"]))[: count * batch]

    def step(state, rows_and_key):
        rows, key = rows_and_key
        images = normalized(crop_and_flip(key, data["x_train"][rows]), data)
        return train_step(model, optimizer, state, images, data["y_train"][rows])

    rows_and_keys = order.reshape(count, batch), jax.random.split(of_draws, count)
    state, losses = jax.lax.scan(step, state, rows_and_keys)
    return state, jnp.mean(losses)


def train_step(model, optimizer, state, images, labels):
    """Returns the state after a step, lists of values for Keras's stateless calls, and the loss."""
    trainable, others, optimizer_state = state

    def loss_of(trainable):
        logits, after = model.stateless_call(trainable, others, images, training=True)
        scores = jax.nn.log_softmax(logits.astype("float32"))
        return -jnp.mean(jnp.take_along_axis(scores, labels[:, None], axis=1)), after

    (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
    trainable, optimizer_state = optimizer.stateless_apply(optimizer_state, gradients, trainable)
    return (list(trainable), list(others), list(optimizer_state)), loss


def count_hits(model, batch, state, data):
    """Returns how many test pictures are classified right."""
    total = len(data["y_test"])
    rows = jnp.arange(-(-total // batch) * batch).reshape(-1, batch)

    def hits(carry, rows):
        images = normalized(data["x_test"][rows % total], data)
        logits, _ = model.stateless_call(*state, images, training=False)
        right = (jnp.argmax(logits, axis=1) == data["y_test"][rows % total]) & (rows < total)
        return carry + jnp.sum(right), None

    return jax.lax.scan(hits, 0, rows)[0]


def crop_and_flip(key, images):
    """Returns pictures, each moved by up to `PADDING` pixels, half of them mirrored."""
    size, sides = len(images), images.shape[1:]
    of_places, of_flips = jax.random.split(key)
    places = jax.random.randint(of_places, (size, 2), 0, 2 * PADDING + 1)
    margin = (PADDING, PADDING)
    padded = jnp.pad(images, ((0, 0), margin, margin, (0, 0)))
    cut = jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), sides))
    cropped = cut(padded, places)
    return jnp.where(
        jax.random.bernoulli(of_flips, 0.5, (size, 1, 1, 1)), cropped[:, :, ::-1], cropped
    )


def normalized(images, data):
    """Returns what a network takes."""
    return (images.astype("float32") / 255 - data["mean"]) / data["std"]


def read(file):
    """Returns the arrays of a file that `accelerator.py --pack` wrote."""
    with np.load(file) as arrays:
        data = {name: arrays[name] for name in arrays.files}
    return data | {name: data[name].astype("int32") for name in ("y_train", "y_test")}


def pack(name, data_dir, file):
    """Writes a dataset of `kr.data` as one file; this alone needs TensorFlow."""
    import keras_rescnet as kr

    dataset = getattr(kr.data, name.upper())
    arrays = {"mean": np.float32(dataset.mean), "std": np.float32(dataset.std)}
    for split in ("train", "test"):
        examples = kr.data.load(dataset, split, data_dir)
        arrays[f"x_{split}"] = examples.images
        arrays[f"y_{split}"] = np.asarray(examples.labels, "uint8")
    np.savez_compressed(file, **arrays)


def noise(count=64, side=32, classes=10):
    """Returns pictures of noise in place of a dataset, to try the program out."""
    draw = np.random.default_rng(0)
    data = {"mean": np.float32([0.5] * 3), "std": np.float32([0.25] * 3)}
    for split in ("train", "test"):
        data[f"x_{split}"] = draw.integers(0, 256, (count, side, side, 3), "uint8")
        data[f"y_{split}"] = draw.integers(0, classes, count).astype("int32")
    return data
