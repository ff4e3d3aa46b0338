"""Steps of training and evaluation in JAX, on one device."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np


class Engine:
    """Runs jitted steps on JAX's first device.

    Args:
        devices: How many devices to use; `None` or 1.

    Raises:
        ValueError: if more are asked for.
    """

    replicas = 1

    def __init__(self, devices=None):
        if devices not in (None, 1):
            raise ValueError(
                "With Keras on JAX a run uses one device; several need the TensorFlow backend. "
                f"Received: devices={devices}."
            )
        self.devices = [str(jax.devices()[0])]

    def scope(self):
        """Returns the context in which model and optimizer must be made."""
        return contextlib.nullcontext()

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

        self._step = jax.jit(step, donate_argnums=0)
        self._evaluate = jax.jit(evaluate)
        if hasattr(optimizer, "dynamic_scale"):
            paths = [variable.path for variable in optimizer.variables]
            self._scale_index = paths.index(optimizer.dynamic_scale.path)

    def feed(self, batches):
        """Sets where the next steps take their batches from."""
        self._iterator = batches.as_numpy_iterator()

    def steps(self, count):
        """Trains for `count` steps; returns each one's sums of the statistics, `(count, k)`."""
        groups = self._groups()
        state = tuple([variable.value for variable in group] for group in groups)
        rows = []
        for _ in range(count):
            batch = next(self._iterator)
            state, sums = self._step(state, batch["images"], batch["labels"])
            rows.append(sums)
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return np.stack(jax.device_get(rows))

    def evaluate(self, batches):
        """Returns the sums of the statistics over all rows that have weight, `(k,)`."""
        trainable, fixed, _ = ([variable.value for variable in group] for group in self._groups())
        sums = [
            self._evaluate(trainable, fixed, batch["images"], batch["labels"], batch["weights"])
            for batch in batches.as_numpy_iterator()
        ]
        return sum(array.astype("float64") for array in jax.device_get(sums))

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
