"""SGD and AdamW with PyTorch's arithmetic.

Keras's own optimizers differ where it shows in a long run: its SGD keeps the learning rate inside
the velocity and decays weights outside of the gradient, its AdamW places epsilon elsewhere.
"""

import math

import keras
from keras import ops

from keras_rescnet.mistake import Mistake
from keras_rescnet.schedules import cosine_decay, step_decay

__all__ = ["SGD", "AdamW", "cosine_decay", "step_decay"]

# Three methods below are private in Keras, whose own optimizers are written with them too:
# `_get_variable_index` and `_use_weight_decay` find what belongs to a weight, also to its copy on
# one of several devices, and `_apply_weight_decay` is what SGD must not do. If Keras renames one,
# test_three_steps_of_*_follow_* and test_excluded_variables_do_not_decay fail.


class _DenseOptimizer(keras.optimizers.Optimizer):
    """An optimizer whose `update_step` need not know sparse gradients, those of embeddings."""

    def apply(self, grads, trainable_variables=None):
        """Moves the variables by one step."""
        if keras.backend.backend() == "tensorflow":
            from keras_rescnet import tensorflow_ops

            grads = [tensorflow_ops.dense(gradient) for gradient in grads]
        super().apply(grads, trainable_variables)


@keras.saving.register_keras_serializable(package="keras_rescnet")
class SGD(_DenseOptimizer):
    """Stochastic gradient descent with coupled L2 decay, as PyTorch has it.

        g        = gradient + weight_decay * weight
        velocity = momentum * velocity + g
        weight   = weight - learning_rate * velocity

    The learning rate stays outside of the velocity, so that a change of it acts at once.

    Reference:
        `torch.optim.SGD` (dampening 0, no Nesterov).

    Args:
        learning_rate: Step size, or a Keras schedule. Defaults to 0.01.
        momentum: Share of the velocity kept at every step. Defaults to 0.
        weight_decay: Factor of the L2 term. Defaults to 0.
        **kwargs: What every Keras optimizer takes, such as `global_clipnorm` and `use_ema`.

    Raises:
        ValueError: If `momentum` is not at least 0 and below 1, or `weight_decay` is negative.

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
        **kwargs,
    ):
        _check_decay(weight_decay)
        _check_share("momentum", momentum)
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **kwargs)
        self.momentum = momentum

    def build(self, variables):
        """Makes one velocity per weight."""
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient, variable, learning_rate):
        """Moves `variable` by one step."""
        g = ops.cast(gradient, variable.dtype)
        if self.weight_decay and self._use_weight_decay(variable):
            g = g + self.weight_decay * variable
        rate = ops.cast(learning_rate, variable.dtype)
        if self.momentum:
            velocity = self.velocities[self._get_variable_index(variable)]
            if keras.backend.backend() == "tensorflow":
                from keras_rescnet import tensorflow_ops

                tensorflow_ops.apply_momentum(variable, velocity.value, rate, g, self.momentum)
                return
            g = self.momentum * velocity + g
            self.assign(velocity, g)
        self.assign_sub(variable, rate * g)

    def _apply_weight_decay(self, variables):
        pass  # `update_step` adds it to the gradient; the base class would decay a second time

    def get_config(self):
        """Returns the arguments of `__init__`."""
        return {**super().get_config(), "momentum": self.momentum}


@keras.saving.register_keras_serializable(package="keras_rescnet")
class AdamW(_DenseOptimizer):
    """Adam with decoupled weight decay, as PyTorch has it.

        weight = weight * (1 - learning_rate * weight_decay)
        m      = beta_1 * m + (1 - beta_1) * gradient
        v      = beta_2 * v + (1 - beta_2) * gradient ** 2
        weight = weight - learning_rate * m_hat / (sqrt(v_hat) + epsilon)

    with `m_hat = m / (1 - beta_1 ** t)` and `v_hat = v / (1 - beta_2 ** t)` at step `t`.

    Reference:
        Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019;
        `torch.optim.AdamW`.

    Args:
        learning_rate: Step size, or a Keras schedule. Defaults to 0.001.
        beta_1: Decay of the first moment. Defaults to 0.9.
        beta_2: Decay of the second moment. Defaults to 0.999.
        epsilon: Added to the corrected root of the second moment. Defaults to 1e-8.
        weight_decay: Decay per step and unit of learning rate. Defaults to 0.01.
        **kwargs: What every Keras optimizer takes, such as `global_clipnorm` and `use_ema`.

    Raises:
        ValueError: If `beta_1` or `beta_2` is not at least 0 and below 1, or `weight_decay` is
            negative.

    Example:

    >>> weight = keras.Variable([1.0])
    >>> optimizer = kr.optimizers.AdamW(learning_rate=0.1, weight_decay=0.0)
    >>> optimizer.apply([keras.ops.array([1e-3])], [weight])
    >>> float(weight[0])  # the first step is as long as the learning rate
    0.90000...
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        **kwargs,
    ):
        _check_decay(weight_decay)
        _check_share("beta_1", beta_1)
        _check_share("beta_2", beta_2)
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables):
        """Makes two moments per weight."""
        if self.built:
            return
        super().build(variables)
        self.first_moments, self.second_moments = self.add_optimizer_variables(
            variables, ["first_moment", "second_moment"]
        )

    def update_step(self, gradient, variable, learning_rate):
        """Moves `variable` by one step; the base class has decayed it already."""
        dtype = variable.dtype
        g = ops.cast(gradient, dtype)
        rate = ops.cast(learning_rate, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        m = self.first_moments[self._get_variable_index(variable)]
        v = self.second_moments[self._get_variable_index(variable)]
        self.assign(m, self.beta_1 * m + (1.0 - self.beta_1) * g)
        self.assign(v, self.beta_2 * v + (1.0 - self.beta_2) * ops.square(g))
        # log and exp: a power of a float32 by a large step is less exact on some backends
        correction_1 = -ops.expm1(step * math.log(self.beta_1)) if self.beta_1 else 1.0
        correction_2 = -ops.expm1(step * math.log(self.beta_2)) if self.beta_2 else 1.0
        root = ops.sqrt(v / correction_2) + self.epsilon
        self.assign_sub(variable, rate * (m / correction_1) / root)

    def get_config(self):
        """Returns the arguments of `__init__`."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


def _check_share(name, value):
    if not isinstance(value, int | float) or not 0.0 <= value < 1.0:
        raise Mistake(f"`{name}` must be at least 0 and below 1. Received: {name}={value!r}.")


def _check_decay(value):
    if value is not None and (not isinstance(value, int | float) or not value >= 0.0):
        raise Mistake(f"`weight_decay` must be at least 0. Received: weight_decay={value!r}.")
