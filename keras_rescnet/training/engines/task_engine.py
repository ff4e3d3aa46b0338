"""What both engines do alike."""

import keras
import numpy as np

from keras_rescnet.mistake import Mistake
from keras_rescnet.models.parts import finalize
from keras_rescnet.training.checkpoint import storable
from keras_rescnet.training.variables import named_variables


class TaskEngine:
    """The part of an `engines.Engine` that needs no backend."""

    processes: int

    def build(self, task):
        """See `engines.Engine`."""
        self._task = task
        self._variables = named_variables(task.model, task.optimizer)

    def variables(self):
        """See `engines.Engine`."""
        return {
            name: storable(np.asarray(variable.value)) for name, variable in self._variables.items()
        }

    def assign(self, arrays):
        """See `engines.Engine`."""
        for name, variable in self._variables.items():
            variable.assign(arrays[name])
        finalize(self._task.model)

    def average_weights(self):
        """See `engines.Engine`."""
        self._task.optimizer.finalize_variable_values(self._task.model.trainable_variables)

    def _check_devices(self, devices):
        """Raises a `Mistake` if one of several processes is to use a part of its devices."""
        if self.processes > 1 and devices is not None:
            raise Mistake(
                "With several processes each uses all devices that it sees (CUDA_VISIBLE_DEVICES). "
                f"Received: devices={devices}."
            )

    def loss_scale(self):
        """See `engines.Engine`."""
        optimizer = self._task.optimizer
        if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            return None
        return float(np.array(optimizer.dynamic_scale.value))
