"""What runs the steps of a training: the `Engine` protocol, and one module for each backend."""

import contextlib
import dataclasses
import typing
from collections.abc import Callable, Sequence

import keras
import numpy as np

from keras_rescnet.arguments import check_integer, check_number
from keras_rescnet.mistake import Mistake


class Engine(typing.Protocol):
    """What runs the steps of a training, on one device or several, of one process or several.

    In a run of several processes each has an engine, all call the same methods in the same order,
    and `steps`, `evaluate`, `any`, `wait_for_all`, `gather` and `assign` wait for the others.

    Attributes:
        chief: Whether this is the process that prints and writes: one of a run is.
        processes: Number of processes of the run.
        replicas: Number of devices over which a batch is shared, in all processes.
        devices: Names of the devices, for people.

    Raises:
        ProcessLost: from any method that waits, if another process is gone or did not answer
            in time. A wait within C++ that nothing can interrupt ends the process instead, with
            the same line and exit code 4 (`engines/waiting.py`).
    """

    chief: bool
    processes: int
    replicas: int
    devices: list[str]

    def scope(self) -> contextlib.AbstractContextManager:
        """Returns the context in which model and optimizer must be made."""

    def build(self, task: "Task") -> None:
        """Sets what a step computes; it is compiled when it first runs."""

    def feed(self, batches: Callable) -> None:
        """Sets where the next steps take their batches from.

        Args:
            batches: Function of `num_shards` and `shard_index` that returns a dataset of one shard
                of the rows of every global batch, dicts of `"images"` and `"labels"`.
        """

    def steps(self, learning_rates: Sequence[float]) -> np.ndarray:
        """Makes a step with each learning rate; returns the sums of their statistics.

        One row per step, `(steps, k)`.
        """

    def evaluate(self, batches: Callable) -> np.ndarray:
        """Returns the sums of the statistics over all rows that have weight, `(k,)` in float64.

        What is evaluated is the model that `save` would write: where every device keeps moving
        statistics of its own, all get those of the first device before.

        Args:
            batches: As for `feed`; of dicts that hold `"weights"` too, 0 for rows that only fill
                up a batch.
        """

    def predict(self, batches: Callable) -> tuple[np.ndarray, np.ndarray]:
        """Returns the labels and the logits of all rows that have weight, `(N, classes)` each.

        The model is that of `evaluate`. Of several devices or processes, the rows of a batch come
        in an order of the engine.

        Args:
            batches: As for `evaluate`.
        """

    def any(self, flag: bool) -> bool:
        """Returns whether `flag` holds in any process."""

    def wait_for_all(self) -> None:
        """Returns when all processes have called this."""

    def gather(self, text: str) -> list[str]:
        """Returns the text of every process, the chief's first; all must be of one length."""

    def variables(self) -> dict[str, np.ndarray]:
        """Returns the values of all variables of model and optimizer by name."""

    def assign(self, arrays: dict[str, np.ndarray]) -> None:
        """Gives all variables their values, by name."""

    def average_weights(self) -> None:
        """Gives the weights the values of their averages, of an optimizer with `use_ema`."""

    def loss_scale(self) -> float | None:
        """Returns the loss scale, or `None` of an optimizer that has none."""

    def save(self, path) -> None:
        """Writes the model as a `.keras` file; only the chief calls this."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What the steps of a run compute.

    Args:
        model: Images to logits.
        optimizer: Built on the model's trainable variables.
        train_statistics: `(labels, logits) -> (rows, k)`; column 0 is the loss to minimize. With a
            teacher `(labels, logits, teacher_logits) -> (rows, k)`.
        test_statistics: `(labels, logits) -> (rows, k)` of evaluation.
        batch_size: Images per step, over all devices.
        accumulation_steps: Parts that a batch goes through the model in; their gradients are added
            up before the optimizer moves the weights once. Defaults to 1.
        teacher: Images to logits; it is given the images of training, in inference mode, and is
            not trained. Defaults to `None`.
        views: The recipe's `test_views`. Defaults to `None`.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    train_statistics: Callable
    test_statistics: Callable
    batch_size: int
    accumulation_steps: int = 1
    teacher: keras.Model | None = None
    views: Callable | None = None


def make_engine(devices: int | None = None, timeout: float = 300) -> Engine:
    """Returns the engine of Keras's backend.

    Args:
        devices: How many devices to use; `None` for all GPUs, or else the CPU.
        timeout: Seconds after which a process that waits for the others of its run gives up.

    Raises:
        Mistake: If Keras's backend has no engine or is not installed, there are not that many
            devices, or the environment describes the processes of the run wrongly.
    """
    if devices is not None:
        check_integer("devices", devices, 1)
    check_number("timeout", timeout, 1)
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise Mistake(
            f"Training runs with Keras on TensorFlow or JAX. Received: KERAS_BACKEND={backend}."
        )
    if backend == "tensorflow":
        from keras_rescnet.training.engines import tensorflow

        return tensorflow.Engine(devices, timeout)
    from keras_rescnet.training.engines import jax

    return jax.Engine(devices, timeout)
