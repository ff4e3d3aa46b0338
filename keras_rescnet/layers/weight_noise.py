"""Gradients at points around the weights."""

import keras
from keras import ops

from keras_rescnet.arguments import check_number
from keras_rescnet.mistake import Mistake, shorten


@keras.saving.register_keras_serializable(package="keras_rescnet")
class WeightNoise(keras.layers.Wrapper):
    """Trains a layer or a whole model with gradients of a population around its weights.

    In training, every call computes with other weights than the wrapped layer has,

        w' = w + noise rms(w) e,  e ~ N(0, 1)       for every trainable weight

    where `rms` is the root of the mean square of a weight's numbers, so that the gradient is that
    of the loss at `w'`. Its mean over `e` is the gradient of the loss smoothed by a Gaussian,

        E_e[grad L(w + s e)] = grad E_e[L(w + s e)],

    which is exact for linear and quadratic losses, and for others smooths over narrow dents.
    With the recipe's `gradient_accumulation_steps=P` a step moves the weights by the mean gradient
    of a population of P networks, each of which sees its own part of the batch. Tests, checkpoints
    and exports have `w` itself.

    In the style of population gradients, of which this package's authors know the abstract alone:
    the gradient is estimated by a population of networks, "non-local", and closer to that of
    infinite data. That the members are Gaussian around one centre is this package's own reading. It
    is no optimizer, for an optimizer is given gradients that are computed already: it would have to
    leave `w'` in the model, where tests and exports would find it.

    Reference:
        In the style of Sakai et al., "Population gradients", arXiv 2010.12260.

    Args:
        layer: The layer or model to wrap.
        noise: Standard deviation of the noise, as a share of `rms(w)`, at least 0. Defaults to
            0.02.
        seed: Integer, of the random numbers. Defaults to `None`, one that is drawn.
        **kwargs: Base layer arguments, such as `name`.

    Shapes and dtypes of inputs and outputs are those of the wrapped layer. The noise is drawn in
    the dtype of the weights.

    Raises:
        Mistake: If `layer` is not a layer or a model, or `noise` is not a number of at least 0.

    Example:

    >>> ones = keras.initializers.Ones()
    >>> dense = keras.layers.Dense(4000, kernel_initializer=ones)
    >>> layer = kr.layers.WeightNoise(dense, 0.1, seed=0)
    >>> one = np.ones((1, 1), "float32")
    >>> y = keras.ops.convert_to_numpy(layer(one, training=True))
    >>> round(float(y.mean()), 1), round(float(y.std()), 2)
    (1.0, 0.1)
    >>> float(layer(one)[0, 0])
    1.0
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        noise: float = 0.02,
        seed: int | None = None,
        **kwargs,
    ):
        if not isinstance(layer, keras.layers.Layer):
            raise Mistake(
                "`layer` must be a layer or a model, not what makes one. "
                f"Received: layer={shorten(layer)}."
            )
        # Not mixed, or Keras would give `call` the weights in half precision, whatever their layers
        super().__init__(layer, **{**kwargs, "dtype": "float32", "autocast": False})
        check_number("noise", noise, 0)
        self.noise = float(noise)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        """Returns what the layer makes of the inputs, in training with other weights."""
        if not training:
            return self.layer(inputs)
        others = self.layer.non_trainable_variables
        # All of them, for a scope hides what one around it has of variables that it is not given
        values = [(variable, variable.value) for variable in others]
        values += [(variable, self._moved(variable)) for variable in self.layer.trainable_variables]
        scope = keras.StatelessScope(values, collect_losses=True)
        before = list(map(scope.get_current_value, others))
        with scope:
            outputs = self.layer(inputs)
        for variable, value in zip(others, before, strict=True):
            if scope.get_current_value(variable) is not value:  # statistics of a batch, seeds
                variable.assign(scope.get_current_value(variable))
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs

    def _moved(self, variable):
        value = ops.convert_to_tensor(variable.value)
        size = self.noise * ops.sqrt(ops.mean(ops.square(value)))
        shift = size * keras.random.normal(value.shape, dtype=value.dtype, seed=self.seed_generator)
        return value + ops.stop_gradient(shift)

    def compute_output_shape(self, input_shape):
        """Returns that of the wrapped layer."""
        return self.layer.compute_output_shape(input_shape)

    def compute_output_spec(self, inputs, training=False):
        """Returns that of the wrapped layer."""
        return self.layer.compute_output_spec(inputs)

    def get_config(self):
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "noise": self.noise, "seed": self.seed}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Returns the layer of a config, which stays as it is: Keras takes the layer out of it."""
        return super().from_config(dict(config), custom_objects)
