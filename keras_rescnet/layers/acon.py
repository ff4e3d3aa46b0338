"""ACON-C, an activation with weights."""

import keras
from keras import ops

from keras_rescnet.gaussian import cast, fused
from keras_rescnet.layers.arguments import check_rank, initializer_of
from keras_rescnet.layers.images import as_floats, statistics_dtype


@keras.saving.register_keras_serializable(package="keras_rescnet")
class ACON(keras.layers.Layer):
    """ACON-C: an activation that learns for every channel how far to activate.

        w = (p1 - p2) x
        y = w sigmoid(beta w) + p2 x                         the shape of x

    With `p1 = 1`, `p2 = 0` it is SiLU, which tends to ReLU as `beta` grows and is linear with
    `beta = 0`. It is computed in float32 under every dtype policy (float64 under float64). The
    gradient is written out: backpropagation keeps `x` and the weights.

    Reference:
        Ma et al., "Activate or not: Learning customized activation", CVPR 2021; `acon.py` of
        github.com/nmaac/acon.

    Args:
        kernel_initializer: Of `p1` and `p2`. Defaults to `None`, the authors' N(0, 1).
        beta_initializer: Of `beta`. Defaults to `"ones"`, the authors'.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape: any, with the channels last. Output shape: the same.

    Raises:
        Mistake: If an initializer is not known to Keras, or inputs have no known number of
            channels.

    Example:

    >>> layer = kr.layers.ACON()
    >>> layer(keras.Input((None, None, 64))).shape
    (None, None, None, 64)
    >>> layer.count_params()
    192
    """

    def __init__(
        self,
        kernel_initializer: keras.initializers.Initializer | str | None = None,
        beta_initializer: keras.initializers.Initializer | str = "ones",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if kernel_initializer is None:
            kernel_initializer = keras.initializers.RandomNormal(stddev=1.0)
        self.kernel_initializer = initializer_of("kernel_initializer", kernel_initializer)
        self.beta_initializer = initializer_of("beta_initializer", beta_initializer)
        self.supports_masking = True

    def build(self, input_shape):
        """Makes three weights per channel."""
        check_rank(self, input_shape, None, "tensors of shape (..., C)")
        self.input_spec = keras.layers.InputSpec(axes={-1: input_shape[-1]})
        initializers = {
            "p1": self.kernel_initializer,
            "p2": self.kernel_initializer,
            "beta": self.beta_initializer,
        }
        self.p1, self.p2, self.beta = (
            self.add_weight(
                (input_shape[-1],),
                initializer=initializer.clone(),
                dtype=statistics_dtype(self),
                autocast=False,
                name=name,
            )
            for name, initializer in initializers.items()
        )

    def call(self, inputs):
        """Returns the activated inputs."""
        # Reshaped, they are tensors: a function with a gradient of its own takes no variables
        weights = (ops.reshape(weight, (-1,)) for weight in (self.p1, self.p2, self.beta))
        return _activate(as_floats(self, inputs), *weights)

    def compute_output_shape(self, input_shape):
        """Returns `input_shape`, for which Keras would else trace `call`."""
        return input_shape

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "beta_initializer": keras.initializers.serialize(self.beta_initializer),
        }


def _value(x, p1, p2, beta):
    wide = cast(x, p1.dtype)
    w = (p1 - p2) * wide
    return cast(w * ops.sigmoid(beta * w) + p2 * wide, x.dtype)


def _pull_back(x, p1, p2, beta, upstream):
    """The gradients, those of the weights still to be summed: XLA is slow at that on CPUs."""
    wide, upstream = cast(x, p1.dtype), cast(upstream, p1.dtype)
    w = (p1 - p2) * wide
    gate = ops.sigmoid(beta * w)
    rise = w * gate * (1.0 - gate)
    slope = gate + beta * rise
    by_p1 = upstream * wide * slope
    by_x = upstream * ((p1 - p2) * slope + p2)
    return cast(by_x, x.dtype), by_p1, upstream * wide - by_p1, upstream * w * rise


_fused_value = fused(_value, forward=True)
_fused_pull_back = fused(_pull_back)


@ops.custom_gradient
def _activate(x, p1, p2, beta):
    """`w sigmoid(beta w) + p2 x`, `w = (p1 - p2) x`; keeps its four arguments."""

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        by_x, *by_weights = _fused_pull_back(x, p1, p2, beta, upstream)
        axes = tuple(range(len(x.shape) - 1))
        return by_x, *(ops.sum(by_weight, axis=axes) for by_weight in by_weights)

    return _fused_value(x, p1, p2, beta), gradient
