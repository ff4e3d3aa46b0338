"""Steps of training and evaluation in JAX, on one device or several, of one process or several."""

import contextlib
import os
import sys
import threading

import jax
import jax.numpy as jnp
import keras
import numpy as np
import tensorflow as tf
from jax.sharding import NamedSharding, PartitionSpec

from keras_rescnet.mistake import Mistake


class Engine:
    """Runs jitted steps; several devices share a batch by `keras.distribution.DataParallel`.

    With `KERAS_DISTRIBUTION_NUM_PROCESSES`, `KERAS_DISTRIBUTION_PROCESS_ID` and
    `KERAS_DISTRIBUTION_JOB_ADDRESSES` it is one process of several. Batch statistics are those of
    the whole batch, wherever its rows are.

    Args:
        devices: How many devices to use; `None` for all.
        timeout: Seconds after which a process that waits for the others gives up.

    Raises:
        ValueError: if there are not that many.
    """

    def __init__(self, devices=None, timeout=300):
        self.timeout = timeout
        with contextlib.suppress(RuntimeError):  # if it runs already
            tf.config.set_visible_devices([], "GPU")  # it only feeds, and would take all memory
        if int(os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES", 1)) > 1:
            keras.distribution.initialize()
        there = jax.devices()
        if devices is not None and devices > len(there):
            raise Mistake(f"There are {len(there)} devices. Received: devices={devices}.")
        there = there[:devices]
        self.processes, self.chief = jax.process_count(), jax.process_index() == 0
        self.replicas = len(there)
        self.devices = [str(device) for device in there]
        self.distribution = self._of_rows = self._of_all = None
        if self.replicas > 1:
            self.distribution = keras.distribution.DataParallel(
                devices=[f"{device.platform}:{device.id}" for device in there],
                auto_shard_dataset=False,
            )
            mesh = self.distribution.device_mesh.backend_mesh
            self._of_rows = NamedSharding(mesh, PartitionSpec("batch"))
            self._of_all = NamedSharding(mesh, PartitionSpec())

    def scope(self):
        """Returns the context in which model and optimizer must be made."""
        return _Distribution(self.distribution)

    def build(
        self, model, optimizer, train_statistics, test_statistics, *, batch_size, accumulation_steps
    ):
        """Says what a step is; arguments as for the TensorFlow engine."""
        self.model, self.optimizer = model, optimizer

        def loss_of(trainable, fixed, optimizer_state, images, labels):
            logits, fixed, penalties = model.stateless_call(
                trainable, fixed, images, training=True, return_losses=True
            )
            rows = train_statistics(labels, logits)
            loss = jnp.sum(rows[:, 0]) / batch_size + sum(penalties) / accumulation_steps
            if hasattr(optimizer, "dynamic_scale"):
                loss = loss * optimizer_state[self._scale_index]
            return loss, (jnp.sum(rows, axis=0), fixed)

        gradients_of = jax.grad(loss_of, has_aux=True)

        def step(state, images, labels):
            trainable, fixed, optimizer_state = state
            gradients, sums = None, 0.0
            for part in zip(
                jnp.split(images, accumulation_steps),
                jnp.split(labels, accumulation_steps),
                strict=True,
            ):
                more, (more_sums, fixed) = gradients_of(trainable, fixed, optimizer_state, *part)
                sums += more_sums
                gradients = more if gradients is None else jax.tree.map(jnp.add, gradients, more)
            trainable, optimizer_state = optimizer.stateless_apply(
                optimizer_state, gradients, trainable
            )
            return (trainable, fixed, optimizer_state), sums

        def evaluate(trainable, fixed, images, labels, weights):
            logits, _ = model.stateless_call(trainable, fixed, images, training=False)
            return jnp.sum(test_statistics(labels, logits) * weights[:, None], axis=0)

        self._step = jax.jit(step, donate_argnums=0, out_shardings=self._of_all)
        self._evaluate = jax.jit(evaluate, out_shardings=self._of_all)
        if hasattr(optimizer, "dynamic_scale"):
            paths = [variable.path for variable in optimizer.variables]
            self._scale_index = paths.index(optimizer.dynamic_scale.path)

    def feed(self, batches):
        """Sets where the next steps take their batches from; as for the TensorFlow engine."""
        self._iterator = self._own(batches)

    def steps(self, count):
        """Trains for `count` steps; returns each one's sums of the statistics, `(count, k)`."""
        groups = self._groups()
        state = tuple([variable.value for variable in group] for group in groups)
        rows = []
        with self._others():
            for _ in range(count):
                batch = self._place(next(self._iterator))
                state, sums = self._step(state, batch["images"], batch["labels"])
                rows.append(sums)
            for group, values in zip(groups, state, strict=True):
                for variable, value in zip(group, values, strict=True):
                    variable.assign(value)
            return np.stack([np.asarray(sums) for sums in rows])

    def evaluate(self, batches):
        """Returns the sums of the statistics over all rows that have weight, `(k,)`."""
        trainable, fixed, _ = ([variable.value for variable in group] for group in self._groups())
        with self._others():
            sums = [
                self._evaluate(trainable, fixed, batch["images"], batch["labels"], batch["weights"])
                for batch in map(self._place, self._own(batches))
            ]
            return sum(np.asarray(array).astype("float64") for array in sums)

    def any(self, flag):
        """Returns whether `flag` holds in any process; all of them must ask."""
        if self.processes == 1:
            return flag
        from jax.experimental import multihost_utils

        with self._others():
            return bool(multihost_utils.process_allgather(np.array(float(flag))).max() > 0)

    def save(self, model, path):
        """Writes a `.keras` file; the chief alone does, so what it makes on the way is its own."""
        with _Distribution(None):
            model.save(path)

    def _own(self, batches):
        """Returns an iterator over this process's rows of every batch."""
        return batches(
            num_shards=self.processes, shard_index=jax.process_index()
        ).as_numpy_iterator()

    def _place(self, batch):
        """Gives every device its rows of the global batch, of which a process has its own."""
        if self._of_rows is None:
            return batch
        return {
            name: jax.make_array_from_process_local_data(
                self._of_rows, array, (self.processes * len(array), *array.shape[1:])
            )
            for name, array in batch.items()
        }

    @contextlib.contextmanager
    def _others(self):
        """Ends this process when another is gone, or has not answered in time."""
        if self.processes == 1:
            yield
            return
        message = (
            "Another process of this run is gone, or did not answer in time ({}). Start all of "
            "them again: they go on from the last checkpoint."
        )

        def give_up():  # a hanging collective cannot be interrupted
            print(message.format("timeout"), file=sys.stderr, flush=True)
            os._exit(4)

        timer = threading.Timer(self.timeout, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            raise ConnectionError(message.format(type(error).__name__)) from error
        finally:
            timer.cancel()

    def variables(self):
        """Returns the values of all variables, as a list of numpy arrays."""
        return [np.array(variable.value) for variable in self._variables()]

    def assign(self, arrays):
        """Gives all variables their values."""
        for variable, array in zip(self._variables(), arrays, strict=True):
            variable.assign(array)

    def _variables(self):
        return [*self.model.variables, *self.optimizer.variables]

    def _groups(self):
        return (
            self.model.trainable_variables,
            self.model.non_trainable_variables,
            self.optimizer.variables,
        )


class _Distribution:
    """A context in which a distribution holds: what makes variables asks for it."""

    def __init__(self, distribution):
        self.distribution = distribution

    def __enter__(self):
        self.before = keras.distribution.distribution()
        keras.distribution.set_distribution(self.distribution)

    def __exit__(self, *_):
        keras.distribution.set_distribution(self.before)
