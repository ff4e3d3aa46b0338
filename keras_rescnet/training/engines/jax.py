"""Steps of training and evaluation in JAX, on one device or several, of one process or several."""

import atexit
import contextlib
import functools
import os
import re
import time

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from keras_rescnet.console import say
from keras_rescnet.data.dataset import hide_gpus_from_tensorflow
from keras_rescnet.mistake import Mistake
from keras_rescnet.training import launchers
from keras_rescnet.training.engines.addresses import listening
from keras_rescnet.training.engines.jax_steps import (
    evaluation_step,
    prediction_step,
    train_step,
)
from keras_rescnet.training.engines.task_engine import TaskEngine
from keras_rescnet.training.engines.waiting import LOST, Deadline, lost, too_late

_STAY = 3.0  # seconds; processes end together, after a collective operation

# What collectives and the service that coordinates the processes say when a process is gone. JAX
# has no type for it: it comes as a JaxRuntimeError or as a ValueError, as other errors do.
_GONE = re.compile(
    r"UNAVAILABLE|ABORTED|DEADLINE_EXCEEDED|CANCELLED|[Gg]loo|NCCL|[Cc]oordination|[Hh]eartbeat"
)


class Engine(TaskEngine):
    """An `engines.Engine` that runs jitted steps.

    Several devices share a batch by `keras.distribution.DataParallel`: what is computed is that
    of one device, statistics of batch normalization and masks of dropout too, wherever a batch's
    rows are. Every variable is whole on every device.

    With several processes in the environment (`launchers.find`) it is one of them, and uses the
    devices of all.

    Args:
        devices: How many devices to use; `None` for all.
        timeout: Seconds after which a process that waits for the others gives up: for all to
            start, for one step, for the evaluation of one batch.

    Raises:
        Mistake: If there are not that many devices, the environment describes the processes of
            the run wrongly, or the port of the first address is in use.
    """

    def __init__(self, devices=None, timeout=300):
        self._timeout = timeout
        hide_gpus_from_tensorflow()
        _join(timeout)
        self.processes, self.chief = jax.process_count(), jax.process_index() == 0
        self._check_devices(devices)
        available = jax.devices()
        if devices is not None and devices > len(available):
            raise Mistake(f"There are {len(available)} devices. Received: devices={devices}.")
        available = available[:devices]
        self.replicas = len(available)
        self.devices = [str(device) for device in available]
        self._distribution = self._by_rows = self._on_all = None
        if self.replicas > 1:
            self._distribution = keras.distribution.DataParallel(
                devices=[f"{device.platform}:{device.id}" for device in available],
                auto_shard_dataset=False,
            )
            mesh = self._distribution.device_mesh.backend_mesh
            self._by_rows = NamedSharding(mesh, PartitionSpec("batch"))
            self._on_all = NamedSharding(mesh, PartitionSpec())

    def scope(self):
        """See `engines.Engine`."""
        return _distributed(self._distribution)

    def build(self, task):
        """See `engines.Engine`."""
        super().build(task)
        # The state is handed over, so that its memory serves for the next
        self._train_step = jax.jit(
            functools.partial(train_step, task), donate_argnums=0, out_shardings=self._on_all
        )
        self._evaluation_step = jax.jit(
            functools.partial(evaluation_step, task), out_shardings=self._on_all
        )
        self._prediction_step = jax.jit(
            functools.partial(prediction_step, task), out_shardings=self._on_all
        )

    def feed(self, batches):
        """See `engines.Engine`."""
        self._iterator = self._rows_of_process(batches)

    def steps(self, learning_rates):
        """See `engines.Engine`."""
        groups, optimizer = self._groups(), self._task.optimizer
        state = tuple([variable.value for variable in group] for group in groups)
        teacher = _values_of(self._task.teacher)
        place = [variable is optimizer.learning_rate for variable in groups[-1]].index(True)
        rows = []
        with self._others() as deadline:
            for rate in np.array(learning_rates, "float32"):
                batch = self._place(next(self._iterator))
                state[-1][place] = rate
                state, sums = self._train_step(state, teacher, batch["images"], batch["labels"])
                rows.append(sums)
                self._keep_up(rows, deadline)
            for group, values in zip(groups, state, strict=True):
                for variable, value in zip(group, values, strict=True):
                    variable.assign(value)
            return np.stack([np.asarray(sums) for sums in rows])

    def _keep_up(self, results, deadline):
        """Of several processes, waits for all results but the last: each has the whole timeout."""
        if self.processes > 1 and len(results) > 1:
            results[-2].block_until_ready()
            deadline.restart()

    def evaluate(self, batches):
        """See `engines.Engine`."""
        sums = self._of_batches(self._evaluation_step, batches)
        return sum(array.astype("float64") for array in sums)

    def predict(self, batches):
        """See `engines.Engine`."""
        rows = np.concatenate(self._of_batches(self._prediction_step, batches))
        labels, logits = np.split(rows[rows[:, -1] > 0, :-1], 2, axis=1)
        return labels, logits

    def _of_batches(self, step, batches):
        """Returns what a step gives of the model and each batch."""
        model = _values_of(self._task.model)
        found = []
        with self._others() as deadline:
            for batch in map(self._place, self._rows_of_process(batches)):
                found.append(step(*model, batch))
                self._keep_up(found, deadline)
            return [np.asarray(array) for array in found]

    def any(self, flag):
        """See `engines.Engine`."""
        return flag if self.processes == 1 else bool(np.any(self._all(np.array(float(flag)))))

    def wait_for_all(self):
        """See `engines.Engine`."""
        self.any(False)

    def gather(self, text):
        """See `engines.Engine`."""
        if self.processes == 1:
            return [text]
        letters = self._all(np.array(list(text.encode("ascii")), "int32"))
        return [bytes(row.astype("uint8")).decode("ascii") for row in letters]

    def _all(self, array):
        """Returns the arrays of all processes, along a new first axis."""
        with self._others():
            return np.asarray(multihost_utils.process_allgather(array))

    def save(self, path):
        """See `engines.Engine`."""
        # The chief alone does: what it makes on the way must not be made by all
        with _distributed(None):
            self._task.model.save(path)

    def _rows_of_process(self, batches):
        shard = batches(num_shards=self.processes, shard_index=jax.process_index())
        return shard.as_numpy_iterator()

    def _place(self, batch):
        """Gives every device its rows of the global batch, of which a process has its own."""
        if self._by_rows is None:
            return batch
        return {
            name: jax.make_array_from_process_local_data(
                self._by_rows, array, (self.processes * len(array), *array.shape[1:])
            )
            for name, array in batch.items()
        }

    @contextlib.contextmanager
    def _others(self):
        """Raises a `ProcessLost` when another process is gone; a hang ends this one."""
        timeout = self._timeout if self.processes > 1 else None
        try:
            with Deadline(timeout, LOST.format(f"timeout of {self._timeout:g} s")) as deadline:
                yield deadline
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            if self.processes == 1 or isinstance(error, Mistake) or not _GONE.search(str(error)):
                raise
            raise lost(error) from error

    def _groups(self):
        model, optimizer = self._task.model, self._task.optimizer
        return model.trainable_variables, model.non_trainable_variables, optimizer.variables


def _values_of(model):
    """Returns lists of the values of a model's variables, trainable and others."""
    groups = () if model is None else (model.trainable_variables, model.non_trainable_variables)
    return tuple([variable.value for variable in group] for group in groups)


@contextlib.contextmanager
def _distributed(distribution):
    """A context in which a distribution holds: whatever makes variables asks for it."""
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(distribution)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def _join(timeout):
    """Starts the service that coordinates the processes, if there are several."""
    found = launchers.find(os.environ)
    if found is None or jax.distributed.is_initialized():
        return
    say(str(found))
    if found.index == 0:
        with listening(found.addresses[0]):
            pass  # its port is free
    with Deadline(timeout, LOST.format(f"not all started in {timeout:g} s")):
        try:
            # Or the death of one process would end the others in C++, with pages of it, and one
            # that ends because of an error would wait for those that wait for it
            jax.config.update("jax_enable_recoverability", True)
            jax.distributed.initialize(
                coordinator_address=found.addresses[0],
                num_processes=found.count,
                process_id=found.index,
                local_device_ids=found.local_devices,
                # It would take one GPU for every process of Slurm and Open MPI
                cluster_detection_method="deactivate",
                # Later than the deadline: at its own, JAX ends with pages of C++
                initialization_timeout=int(timeout) + 60,
            )
        except jax.errors.JaxRuntimeError as error:
            raise lost(error) from error
        except RuntimeError as error:
            raise too_late(error) from None
    atexit.register(_leave, first=found.index == 0)  # runs before JAX's own, which is older


def _leave(first):
    """Takes leave of the service that coordinates the processes, which runs in the first one.

    To leave a service that has ended is fatal in C++, so the first process stays a little longer.
    """
    if first:
        time.sleep(_STAY)
    jax.distributed.shutdown()
