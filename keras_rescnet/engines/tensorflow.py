"""Steps of training and evaluation in TensorFlow, on one device or several."""

import numpy as np
import tensorflow as tf


class Engine:
    """Runs steps under a `tf.distribute` strategy.

    Args:
        devices: How many devices to use; `None` for all GPUs, or else the CPU.

    Raises:
        ValueError: if there are not that many devices.
    """

    def __init__(self, devices=None):
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        there = tf.config.list_logical_devices(kind)
        count = devices or (len(there) if kind == "GPU" else 1)
        if count > len(there):
            raise ValueError(f"There are {len(there)} {kind} devices. Received: devices={devices}.")
        self.devices = [device.name for device in there[:count]]
        self.replicas = count
        self.strategy = tf.distribute.get_strategy()
        if count > 1:
            # On CPUs the default, collective operations, fails for a second strategy in a process
            reduction = tf.distribute.ReductionToOneDevice() if kind == "CPU" else None
            self.strategy = tf.distribute.MirroredStrategy(self.devices, reduction)

    def scope(self):
        """Returns the context in which model and optimizer must be made."""
        return self.strategy.scope()

    def build(
        self, model, optimizer, train_statistics, test_statistics, *, batch_size, accumulation_steps
    ):
        """Says what a step is; it is compiled when it first runs.

        Args:
            model: Images to logits.
            optimizer: Built on the model's trainable variables.
            train_statistics: `(labels, logits) -> (rows, k)`; column 0 is the loss to minimize.
            test_statistics: The same for evaluation.
            batch_size: Images a step, over all devices.
            accumulation_steps: Parts that a batch goes through the model in.
        """
        self.model, self.optimizer = model, optimizer
        strategy, replicas = self.strategy, self.replicas
        variables = model.trainable_variables
        values = [variable.value for variable in variables]

        def gradients_of(images, labels):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(values)
                rows = train_statistics(labels, model(images, training=True))
                loss = tf.reduce_sum(rows[:, 0]) / batch_size
                if model.losses:  # penalties count once, whatever the number of parts and devices
                    loss += tf.add_n(model.losses) / (replicas * accumulation_steps)
                loss = optimizer.scale_loss(loss)
            return tape.gradient(loss, values), tf.reduce_sum(rows, axis=0)

        def replica_step(batch):
            images = tf.split(batch["images"], accumulation_steps)
            labels = tf.split(batch["labels"], accumulation_steps)
            gradients, sums = gradients_of(images[0], labels[0])
            for part in zip(images[1:], labels[1:], strict=True):
                more, more_sums = gradients_of(*part)
                gradients = [a + b for a, b in zip(gradients, more, strict=True)]
                sums += more_sums
            if replicas > 1:
                # `apply` adds the replicas up, but only after it has clipped and looked for
                # overflow: both must see the gradient of the whole batch
                context = tf.distribute.get_replica_context()
                gradients = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
            optimizer.apply(gradients, variables)
            return sums

        def replica_sums(batch):
            rows = test_statistics(batch["labels"], model(batch["images"], training=False))
            return tf.reduce_sum(rows * batch["weights"][:, None], axis=0)

        def add_up(function, batch):
            sums = strategy.run(function, args=(batch,))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

        @tf.function(reduce_retracing=True)
        def run_steps(iterator, count):
            rows = tf.TensorArray(tf.float32, size=count)
            for i in tf.range(count):
                rows = rows.write(i, add_up(replica_step, next(iterator)))
            return rows.stack()

        @tf.function(reduce_retracing=True, autograph=False)
        def run_evaluation(batch):
            return add_up(replica_sums, batch)

        self._run_steps, self._run_evaluation = run_steps, run_evaluation

    def feed(self, batches):
        """Sets where the next steps take their global batches from."""
        self._iterator = iter(self._split(batches))

    def steps(self, count):
        """Trains for `count` steps; returns each one's sums of the statistics, `(count, k)`."""
        return self._run_steps(self._iterator, tf.constant(count)).numpy()

    def evaluate(self, batches):
        """Returns the sums of the statistics over all rows that have weight, `(k,)`."""
        return sum(
            self._run_evaluation(batch).numpy().astype("float64") for batch in self._split(batches)
        )

    def variables(self):
        """Returns the values of all variables, as a list of numpy arrays."""
        return [np.array(variable.value) for variable in self._variables()]

    def assign(self, arrays):
        """Gives all variables their values."""
        for variable, array in zip(self._variables(), arrays, strict=True):
            variable.assign(array)

    def _variables(self):
        return [*self.model.variables, *self.optimizer.variables]

    def _split(self, batches):
        """Gives every replica its own rows of the same global batch."""
        replicas = self.replicas
        if replicas == 1:
            return batches

        def parts(batch):
            def split(tensor):
                return tf.reshape(tensor, [replicas, -1, *tensor.shape[1:]])

            return tf.data.Dataset.from_tensor_slices(
                {name: split(tensor) for name, tensor in batch.items()}
            )

        options = tf.data.Options()
        options.autotune.enabled = False
        return self.strategy.distribute_datasets_from_function(
            lambda _: batches.flat_map(parts).with_options(options)
        )
