"""Steps of training and evaluation in TensorFlow, on one device, several, or several machines."""

import contextlib
import functools
import os

import keras
import numpy as np
import tensorflow as tf

from keras_rescnet.console import say
from keras_rescnet.mistake import Mistake
from keras_rescnet.training import launchers
from keras_rescnet.training.engines.addresses import meet
from keras_rescnet.training.engines.task_engine import TaskEngine
from keras_rescnet.training.engines.tensorflow_steps import (
    SUM,
    evaluation_step,
    prediction_step,
    share_statistics,
    train_step,
)
from keras_rescnet.training.engines.waiting import LOST, Deadline, lost, too_late

# What a collective operation, or the service that coordinates the processes, raises when another
# process is gone. Internal is also what a defect raises, so it must name a collective.
_GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
)


class Engine(TaskEngine):
    """An `engines.Engine` that runs steps under a `tf.distribute` strategy.

    With several processes in the environment (`launchers.find`) it is one of them, each with all of
    its devices.

    Args:
        devices: How many devices to use; `None` for all GPUs, or else the CPU.
        timeout: Seconds after which a process that waits for the others gives up.

    Raises:
        Mistake: If there are not that many devices, the environment describes the processes of
            the run wrongly, or the port it gives this process is in use.
    """

    def __init__(self, devices=None, timeout=300):
        self._timeout = timeout
        found = launchers.find(os.environ)
        self.processes, self._index = (1, 0) if found is None else (found.count, found.index)
        self.chief = self._index == 0
        if found is not None:
            self._join(found, devices)
        else:
            self._take_devices(devices)
        self.replicas = self.strategy.num_replicas_in_sync

        @tf.function(autograph=False)
        def run_sum(tensor):
            return self._sum(tf.identity, tensor)

        self._run_sum = run_sum

    def _join(self, found, devices):
        self._check_devices(devices)
        addresses = found.all_addresses()
        say(str(found))
        _show_devices(found.local_devices)
        meet(addresses, self._index, self._timeout)
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(addresses)}),
            task_type="worker",
            task_id=self._index,
        )
        kind = tf.distribute.experimental.CommunicationImplementation
        # Without `timeout_seconds`: after every collective operation TensorFlow lets a thread sleep
        # so long, hundreds for a step, until none can be started. `_others` has a deadline instead
        options = tf.distribute.experimental.CommunicationOptions(
            implementation=kind.AUTO if tf.config.list_physical_devices("GPU") else kind.RING,
        )
        with self._others():
            try:
                self.strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver, options)
            except RuntimeError as error:
                raise too_late(error) from None
        self.devices = [f"{self.strategy.num_replicas_in_sync} in {self.processes} processes"]

    def _take_devices(self, devices):
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        available = tf.config.list_logical_devices(kind)
        count = devices or (len(available) if kind == "GPU" else 1)
        if count > len(available):
            raise Mistake(
                f"This machine has {len(available)} {kind} devices. Received: devices={devices}."
            )
        self.devices = [device.name for device in available[:count]]
        self.strategy = tf.distribute.get_strategy()
        if count > 1:
            # On CPUs the default, collective operations, fails for a second strategy in a process
            reduction = tf.distribute.ReductionToOneDevice() if kind == "CPU" else None
            self.strategy = tf.distribute.MirroredStrategy(self.devices, reduction)

    @contextlib.contextmanager
    def scope(self):
        """See `engines.Engine`."""
        with self._others(), self.strategy.scope():  # a variable is made by all processes together
            yield

    def build(self, task):
        """See `engines.Engine`."""
        super().build(task)
        # A variable, because another number of steps would be another shape of an argument, for
        # which the step would be traced again
        self._learning_rates = learning_rates = tf.Variable(np.zeros(1, "float32"), shape=[None])
        if self.replicas > 1:
            _sum_no_more(task.optimizer)

        # Not a loop of Python's: AutoGraph, to convert it, reads all that a step calls, for seconds
        @tf.function(reduce_retracing=True, autograph=False)
        def run_steps(iterator, count):
            def step(i, rows):
                task.optimizer.learning_rate = learning_rates[i]
                row = self._sum(functools.partial(train_step, task), next(iterator))
                return i + 1, rows.write(i, row)

            rows = tf.TensorArray(tf.float32, size=count)
            _, rows = tf.while_loop(lambda i, _: i < count, step, (0, rows))
            return rows.stack()

        @tf.function(reduce_retracing=True, autograph=False)
        def run_evaluation(batch):
            return self._sum(functools.partial(evaluation_step, task), batch)

        @tf.function(reduce_retracing=True, autograph=False)
        def run_prediction(batch):
            rows = self.strategy.run(functools.partial(prediction_step, task), args=(batch,))
            return self.strategy.experimental_local_results(rows)[0]  # all have the same

        @tf.function(autograph=False)
        def run_sharing():
            self.strategy.run(functools.partial(share_statistics, task))

        self._run_steps, self._run_evaluation = run_steps, run_evaluation
        self._run_prediction, self._run_sharing = run_prediction, run_sharing

    def _sum(self, function, argument):
        """Returns the sum of what a function returns on all replicas."""

        def on_replica(argument):
            value = function(argument)
            if self.replicas == 1:
                return value
            return tf.distribute.get_replica_context().all_reduce(SUM, value)

        total = self.strategy.run(on_replica, args=(argument,))
        return self.strategy.experimental_local_results(total)[0]

    def feed(self, batches):
        """See `engines.Engine`."""
        self._iterator = self._distribute(batches)

    def steps(self, learning_rates):
        """See `engines.Engine`."""
        # Of several processes one by one, so that each step has the whole timeout
        rates = np.array(learning_rates, "float32")
        parts = [rates] if self.processes == 1 else np.split(rates, len(rates))
        rows = []
        with self._others() as deadline:
            for part in parts:
                self._learning_rates.assign(part)
                rows.append(self._run_steps(self._iterator, tf.constant(len(part))).numpy())
                deadline.restart()
        return np.concatenate(rows)

    def evaluate(self, batches):
        """See `engines.Engine`."""
        sums = 0.0
        with self._others() as deadline:
            if self.replicas > 1:
                self._run_sharing()
            for batch in self._distribute(batches):
                sums = sums + self._run_evaluation(batch).numpy().astype("float64")
                deadline.restart()
        return sums

    def predict(self, batches):
        """See `engines.Engine`."""
        found = []
        with self._others() as deadline:
            if self.replicas > 1:
                self._run_sharing()
            for batch in self._distribute(batches):
                rows = self._run_prediction(batch).numpy()
                found.append(rows[rows[:, -1] > 0, :-1])
                deadline.restart()
        labels, logits = np.split(np.concatenate(found), 2, axis=1)
        return labels, logits

    def any(self, flag):
        """See `engines.Engine`."""
        return flag if self.processes == 1 else bool(self._sum_arrays(float(flag)) > 0)

    def wait_for_all(self):
        """See `engines.Engine`."""
        self.any(False)

    def gather(self, text):
        """See `engines.Engine`."""
        letters = np.zeros((self.processes, len(text)), "float32")
        letters[self._index] = list(text.encode("ascii"))
        if self.processes > 1:  # every replica of a process adds the same
            letters = self._sum_arrays(letters) * self.processes / self.replicas
        return [bytes(row.round().astype("uint8")).decode("ascii") for row in letters]

    def _sum_arrays(self, array):
        """Returns the sum of the arrays of all replicas of all processes."""
        with self._others():
            return self._run_sum(tf.constant(array, "float32")).numpy()

    @contextlib.contextmanager
    def _others(self):
        """Raises a `ProcessLost` when another process is gone; a hang ends this one."""
        timeout = self._timeout if self.processes > 1 else None
        try:
            with Deadline(timeout, LOST.format(f"timeout of {self._timeout:g} s")) as deadline:
                yield deadline
        except tf.errors.OpError as error:
            collective = "ollective" in str(error) or "oordination" in str(error)
            internal = isinstance(error, tf.errors.InternalError) and collective
            if self.processes == 1 or not (isinstance(error, _GONE) or internal):
                raise
            raise lost(error) from error

    def save(self, path):
        """See `engines.Engine`."""
        self._task.model.save(path)

    def _distribute(self, batches):
        """Gives every replica its own rows of the same global batch."""
        if self.replicas == 1:
            return iter(batches(num_shards=1, shard_index=0))

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

            mine = batches(num_shards=processes, shard_index=context.input_pipeline_id)
            return _without_autotune(mine.flat_map(of_replicas))

        with _replicas_without_autotune():
            return iter(self.strategy.distribute_datasets_from_function(of_process))


def _without_autotune(dataset):
    """Returns the dataset with nothing that tunes it.

    The end of an iterator waits for the thread that tunes it, which on a busy machine was seen to
    sleep on, for 40 seconds and more.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


@contextlib.contextmanager
def _replicas_without_autotune():
    """Has the datasets that TensorFlow itself puts before every replica not tuned either.

    There is no public way to give them options. Should the private function go, a run on several
    devices ends here, and one on a single device continues.
    """
    from tensorflow.python.data.ops import multi_device_iterator_ops

    make = multi_device_iterator_ops._create_device_dataset
    multi_device_iterator_ops._create_device_dataset = lambda *arguments: _without_autotune(
        make(*arguments)
    )
    try:
        yield
    finally:
        multi_device_iterator_ops._create_device_dataset = make


def _show_devices(numbers):
    """Lets TensorFlow see some of this process's GPUs alone; all of them with `None`."""
    devices = tf.config.list_physical_devices("GPU")
    if numbers is None or not devices:
        return
    if max(numbers) >= len(devices):
        raise Mistake(
            f"The processes of a machine must share its GPUs, {len(devices)} here: start at most "
            f"as many. Received: a process that is to have number {max(numbers)}, from 0."
        )
    tf.config.set_visible_devices([devices[number] for number in numbers], "GPU")


def _sum_no_more(optimizer):
    """Leaves the sum of the gradients over replicas to `train_step`: a second would be in vain.

    Keras has no public switch for it. Should its private method go, a run on several devices ends
    here, instead of adding all gradients up twice (tests/training/test_devices.py).
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    if not hasattr(optimizer, "_all_reduce_sum_gradients"):
        raise RuntimeError("Keras's optimizers no longer sum gradients in the method known here.")
    optimizer._all_reduce_sum_gradients = list
