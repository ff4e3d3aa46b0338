"""Picture files for a model, prepared as those of its tests were."""

import dataclasses
import pathlib

import keras
import numpy as np

from keras_rescnet.analysis.model_file import load_model
from keras_rescnet.analysis.runs import load_run
from keras_rescnet.data.normalization import scale_and_offset
from keras_rescnet.mistake import Mistake, shorten


@dataclasses.dataclass(frozen=True)
class PictureModel:
    """A model of pictures, and what it expects of them.

    Args:
        model: From images to logits or probabilities.
        image_shape: Height, width and channels of the images.
        mean: Mean of each channel, of pixels divided by 255.
        std: Standard deviation of each channel, likewise.
        class_names: Names of the classes.
        crop_fraction: Share of a picture's shorter side that the model looks at.
        multi_label: Whether a picture has any number of classes.
    """

    model: keras.Model
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    crop_fraction: float = 1.0
    multi_label: bool = False

    def normalized(self, pixels) -> np.ndarray:
        """Returns pixels in [0, 255] as the model takes them, float32."""
        scale, offset = scale_and_offset(self.mean, self.std)
        return np.asarray(pixels, "float32") * scale + offset

    def read(self, paths) -> tuple[list[pathlib.Path], np.ndarray, list[pathlib.Path]]:
        """Returns the files that are pictures, their pixels `(N, H, W, C)`, and the other files."""
        import tensorflow as tf

        from keras_rescnet.data.decoding import prepare

        pictures, read, unreadable = [], [], []
        for path in paths:
            try:
                encoded = tf.constant(pathlib.Path(path).read_bytes())
                pictures.append(prepare(encoded, self.image_shape, self.crop_fraction).numpy())
                read.append(path)
            except (OSError, tf.errors.OpError):
                unreadable.append(path)
        return read, np.reshape(pictures, (-1, *self.image_shape)).astype("uint8"), unreadable


def picture_model(path, recipe=None, pixels: bool = False) -> PictureModel:
    """Returns the model of a run, or of a `.keras` file.

    Args:
        path: Folder of a finished run, or the file.
        recipe: For a file, the recipe whose data it is given; see `kr.load_recipe`.
        pixels: Whether a file takes pixels in [0, 255] in place of normalized images.

    Raises:
        Mistake: If there is none, or it is no classifier of pictures of a known size.
    """
    path = pathlib.Path(path)
    if path.suffix != ".keras":
        run = load_run(path)
        recorded = (run.facts.get("data") or {}).get("image_shape") or ()
        return PictureModel(
            run.model,
            _image_shape(run.model, recorded),
            run.mean,
            run.std,
            _names(run.model, run.class_names),
            run.crop_fraction,
            run.multi_label,
        )
    if recipe is None and not pixels:
        raise Mistake(
            "A .keras file needs --recipe, which says how its pictures are normalized, or "
            f"--pixels. Received: {shorten(str(path), str)} alone."
        )
    model = load_model(path)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    known: tuple[int, ...] = ()
    multi_label = False
    if recipe is not None:
        from keras_rescnet.recipe import load_recipe

        dataset = load_recipe(recipe).dataset
        dataset.check_known()
        mean, std, known = dataset.mean or (), dataset.std or (), dataset.image_shape
        names, multi_label = dataset.class_names or (), dataset.multi_label
    shape = _image_shape(model, known)
    if pixels:
        mean, std = (0.0,) * shape[-1], (1 / 255,) * shape[-1]
    return PictureModel(model, shape, mean, std, _names(model, names), multi_label=multi_label)


def _image_shape(model, known) -> tuple[int, int, int]:
    """Returns the shape of a model's images, where it leaves a side open that of `known`."""
    shape = getattr(model, "input_shape", None)
    sides = list(shape[1:]) if isinstance(shape, tuple) else []
    if len(known) == len(sides):
        sides = [other if side is None else side for side, other in zip(sides, known, strict=True)]
    classes = getattr(model, "output_shape", ())
    if len(sides) != 3 or None in sides or len(classes) != 2:
        raise Mistake(
            "A model must map pictures (N, H, W, C) of known size to classes (N, classes). "
            f"Received: {model.name}, from {shape} to {shorten(classes)}."
        )
    height, width, channels = map(int, sides)
    return height, width, channels


def _names(model, names):
    """Returns the names of a model's classes, or their numbers."""
    classes = model.output_shape[-1]
    return tuple(names) if len(names) == classes else tuple(map(str, range(classes)))
