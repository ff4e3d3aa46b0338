"""What a trained model becomes for those who use it: SavedModel, ONNX, LiteRT."""

import tensorflow as tf

from keras_rescnet.data.normalization import scale_and_offset
from keras_rescnet.export.portable import check_backend, litert, onnx
from keras_rescnet.gaussian import erfc_in_graphs

__all__ = [
    "litert",
    "onnx",
    "saved_model",
]


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
    check_backend()
    scale, offset = scale_and_offset(mean, std)
    names = class_names or [str(number) for number in range(model.output_shape[-1])]

    archive = tf.Module()
    archive.weights = [variable.value for variable in model.variables]

    @tf.function(input_signature=[], autograph=False)
    def name_classes():
        return tf.constant(list(names))

    shape = model.input_shape
    signature = [tf.TensorSpec(shape, tf.float32, name="pixels")]

    @tf.function(input_signature=signature, autograph=False)
    def classify(pixels):  # the one place where the model is traced, which takes long
        with erfc_in_graphs():  # only TensorFlow reads this file
            logits = model(pixels * scale + offset, training=False)
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    @tf.function(autograph=False)
    def serve(pixels):
        return classify(tf.cast(pixels, tf.float32))

    @tf.function(input_signature=signature, autograph=False)
    def serving_default(pixels):
        return {"probabilities": classify(pixels), "class_names": name_classes()}

    archive.serve, archive.class_names = serve, name_classes
    serve.get_concrete_function(tf.TensorSpec(shape, tf.uint8))
    serve.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    tf.saved_model.save(archive, str(path), signatures=serving_default)
