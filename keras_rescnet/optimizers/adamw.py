"""AdamW with PyTorch's arithmetic."""

import math

import keras
from keras import ops

from keras_rescnet.arguments import check_number, check_share
from keras_rescnet.mistake import Mistake
from keras_rescnet.optimizers.scaled_optimizer import ScaledOptimizer


@keras.saving.register_keras_serializable(package="keras_rescnet")
class AdamW(ScaledOptimizer):
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
        Mistake: If `beta_1` or `beta_2` is not at least 0 and below 1, `epsilon` or `weight_decay`
            is negative, or `epsilon` is 0 in the dtype of a weight.

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
        check_share("beta_1", beta_1)
        check_share("beta_2", beta_2)
        check_number("epsilon", epsilon, 0)
        super().__init__(learning_rate, weight_decay, **kwargs)
        self.beta_1 = float(beta_1)
        self.beta_2 = float(beta_2)
        self.epsilon = float(epsilon)

    def build(self, variables):
        """Makes two moments per weight."""
        if self.built:
            return
        super().build(variables)
        for variable in variables:
            if variable.dtype == "float16" and self.epsilon <= 2.0**-25:  # which is 0 there
                raise Mistake(
                    "`epsilon` must be at least 6e-8 for weights in float16. Better keep them in "
                    'float32: keras.config.set_dtype_policy("mixed_float16"). '
                    f"Received: epsilon={self.epsilon}, weight {variable.path!r}."
                )
        self.first_moments, self.second_moments = self.add_optimizer_variables(
            variables, ["first_moment", "second_moment"]
        )

    def update_step(self, gradient, variable, learning_rate):
        """Decays `variable`, then moves it by one step."""
        dtype = variable.dtype
        g = ops.cast(gradient, dtype)
        rate = self.learning_rate_of(variable, learning_rate)
        decay = self.weight_decay_of(variable)
        if decay:
            self.assign_sub(variable, rate * decay * variable)
        step = ops.cast(self.iterations + 1, dtype)
        m = self.first_moments[self._get_variable_index(variable)]
        v = self.second_moments[self._get_variable_index(variable)]
        if self._moves_in_one_pass(dtype):
            from keras_rescnet import tensorflow_ops

            betas, moments = (self.beta_1, self.beta_2), (m.value, v.value)
            tensorflow_ops.apply_adam(variable, moments, step, rate, g, betas, self.epsilon)
            return
        self.assign(m, self.beta_1 * m + (1.0 - self.beta_1) * g)
        self.assign(v, self.beta_2 * v + (1.0 - self.beta_2) * ops.square(g))
        # log and exp: a power of a float32 by a large step is less exact on some backends
        correction_1 = -ops.expm1(step * math.log(self.beta_1)) if self.beta_1 else 1.0
        correction_2 = -ops.expm1(step * math.log(self.beta_2)) if self.beta_2 else 1.0
        root = ops.sqrt(v / correction_2) + self.epsilon
        self.assign_sub(variable, rate * (m / correction_1) / root)

    def _moves_in_one_pass(self, dtype):
        """Returns whether TensorFlow's operation is as exact, which rounds betas and 1 - betas.

        In bfloat16 a `beta_2` of 0.999 would be 1. It adds differences, so that of a `beta_2` of 0
        rounding errors would be left.
        """
        exact = dtype == "float32" and 0.0 < self.beta_2 < 1.0 - 2**-24 > self.beta_1
        return exact and keras.backend.backend() == "tensorflow"

    def get_config(self):
        """Returns the arguments of `__init__`."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
