"""Dropout whose rate is learned."""

import keras
from keras import ops

from keras_rescnet.arguments import check_integer, check_number, check_positive
from keras_rescnet.layers.arguments import check_rank
from keras_rescnet.layers.images import as_floats, statistics_dtype


@keras.saving.register_keras_serializable(package="keras_rescnet")
class AdvancedDropout(keras.layers.Layer):
    """Advanced Dropout: multiplies features by random numbers whose distribution is learned.

    In training, with the mean over the rows of a batch,

        h     = x W_h + b_h                                        (N, C // reduction)
        mu    = mean_n(w_mu . h[n] + b_mu)                          a number
        sigma = mean_n(softplus(w_sigma . h[n] + b_sigma))          a number
        m     = sigmoid(mu + sigma e),  e ~ N(0, 1)                (N, C)
        y     = x m / sigmoid(mu / sqrt(1 + 3.14 / 8 sigma^2))

    The divisor, which is close to the mean of `m`, has no gradient. Otherwise `y = x`. `b_h` is a
    single number, and 3.14 is how the authors' code writes pi. All of this is computed in float32
    under every dtype policy (float64 under float64). Of several devices on TensorFlow each has the
    mean of its own rows.

    The authors put the layer before every dense one, the last included, and train its weights at
    0.001 of the learning rate of the others: `learning_rate_multipliers={"advanced_dropout": 1e-3}`
    in a recipe.

    Reference:
        Xie et al., "Advanced dropout: a model-free methodology for Bayesian dropout optimization",
        TPAMI 2021; `variationalBayesDropout.py` of github.com/PRIS-CV/AdvancedDropout.

    Args:
        reduction: C divided by the width of `h`, of which there is at least one. Defaults to 16.
        mu: What `b_mu` starts from. Defaults to 0.
        sigma: What `b_sigma` starts from, positive. Defaults to 1.2, a `sigma` of 1.46.
        seed: Integer, of the random numbers. Defaults to `None`, one that is drawn.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: `(N, C)` with a known C. Output shape: the same.

    Raises:
        Mistake: If `reduction` is not a positive integer, `mu` is not a number, `sigma` is not a
            positive number, or inputs are not `(N, C)` with a known C.

    Example:

    >>> layer = kr.layers.AdvancedDropout(seed=0)
    >>> x = np.ones((2000, 64), "float32")
    >>> y = keras.ops.convert_to_numpy(layer(x, training=True))
    >>> bool(0.99 < y.mean() < 1.01), float(layer(x)[0, 0])
    (True, 1.0)
    """

    def __init__(
        self,
        reduction: int = 16,
        mu: float = 0.0,
        sigma: float = 1.2,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_integer("reduction", reduction, 1)
        check_number("mu", mu)
        check_positive("sigma", sigma)
        self.reduction = int(reduction)
        self.mu = float(mu)
        self.sigma = float(sigma)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        """Makes the weights for `C` features."""
        check_rank(self, input_shape, 2, "features of shape (N, C)")
        width = max(1, input_shape[-1] // self.reduction)
        small = keras.initializers.RandomUniform(0.0, 0.01)
        mu, sigma = (keras.initializers.Constant(value) for value in (self.mu, self.sigma))
        self.kernel = self._weight((input_shape[-1], width), small, "kernel")
        self.bias = self._weight((), small, "bias")
        self.mu_kernel = self._weight((width,), small, "mu_kernel")
        self.mu_bias = self._weight((), mu, "mu_bias")
        self.sigma_kernel = self._weight((width,), small, "sigma_kernel")
        self.sigma_bias = self._weight((), sigma, "sigma_bias")

    def _weight(self, shape, initializer, name):
        dtype = statistics_dtype(self)
        return self.add_weight(
            shape, initializer=initializer, dtype=dtype, autocast=False, name=name
        )

    def call(self, inputs, training=False):
        """Returns the features, in training with their random factors."""
        inputs = as_floats(self, inputs)
        if not training:
            return inputs
        x = ops.cast(inputs, statistics_dtype(self))
        h = ops.matmul(x, self.kernel) + self.bias
        mu = ops.mean(ops.matmul(h, self.mu_kernel) + self.mu_bias)
        sigma = ops.mean(ops.softplus(ops.matmul(h, self.sigma_kernel) + self.sigma_bias))
        noise = keras.random.normal(ops.shape(x), dtype=x.dtype, seed=self.seed_generator)
        mask = ops.sigmoid(mu + sigma * noise)
        fixed_mu, fixed_sigma = ops.stop_gradient(mu), ops.stop_gradient(sigma)
        kept = ops.sigmoid(fixed_mu / ops.sqrt(1.0 + 3.14 / 8.0 * ops.square(fixed_sigma)))
        return ops.cast(x * mask / kept, inputs.dtype)

    def compute_output_shape(self, input_shape):
        """Returns `input_shape`."""
        return input_shape

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {
            **super().get_config(),
            "reduction": self.reduction,
            "mu": self.mu,
            "sigma": self.sigma,
            "seed": self.seed,
        }
