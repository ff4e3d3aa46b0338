"""Steps of training and evaluation in TensorFlow, on one device, several, or several machines."""

import contextlib
import json
import os

import numpy as np
import tensorflow as tf

from keras_rescnet.gaussian import erfc_in_graphs
from keras_rescnet.mistake import Mistake


class Engine:
    """Runs steps under a `tf.distribute` strategy.

    With a cluster in `TF_CONFIG` it is one process of several, each with all of its devices.

    Args:
        devices: How many devices to use; `None` for all GPUs, or else the CPU.
        timeout: Seconds after which a process that waits for the others gives up.

    Raises:
        ValueError: if there are not that many devices, or `TF_CONFIG` cannot be read.
    """

    def __init__(self, devices=None, timeout=300):
        cluster = _cluster()
        self.processes = len([host for hosts in cluster.values() for host in hosts]) or 1
        self.chief = True
        if self.processes > 1:
            self._join(cluster, devices, timeout)
        else:
            self._take_devices(devices)
        self.replicas = self.strategy.num_replicas_in_sync

    def _join(self, cluster, devices, timeout):
        if devices is not None:
            raise Mistake(
                "With several processes each uses all devices that it sees (CUDA_VISIBLE_DEVICES). "
                f"Received: devices={devices}."
            )
        kind = tf.distribute.experimental.CommunicationImplementation
        options = tf.distribute.experimental.CommunicationOptions(
            timeout_seconds=timeout,
            implementation=kind.AUTO if tf.config.list_physical_devices("GPU") else kind.RING,
        )
        self.strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
        resolver = self.strategy.cluster_resolver
        self.chief = resolver.task_type == "chief" or (
            "chief" not in cluster and resolver.task_id == 0
        )
        self.devices = [f"{self.strategy.num_replicas_in_sync} in {self.processes} processes"]

    def _take_devices(self, devices):
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        there = tf.config.list_logical_devices(kind)
        count = devices or (len(there) if kind == "GPU" else 1)
        if count > len(there):
            raise Mistake(f"There are {len(there)} {kind} devices. Received: devices={devices}.")
        self.devices = [device.name for device in there[:count]]
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
            with erfc_in_graphs():
                logits = model(batch["images"], training=False)
            rows = test_statistics(batch["labels"], logits)
            return tf.reduce_sum(rows * batch["weights"][:, None], axis=0)

        def add_up(function, argument):
            def replica(argument):
                sums = function(argument)
                if replicas == 1:
                    return sums
                context = tf.distribute.get_replica_context()
                return context.all_reduce(tf.distribute.ReduceOp.SUM, sums)

            sums = strategy.run(replica, args=(argument,))
            return strategy.experimental_local_results(sums)[0]

        @tf.function(reduce_retracing=True)
        def run_steps(iterator, count):
            rows = tf.TensorArray(tf.float32, size=count)
            for i in tf.range(count):
                rows = rows.write(i, add_up(replica_step, next(iterator)))
            return rows.stack()

        @tf.function(reduce_retracing=True, autograph=False)
        def run_evaluation(batch):
            return add_up(replica_sums, batch)

        @tf.function(reduce_retracing=True, autograph=False)
        def run_any(flag):
            return add_up(tf.identity, flag)

        self._run_steps, self._run_evaluation, self._run_any = run_steps, run_evaluation, run_any

    def feed(self, batches):
        """Sets where the next steps take their batches from.

        Args:
            batches: Function of `num_shards` and `shard_index` that returns a dataset of one shard
                of the rows of every global batch.
        """
        self._iterator = iter(self._distribute(batches))

    def steps(self, count):
        """Trains for `count` steps; returns each one's sums of the statistics, `(count, k)`."""
        with self._others():
            return self._run_steps(self._iterator, tf.constant(count)).numpy()

    def evaluate(self, batches):
        """Returns the sums of the statistics over all rows that have weight, `(k,)`.

        Args:
            batches: As for `feed`.
        """
        with self._others():
            return sum(
                self._run_evaluation(batch).numpy().astype("float64")
                for batch in self._distribute(batches)
            )

    def any(self, flag):
        """Returns whether `flag` holds in any process; all of them must ask."""
        if self.processes == 1:
            return flag
        with self._others():
            return bool(self._run_any(tf.constant(float(flag))) > 0)

    @contextlib.contextmanager
    def _others(self):
        """Turns what TensorFlow says when another process is gone into one line."""
        try:
            yield
        except tf.errors.OpError as error:
            if self.processes == 1:
                raise
            raise ConnectionError(
                f"Another process of this run is gone, or did not answer in time "
                f"({type(error).__name__}). Start all of them again: they go on from the last "
                "checkpoint."
            ) from error

    def variables(self):
        """Returns the values of all variables, as a list of numpy arrays."""
        return [np.array(variable.value) for variable in self._variables()]

    def assign(self, arrays):
        """Gives all variables their values."""
        for variable, array in zip(self._variables(), arrays, strict=True):
            variable.assign(array)

    def save(self, model, path):
        """Writes a `.keras` file; only the chief does."""
        model.save(path)

    def _variables(self):
        return [*self.model.variables, *self.optimizer.variables]

    def _distribute(self, batches):
        """Gives every replica its own rows of the same global batch."""
        if self.replicas == 1:
            return batches(num_shards=1, shard_index=0)
        options = tf.data.Options()
        options.autotune.enabled = False

        def of_process(context):
            processes = context.num_input_pipelines
            local = self.replicas // processes

            def of_replicas(batch):
                return tf.data.Dataset.from_tensor_slices(
                    {
                        name: tf.reshape(tensor, [local, -1, *tensor.shape[1:]])
                        for name, tensor in batch.items()
                    }
                )

            own = batches(num_shards=processes, shard_index=context.input_pipeline_id)
            return own.flat_map(of_replicas).with_options(options)

        return self.strategy.distribute_datasets_from_function(of_process)


def _cluster():
    """Returns the hosts of the cluster in `TF_CONFIG` by kind of task, none without it."""
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        return json.loads(text).get("cluster", {})
    except (AttributeError, json.JSONDecodeError):
        raise Mistake(
            '`TF_CONFIG` must be JSON, {"cluster": ..., "task": ...}: docs/multi_machine.md has '
            f"an example. Received: TF_CONFIG={text}."
        ) from None
