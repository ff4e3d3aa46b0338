"""ONNX and LiteRT files, compared with the model they are made from."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_rescnet.data.normalization import scale_and_offset
from keras_rescnet.export.checks import checked
from keras_rescnet.files import write_aside
from keras_rescnet.mistake import Mistake, shorten

LARGEST_DIFFERENCE = 1e-4


def onnx(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    pictures: np.ndarray,
    multi_label: bool = False,
) -> float:
    """Writes an ONNX file that maps float32 pixels to probabilities, and checks it.

    A model in half precision, of mixed_bfloat16 or mixed_float16, is written and compared in
    float32, which is what its weights are.

    Args:
        model: A `keras.Model` from normalized images to logits.
        path: The file to write. It is replaced when the check has passed; a link is not followed.
        mean: Mean of each channel, of pixels divided by 255.
        std: Standard deviation of each channel, likewise.
        pictures: Pixels in [0, 255], `(N, H, W, C)`, to compare with the model on.
        multi_label: Whether a picture has any number of classes, so that probabilities are the
            sigmoid of the logits, not their softmax. Defaults to `False`.

    Returns:
        The largest difference between a probability of the model and of the file, a float.

    Raises:
        Mistake: If a package of the extra `onnx` is missing, an argument does not fit the model,
            the format lacks an operation of it, the difference exceeds 1e-4, or Keras does not run
            on TensorFlow.

    Example:

    >>> import tempfile
    >>> layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    >>> difference = kr.export.onnx(
    ...     keras.Sequential(layers),
    ...     tempfile.mkdtemp() + "/model.onnx",
    ...     mean=(0.5, 0.5, 0.5),
    ...     std=(0.2, 0.2, 0.2),
    ...     pictures=np.zeros((4, 8, 8, 3), "uint8"),
    ... )
    >>> difference < 1e-5
    True
    """
    pictures = _check_pictures(model, pictures)
    with_pixels = _with_pixels(model, mean, std, multi_label)
    _check_path(path)
    check_onnx()
    import onnxruntime

    with write_aside(path) as aside:
        with _converting(model, "ONNX"):
            with_pixels(pictures[:1])  # Keras exports what has been called
            with_pixels.export(str(aside), format="onnx", verbose=False)
            session = onnxruntime.InferenceSession(str(aside), providers=["CPUExecutionProvider"])
            name = session.get_inputs()[0].name
            probabilities = session.run(None, {name: pictures})[0]
        return _compare(with_pixels, pictures, probabilities, path)


def litert(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    pictures: np.ndarray,
    multi_label: bool = False,
) -> float:
    """Writes a LiteRT (.tflite) file that maps float32 pixels to probabilities, and checks it.

    A model in half precision is written and compared in float32, as by `onnx`.

    Args:
        model: As for `onnx`.
        path: As for `onnx`.
        mean: As for `onnx`.
        std: As for `onnx`.
        pictures: As for `onnx`.
        multi_label: As for `onnx`.

    Returns:
        The largest difference between a probability of the model and of the file, a float.

    Raises:
        Mistake: If the package of the extra `litert` is missing, an argument does not fit the
            model, LiteRT lacks an operation of it, the difference exceeds 1e-4, or Keras does not
            run on TensorFlow.

    Example:

    >>> import tempfile
    >>> layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    >>> difference = kr.export.litert(
    ...     keras.Sequential(layers),
    ...     tempfile.mkdtemp() + "/model.tflite",
    ...     mean=(0.5, 0.5, 0.5),
    ...     std=(0.2, 0.2, 0.2),
    ...     pictures=np.zeros((4, 8, 8, 3), "uint8"),
    ... )
    >>> difference < 1e-5
    True
    """
    pictures = _check_pictures(model, pictures)
    with_pixels = _with_pixels(model, mean, std, multi_label)
    _check_path(path)
    check_litert()
    from ai_edge_litert.interpreter import Interpreter

    with _converting(model, "LiteRT"):
        with tempfile.TemporaryDirectory() as folder:
            with_pixels.export(folder, verbose=False)
            converted = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
        interpreter = Interpreter(model_content=converted)
        (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.resize_tensor_input(source["index"], pictures.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], pictures)
        interpreter.invoke()
        probabilities = interpreter.get_tensor(target["index"])
    difference = _compare(with_pixels, pictures, probabilities, path)
    with write_aside(path) as aside:
        aside.write_bytes(converted)
    return difference


def check_onnx():
    """Raises a `Mistake` unless the packages of the extra `onnx` are installed."""
    try:
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise _missing("onnx", error) from None


def check_litert():
    """Raises a `Mistake` unless the package of the extra `litert` is installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter  # noqa: F401
    except ImportError as error:
        raise _missing("litert", error) from None


@contextlib.contextmanager
def _converting(model, kind):
    """Makes a `Mistake` of what a converter or a runtime cannot do with a model."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # each has types of its own
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        raise Mistake(
            f"Not every operation can be written as {kind}. Received: {shorten(model.name, str)}, "
            f"of which the converter says: {type(error).__name__}: {shorten(first.strip(), str)}"
        ) from error


def _with_pixels(model, mean, std, multi_label):
    """Returns the model from pixels in [0, 255] to probabilities."""
    model = _in_float32(checked(model, mean, std, multi_label))
    scale, offset = scale_and_offset(mean, std)
    pixels = keras.Input(model.input_shape[1:], dtype="float32", name="pixels")
    # Not a `Rescaling`, which has the policy and the data format of the session
    logits = model(pixels * scale.astype("float32") + offset.astype("float32"))
    if multi_label:
        return keras.Model(pixels, keras.layers.Activation("sigmoid", dtype="float32")(logits))
    return keras.Model(pixels, keras.layers.Softmax(dtype="float32")(logits))


def _in_float32(model):
    """Returns a model that computes in half precision as one in float32, with the same weights.

    onnxruntime and LiteRT have no convolutions of bfloat16.
    """
    whole = isinstance(model, keras.Function | keras.Sequential)  # else it cannot be made again
    if not whole or not any(map(_is_half, _all(model))):
        return model
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    for layer in filter(_is_half, _all(twin)):
        layer.dtype_policy = "float32"
    return twin


def _all(model):
    return list(model._flatten_layers())


def _is_half(layer):
    return layer.compute_dtype in ("float16", "bfloat16")


def _check_pictures(model, pictures):
    pictures = np.asarray(pictures)
    shape = getattr(model, "input_shape", None)
    fits = pictures.ndim == 4 and len(pictures) and pictures.dtype.kind in "uif"
    if fits and isinstance(shape, tuple):  # its sides may be open
        sides = zip(shape[1:], pictures.shape[1:], strict=False)
        fits = len(shape) == 4 and all(side in (None, given) for side, given in sides)
    if not fits:
        raise Mistake(
            "`pictures` must be one picture or more of the model's input shape, (N, H, W, C). "
            f"Received: pictures of shape {pictures.shape} and dtype {pictures.dtype}, a model of "
            f"input_shape={shorten(shape)}."
        )
    return pictures.astype("float32")


def _check_path(path):
    path = pathlib.Path(path)
    if path.is_dir() or not path.parent.is_dir():
        raise Mistake(
            "`path` must be a file in an existing folder. "
            f"Received: path={shorten(str(path), str)}."
        )


def _compare(with_pixels, pictures, probabilities, path):
    expected = with_pixels.predict(pictures, verbose=0)
    difference = float(np.abs(expected - probabilities).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise Mistake(
            f"An export must give the model's probabilities to {LARGEST_DIFFERENCE:g}. Received: "
            f"{shorten(str(path), str)}, which differs by {difference:.2g} on {len(pictures)} "
            "pictures and is not written."
        )
    return difference


def _missing(extra, error):
    return Mistake(
        f"This format needs a package. Received: {error.name} is not installed. "
        f'Install it with pip install "keras_rescnet[{extra}]".'
    )
