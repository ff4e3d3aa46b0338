"""ONNX and LiteRT files, compared with the model they are made from."""

import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf

from keras_rescnet.mistake import Mistake

LARGEST_DIFFERENCE = 1e-4


def onnx(model, path, *, mean, std, pictures):
    """Writes an ONNX file that maps float32 pixels to probabilities, and checks it.

    Args:
        model: A `keras.Model` from normalized images to logits.
        path: The file to write.
        mean: Mean of each channel, of pixels divided by 255.
        std: Standard deviation of each channel, likewise.
        pictures: uint8 `(N, H, W, C)` to compare with the model on.

    Returns:
        The largest difference of a probability.

    Raises:
        ValueError: if a package of the extra `onnx` is missing, or the difference exceeds 1e-4.
    """
    try:
        import onnxruntime
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise Mistake(_missing("onnx", error)) from None
    whole = _with_pixels(model, mean, std)
    whole(pictures[:1].astype("float32"))  # Keras exports what has been called
    whole.export(str(path), format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    probabilities = session.run(None, {name: pictures.astype("float32")})[0]
    return _check(whole, pictures, probabilities, path)


def litert(model, path, *, mean, std, pictures):
    """Writes a LiteRT (.tflite) file that maps float32 pixels to probabilities, and checks it.

    Arguments, result and errors are those of `onnx`; the extra is `litert`.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise Mistake(_missing("litert", error)) from None
    whole = _with_pixels(model, mean, std)
    with tempfile.TemporaryDirectory() as folder:
        whole.export(folder, verbose=False)
        converted = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    pathlib.Path(path).write_bytes(converted)
    interpreter = Interpreter(str(path))
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(source["index"], pictures.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], pictures.astype("float32"))
    interpreter.invoke()
    return _check(whole, pictures, interpreter.get_tensor(target["index"]), path)


def _with_pixels(model, mean, std):
    check_backend()
    pixels = keras.Input(model.input_shape[1:], name="pixels")
    scale = 1.0 / (255.0 * np.asarray(std))
    offset = -np.asarray(mean) / np.asarray(std)
    normalize = keras.layers.Rescaling(scale.tolist(), offset.tolist())
    return keras.Model(pixels, keras.layers.Softmax(dtype="float32")(model(normalize(pixels))))


def _check(whole, pictures, probabilities, path):
    expected = whole.predict(pictures.astype("float32"), verbose=0)
    difference = float(np.abs(expected - probabilities).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise Mistake(
            f"An export must give the model's probabilities to {LARGEST_DIFFERENCE:g}. "
            f"Received: {path}, which differs by {difference:.2g} on {len(pictures)} pictures."
        )
    return difference


def _missing(extra, error):
    return (
        f"This format needs a package. Received: {error.name} is not installed. "
        f'pip install -e ".[{extra}]"'
    )


def check_backend():
    """Raises a `ValueError` unless Keras runs on TensorFlow, which writes every export."""
    if keras.backend.backend() != "tensorflow":
        raise Mistake(
            "Models are exported with Keras on TensorFlow. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}; load `model.keras` there."
        )
