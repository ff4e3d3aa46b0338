"""What a trained model becomes: a SavedModel that takes pixels."""

import keras
import numpy as np
import tensorflow as tf


def saved_model(model, path, *, mean, std, class_names=()):
    """Writes a SavedModel that maps pixels to probabilities.

        probabilities = softmax(model((pixels / 255 - mean) / std))

    Its `serve(pixels)` takes uint8 or float pixels in [0, 255], `(N, H, W, C)` with any `N`, and
    returns float32 probabilities `(N, classes)`; its `class_names()` returns their names. Its
    signature `serving_default` takes float32 pixels and returns both.

    Args:
        model: A `keras.Model` from normalized images to logits.
        path: The folder to write.
        mean: Mean of each channel, of pixels divided by 255.
        std: Standard deviation of each channel, likewise.
        class_names: Names of the classes, in order; their numbers if there are none.

    Raises:
        ValueError: if Keras does not run on TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "A SavedModel is written with Keras on TensorFlow. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}; load `model.keras` there."
        )
    scale = (1.0 / (255.0 * np.asarray(std))).astype("float32")
    offset = (-np.asarray(mean) / np.asarray(std)).astype("float32")
    names = class_names or [str(number) for number in range(model.output_shape[-1])]

    archive = tf.Module()
    archive.model = model  # owns the weights

    @tf.function(input_signature=[], autograph=False)
    def name_classes():
        return tf.constant(list(names))

    @tf.function(autograph=False)
    def serve(pixels):
        images = tf.cast(pixels, tf.float32) * scale + offset
        return tf.nn.softmax(tf.cast(model(images, training=False), tf.float32))

    archive.serve, archive.class_names = serve, name_classes
    shape = model.input_shape
    serve.get_concrete_function(tf.TensorSpec(shape, tf.uint8))
    serve.get_concrete_function(tf.TensorSpec(shape, tf.float32))

    signature = [tf.TensorSpec(shape, tf.float32, name="pixels")]

    @tf.function(input_signature=signature, autograph=False)
    def serving_default(pixels):
        return {"probabilities": serve(pixels), "class_names": name_classes()}

    tf.saved_model.save(archive, str(path), signatures=serving_default)
