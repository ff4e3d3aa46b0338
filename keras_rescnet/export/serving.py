"""SavedModels: pixels to probabilities, without this package."""

import errno
import os
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from keras_rescnet.arguments import is_number
from keras_rescnet.data.decoding import prepare
from keras_rescnet.data.normalization import scale_and_offset
from keras_rescnet.export.checks import checked
from keras_rescnet.files import write_aside
from keras_rescnet.gaussian import erfc_in_graphs
from keras_rescnet.mistake import Mistake, shorten

PIXELS = (tf.uint8, tf.int32, tf.int64, tf.float16, tf.float32, tf.float64)


def saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    class_names: Sequence[str] = (),
    crop_fraction: float = 1.0,
    multi_label: bool = False,
    thresholds: Sequence[float] = (),
) -> None:
    """Writes a SavedModel that maps pixels to probabilities.

        probabilities = softmax(model((pixels / 255 - mean) / std))

    or, with `multi_label`, their sigmoid. It has three functions and a signature:

    - `serve(pixels)` takes pixels in [0, 255], `(N, H, W, C)` with any `N`, 0 included, of dtype
      uint8, int32, int64, float16, float32 or float64. Returns float32 probabilities
      `(N, classes)`. Pixels that are NaN give probabilities that are NaN.
    - `prepare(encoded)` takes the bytes of a JPEG, PNG, BMP, GIF or WebP file, a scalar string.
      Returns uint8 pixels `(H, W, C)`, as the pictures of the model's tests were prepared: the
      shorter side is resized to `1 / crop_fraction` of the input's, and the middle is kept.
    - `class_names()` returns the names of the classes; with `multi_label`, `thresholds()` returns
      the probabilities at or above which to assign each, float32.
    - The signature `serving_default` takes float32 pixels and returns probabilities and names.

    A SavedModel is a program: whoever loads one runs what it holds.

    Args:
        model: A `keras.Model` from normalized images to logits.
        path: The folder to write. A SavedModel that is there is replaced, a link is not followed.
        mean: Mean of each channel, of pixels divided by 255.
        std: Standard deviation of each channel, likewise.
        class_names: Names of the classes, in order; their numbers if there are none. Defaults to
            `()`.
        crop_fraction: Share of a picture's shorter side that `prepare` keeps. Defaults to 1.
        multi_label: Whether a picture has any number of classes, its tags, instead of one. Defaults
            to `False`.
        thresholds: With `multi_label`, probabilities at or above which to assign each; 0.5 by
            default.

    Raises:
        Mistake: If an argument does not fit the model, the folder holds something else, or Keras
            does not run on TensorFlow.

    Example:

    >>> import tempfile
    >>> import tensorflow as tf
    >>> layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    >>> folder = tempfile.mkdtemp() + "/served"
    >>> kr.export.saved_model(
    ...     keras.Sequential(layers), folder, mean=(0.5,) * 3, std=(0.2,) * 3, class_names="ab"
    ... )
    >>> served = tf.saved_model.load(folder)
    >>> served.serve(np.zeros((5, 8, 8, 3), "uint8")).shape
    TensorShape([5, 2])
    >>> served.class_names().numpy()
    array([b'a', b'b'], dtype=object)
    """
    model = checked(model, mean, std, multi_label)
    scale, offset = scale_and_offset(mean, std)
    classes = model.output_shape[-1]
    names = _names(class_names) or [str(number) for number in range(classes)]
    if len(names) != classes or isinstance(class_names, Mapping):
        raise Mistake(
            f"`class_names` must be the names of the model's {classes} classes. "
            f"Received: class_names={shorten(names)}, {len(names)} names."
        )
    if not (is_number(crop_fraction) and 0 < crop_fraction <= 1):
        raise Mistake(
            "`crop_fraction` must be above 0 and at most 1. "
            f"Received: crop_fraction={shorten(crop_fraction)}."
        )
    thresholds = _thresholds(thresholds, classes, multi_label)
    _check_path(path)

    archive = tf.Module()
    archive.weights = [variable.value for variable in model.variables]

    @tf.function(input_signature=[], autograph=False)
    def name_classes():
        return tf.constant(names)

    shape = (None, *model.input_shape[1:])
    signature = [tf.TensorSpec(shape, tf.float32, name="pixels")]

    @tf.function(input_signature=signature, autograph=False)
    def classify(pixels):  # the one place where the model is traced, which takes long
        count = tf.shape(pixels)[0]
        # Kernels of convolutions refuse batches of 0, so one picture is added to them.
        filled = tf.pad(pixels, [[0, tf.cast(count == 0, tf.int32)], [0, 0], [0, 0], [0, 0]])
        with erfc_in_graphs():  # only TensorFlow reads this file
            logits = model(filled * scale + offset, training=False)
        logits = tf.cast(logits, tf.float32)
        return (tf.nn.sigmoid(logits) if multi_label else tf.nn.softmax(logits))[:count]

    @tf.function(autograph=False)
    def serve(pixels):
        return classify(tf.cast(pixels, tf.float32))

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
    def prepare_picture(encoded):
        return prepare(encoded, shape[1:], crop_fraction)

    @tf.function(input_signature=signature, autograph=False)
    def serving_default(pixels):
        return {"probabilities": classify(pixels), "class_names": name_classes()}

    archive.serve, archive.class_names = serve, name_classes
    if multi_label:
        archive.thresholds = tf.function(
            lambda: tf.constant(thresholds, tf.float32), input_signature=[], autograph=False
        )
    if None not in shape[1:]:
        archive.prepare = prepare_picture
    for dtype in PIXELS:
        serve.get_concrete_function(tf.TensorSpec(shape, dtype))
    with write_aside(path) as aside:
        try:
            tf.saved_model.save(archive, str(aside), signatures=serving_default)
        except tf.errors.PermissionDeniedError as error:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path)) from error


def _names(given):
    """Returns names as texts; a SavedModel's `class_names()` has them as bytes."""
    return [name.decode() if isinstance(name, bytes) else str(name) for name in given]


def _thresholds(thresholds, classes, multi_label):
    """Returns the probabilities at or above which to assign each class."""
    chosen = list(thresholds) or [0.5] * classes
    if len(thresholds) not in (0, classes if multi_label else 0) or not all(
        is_number(value) and 0 <= value <= 1 for value in chosen
    ):
        raise Mistake(
            f"`thresholds` must be {classes} probabilities, one for each class, and go with "
            f"multi_label=True. Received: thresholds={shorten(thresholds)}, "
            f"multi_label={shorten(multi_label)}."
        )
    return chosen


def _check_path(path):
    """Raises a `Mistake` unless there is nothing at `path`, or a SavedModel."""
    is_empty = os.path.isdir(path) and not os.listdir(path)
    is_ours = os.path.isfile(os.path.join(path, "saved_model.pb"))
    if os.path.islink(path) or (os.path.exists(path) and not (is_empty or is_ours)):
        raise Mistake(
            "`path` must be a folder that is not there yet, or a SavedModel to replace. "
            f"Received: path={shorten(str(path), str)}, "
            + ("a link." if os.path.islink(path) else "which holds something else.")
        )
