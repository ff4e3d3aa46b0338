"""What a trained model becomes for those who use it: SavedModel, ONNX, LiteRT.

    python -m keras_rescnet.export --workdir runs/cifar10_resnet32 --format onnx

All take pixels in [0, 255] and return probabilities. The command compares an ONNX or LiteRT file
with the Keras model on 64 pictures of the test set, and fails above a difference of 1e-4. A run on
JAX leaves no SavedModel: `--format saved_model` makes it, with Keras on TensorFlow.
"""

import pathlib
import sys
import tempfile

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from keras_rescnet import data
from keras_rescnet.activations import portable
from keras_rescnet.command import run_command

LARGEST_DIFFERENCE = 1e-4


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
    _check_backend()
    scale = (1.0 / (255.0 * np.asarray(std))).astype("float32")
    offset = (-np.asarray(mean) / np.asarray(std)).astype("float32")
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
        raise ValueError(_missing("onnx", error)) from None
    whole = _with_pixels(model, mean, std)
    with portable():
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
        raise ValueError(_missing("litert", error)) from None
    whole = _with_pixels(model, mean, std)
    with portable(), tempfile.TemporaryDirectory() as folder:
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


def _check_backend():
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Models are exported with Keras on TensorFlow. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}; load `model.keras` there."
        )


def _with_pixels(model, mean, std):
    _check_backend()
    pixels = keras.Input(model.input_shape[1:], name="pixels")
    scale = 1.0 / (255.0 * np.asarray(std))
    offset = -np.asarray(mean) / np.asarray(std)
    normalize = keras.layers.Rescaling(scale.tolist(), offset.tolist())
    return keras.Model(pixels, keras.layers.Softmax(dtype="float32")(model(normalize(pixels))))


def _check(whole, pictures, probabilities, path):
    expected = whole.predict(pictures.astype("float32"), verbose=0)
    difference = float(np.abs(expected - probabilities).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise ValueError(
            f"An export must give the model's probabilities to {LARGEST_DIFFERENCE:g}. "
            f"Received: {path}, which differs by {difference:.2g} on {len(pictures)} pictures."
        )
    return difference


def _missing(extra, error):
    return (
        f"This format needs a package. Received: {error.name} is not installed. "
        f'pip install -e ".[{extra}]"'
    )


def main(arguments):
    """Writes a run's model in the format that is asked for, into the run's folder."""
    values = flags.FlagValues()
    workdir = flags.DEFINE_string("workdir", None, "Folder of the run.", flag_values=values)
    formats = ["onnx", "litert", "saved_model"]
    kind = flags.DEFINE_enum("format", "onnx", formats, "Format.", flag_values=values)
    data_dir = flags.DEFINE_string("data_dir", None, "TFDS's folder.", flag_values=values)

    def command(_):
        from keras_rescnet.evaluate import load_run

        if workdir.value is None:
            raise ValueError("--workdir DIR is missing. Received: none.")
        recipe, model = load_run(workdir.value)
        examples = data.load(recipe.dataset, "test", data_dir.value)
        mean, std = np.asarray(examples.dataset.mean), np.asarray(examples.dataset.std)
        folder = pathlib.Path(workdir.value)
        if kind.value == "saved_model":
            path, names = folder / "saved_model", examples.class_names
            saved_model(model, path, mean=mean, std=std, class_names=names)
            print(f"Wrote {path}.")
            return
        count = min(64, len(examples))
        batch = next(data.evaluation_batches(examples, batch_size=count).as_numpy_iterator())
        pictures = np.rint(255 * (batch["images"] * std + mean)).astype("uint8")
        write, suffix = {"onnx": (onnx, "onnx"), "litert": (litert, "tflite")}[kind.value]
        path = folder / f"model.{suffix}"
        difference = write(model, path, mean=mean, std=std, pictures=pictures)
        print(f"Wrote {path}; it differs by {difference:.2g} on {len(pictures)} pictures.")

    run_command("export", __doc__, arguments, values, command)


if __name__ == "__main__":
    main(sys.argv)
