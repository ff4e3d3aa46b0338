"""What the optimizers here share: factors of the learning rate and weight decay of every weight."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_rescnet.arguments import check_number

# Three methods that are used here and in the optimizers are private in Keras, whose own optimizers
# are written with them too: `_get_variable_index` and `_use_weight_decay` find what belongs to a
# weight, also to its copy on one of several devices, and `_apply_weight_decay` is what must not
# happen. If Keras renames one, test_three_steps_of_*_follow_* and
# test_excluded_variables_do_not_decay fail.


class ScaledOptimizer(keras.optimizers.Optimizer):
    """An optimizer in which every weight may have a learning rate and weight decay of its own.

    Its `update_step` decays the weight, and need not know sparse gradients, those of embeddings.
    """

    weight_decay: float | None

    def __init__(self, learning_rate, weight_decay, **kwargs):
        if weight_decay is not None:
            check_number("weight_decay", weight_decay, 0)
            weight_decay = float(weight_decay)
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **kwargs)

    def set_multipliers(
        self, learning_rates: Sequence[float], weight_decays: Sequence[float]
    ) -> None:
        """Sets by what the learning rate and the weight decay of every weight are multiplied.

        Args:
            learning_rates: One factor per weight, in the order that `build` is given them.
            weight_decays: The same for the weight decay.
        """
        self._learning_rates = tuple(map(float, learning_rates))
        self._weight_decays = tuple(map(float, weight_decays))

    def apply(self, grads, trainable_variables=None):
        """Moves the variables by one step."""
        if keras.backend.backend() == "tensorflow":
            from keras_rescnet import tensorflow_ops

            grads = [tensorflow_ops.dense(gradient) for gradient in grads]
        super().apply(grads, trainable_variables)

    def _apply_weight_decay(self, variables):
        pass  # the base class would decay a second time, all weights alike

    def learning_rate_of(self, variable, learning_rate):
        """Returns the learning rate of a weight, where that of the step is `learning_rate`."""
        rate = ops.cast(learning_rate, variable.dtype)
        factor = self._multiplier("_learning_rates", variable)
        return rate if factor == 1.0 else rate * factor

    def weight_decay_of(self, variable):
        """Returns the weight decay of a weight, a number."""
        if not self.weight_decay or not self._use_weight_decay(variable):
            return 0.0
        return self.weight_decay * self._multiplier("_weight_decays", variable)

    def _multiplier(self, name, variable):
        multipliers = getattr(self, name, ())
        return multipliers[self._get_variable_index(variable)] if multipliers else 1.0
