"""Stochastic gradient descent with PyTorch's arithmetic."""

import keras
from keras import ops

from keras_rescnet.arguments import check_share
from keras_rescnet.optimizers.scaled_optimizer import ScaledOptimizer


@keras.saving.register_keras_serializable(package="keras_rescnet")
class SGD(ScaledOptimizer):
    """Stochastic gradient descent with coupled L2 decay, as PyTorch has it.

        g        = gradient + weight_decay * weight
        velocity = momentum * velocity + g
        weight   = weight - learning_rate * velocity                  without Nesterov
        weight   = weight - learning_rate * (g + momentum * velocity) with Nesterov

    The learning rate stays outside of the velocity, so that a change of it acts at once.

    Reference:
        `torch.optim.SGD` (dampening 0).

    Args:
        learning_rate: Step size, or a Keras schedule. Defaults to 0.01.
        momentum: Share of the velocity kept at every step. Defaults to 0.
        weight_decay: Factor of the L2 term. Defaults to 0.
        nesterov: Whether a step looks one velocity ahead. Defaults to `False`.
        **kwargs: What every Keras optimizer takes, such as `global_clipnorm` and `use_ema`.

    Raises:
        Mistake: If `momentum` is not at least 0 and below 1, or `weight_decay` is negative.

    Example:

    >>> weight = keras.Variable([1.0])
    >>> optimizer = kr.optimizers.SGD(learning_rate=0.1, momentum=0.9)
    >>> for _ in range(2):  # the velocity is 1, then 1.9
    ...     optimizer.apply([keras.ops.ones(1)], [weight])
    >>> round(float(weight[0]), 4)
    0.71
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        **kwargs,
    ):
        check_share("momentum", momentum)
        super().__init__(learning_rate, weight_decay, **kwargs)
        self.momentum = float(momentum)
        self.nesterov = nesterov

    def build(self, variables):
        """Makes one velocity per weight."""
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient, variable, learning_rate):
        """Moves `variable` by one step."""
        g = ops.cast(gradient, variable.dtype)
        decay = self.weight_decay_of(variable)
        if decay:
            g = g + decay * variable
        rate = self.learning_rate_of(variable, learning_rate)
        if self.momentum:
            velocity = self.velocities[self._get_variable_index(variable)]
            # TensorFlow's operation has no kernel for bfloat16 on GPUs
            if keras.backend.backend() == "tensorflow" and variable.dtype != "bfloat16":
                from keras_rescnet import tensorflow_ops

                tensorflow_ops.apply_momentum(
                    variable, velocity.value, rate, g, self.momentum, self.nesterov
                )
                return
            moved = self.momentum * velocity + g
            self.assign(velocity, moved)
            g = g + self.momentum * moved if self.nesterov else moved
        self.assign_sub(variable, rate * g)

    def get_config(self):
        """Returns the arguments of `__init__`."""
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
