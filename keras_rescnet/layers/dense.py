"""Dense layers within layers."""

import keras


class Dense(keras.layers.Dense):
    """A dense layer within another layer, which `Model.quantize` leaves as it is.

    Keras quantizes what lies within a layer without the layer's knowledge: a file of such a model
    could not be loaded, and gates would not be float32.

    Its name is Keras's, for a list of layers is saved under the names of their classes.
    """

    def quantize(self, *args, **kwargs):
        """Raises `NotImplementedError`, of which Keras makes a warning."""
        raise NotImplementedError(
            "Dense layers within layers of keras_rescnet are not quantized, and stay as they are."
        )
