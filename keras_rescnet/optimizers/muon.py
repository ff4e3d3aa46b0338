"""Muon for the kernels of convolutions, with SGD for all other weights."""

import keras
from keras import ops

from keras_rescnet.arguments import check_integer, check_share
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.optimizers.sgd import SGD

# Of the polynomial a x + b x^3 + c x^5 that brings singular values near 1: steepest at 0.
_A, _B, _C = 3.4445, -4.7750, 2.0315


@keras.saving.register_keras_serializable(package="keras_rescnet")
class Muon(SGD):
    """Momentum orthogonalized by Newton-Schulz, for networks that normalize after convolutions.

    The kernel `(height, width, channels, filters)` of a convolution is a matrix of `filters`
    columns. It moves along the momentum whose singular values are all brought near 1, and keeps
    the norm that `filters` orthonormal columns have, since the normalization that follows undoes
    any other; one that is 0 moves by the step alone:

        velocity = kernel_momentum * velocity + gradient
        step     = orthogonalized(gradient + kernel_momentum * velocity)
        kernel   = kernel * sqrt(filters) / |kernel| - learning_rate * step

    `orthogonalized` divides a matrix by its norm and then applies, `steps` times,

        X = a X + b X X^T X + c X X^T X X^T X,          (a, b, c) = (3.4445, -4.7750, 2.0315)

    so that the learning rate is the share by which a kernel changes, whatever its gradient.
    All other weights, kernels `(h, w, C, 1)` of depthwise convolutions among them, move as with
    `SGD(momentum, weight_decay, nesterov=True)`. They need learning rates of other sizes: a
    recipe's `learning_rate_multipliers`.

    Reference:
        Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024;
        `airbench94_muon.py` of github.com/KellerJordan/cifar10-airbench, which orthogonalizes in
        bfloat16.

    Args:
        learning_rate: Step size, or a Keras schedule. Defaults to 0.01.
        momentum: Share of the velocity kept at every step, of other weights than kernels.
            Defaults to 0.85.
        weight_decay: Factor of the L2 term of other weights than kernels. Defaults to 0.
        kernel_momentum: Share of the velocity kept at every step, of kernels. Defaults to 0.6.
        steps: Steps of Newton-Schulz. Defaults to 3.
        **kwargs: What every Keras optimizer takes, such as `global_clipnorm` and `use_ema`.

    Raises:
        Mistake: If a momentum is not at least 0 and below 1, `weight_decay` is negative,
            `steps` is not a positive integer, or `nesterov` is not `True`.

    Example:

    >>> kernel = keras.Variable(np.ones((1, 1, 2, 2), "float32"))
    >>> optimizer = kr.optimizers.Muon(learning_rate=0.1)
    >>> optimizer.apply([keras.ops.reshape(keras.ops.eye(2), (1, 1, 2, 2))], [kernel])
    >>> np.asarray(kernel)[0, 0].round(1)  # of norm sqrt(2), moved by about 0.1 on the diagonal
    array([[0.6, 0.7],
           [0.7, 0.6]], dtype=float32)
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.01,
        momentum: float = 0.85,
        weight_decay: float = 0.0,
        kernel_momentum: float = 0.6,
        steps: int = 3,
        **kwargs,
    ):
        check_share("kernel_momentum", kernel_momentum)
        check_integer("steps", steps, 1)
        if kwargs.setdefault("nesterov", True) is not True:
            raise Mistake(
                "Muon is with `nesterov=True` alone; for other weights than kernels there is SGD. "
                f"Received: nesterov={shorten(kwargs['nesterov'])}."
            )
        super().__init__(learning_rate, momentum, weight_decay, **kwargs)
        self.kernel_momentum = float(kernel_momentum)
        self.steps = int(steps)

    def update_step(self, gradient, variable, learning_rate):
        """Moves `variable` by one step."""
        if len(variable.shape) != 4 or (variable.shape[-1] == 1 < variable.shape[-2]):
            super().update_step(gradient, variable, learning_rate)
            return
        g = ops.cast(gradient, variable.dtype)
        velocity = self.velocities[self._get_variable_index(variable)]
        moved = self.kernel_momentum * velocity + g
        self.assign(velocity, moved)
        filters = variable.shape[-1]
        matrix = ops.reshape(g + self.kernel_momentum * moved, (-1, filters))
        step = orthogonalized(matrix, self.steps)
        norm = ops.sqrt(ops.sum(ops.square(variable)))
        norm = ops.where(norm > 0, norm, 1.0)
        rate = self.learning_rate_of(variable, learning_rate)
        kernel = variable * (filters**0.5 / norm) - rate * ops.reshape(step, variable.shape)
        self.assign(variable, kernel)

    def get_config(self):
        """Returns the arguments of `__init__`."""
        config = super().get_config()
        config.pop("nesterov")
        return {**config, "kernel_momentum": self.kernel_momentum, "steps": self.steps}


def orthogonalized(matrix, steps):
    """Returns a matrix with the same singular vectors, and singular values from 0.5 to 1.5.

    Those far smaller than the largest need more `steps` to get there.
    """
    rows, columns = matrix.shape
    x = matrix / (ops.sqrt(ops.sum(ops.square(matrix))) + 1e-7)
    for _ in range(steps):
        if rows > columns:
            square = ops.matmul(ops.transpose(x), x)
            x = _A * x + ops.matmul(x, _B * square + _C * ops.matmul(square, square))
        else:
            square = ops.matmul(x, ops.transpose(x))
            x = _A * x + ops.matmul(_B * square + _C * ops.matmul(square, square), x)
    return x
