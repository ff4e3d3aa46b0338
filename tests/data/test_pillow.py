"""The batched image operations against Pillow, and against what the paper's code gave."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from keras_rescnet.augment import pillow, policies

GREY = (128, 128, 128)
NAMES = {  # ours: the golden file's
    pillow.shear_x: "shearX",
    pillow.shear_y: "shearY",
    pillow.translate_x: "translateX",
    pillow.translate_y: "translateY",
}
OPERATIONS = list(policies.MAGNITUDES)


def golden_name(operation):
    return NAMES.get(operation, operation.__name__)


def affine(image, *matrix, resample=Image.Resampling.NEAREST):
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, resample=resample, fillcolor=GREY
    )


def rotate(image, degrees):
    turned = image.convert("RGBA").rotate(degrees)
    return Image.composite(turned, Image.new("RGBA", image.size, GREY), turned).convert("RGB")


BICUBIC = Image.Resampling.BICUBIC
PILLOW = {
    pillow.shear_x: lambda image, m: affine(image, 1, m, 0, 0, 1, 0, resample=BICUBIC),
    pillow.shear_y: lambda image, m: affine(image, 1, 0, 0, m, 1, 0, resample=BICUBIC),
    pillow.translate_x: lambda image, m: affine(image, 1, 0, m * image.size[0], 0, 1, 0),
    pillow.translate_y: lambda image, m: affine(image, 1, 0, 0, 0, 1, m * image.size[1]),
    pillow.rotate: rotate,
    pillow.color: lambda image, m: ImageEnhance.Color(image).enhance(m),
    pillow.contrast: lambda image, m: ImageEnhance.Contrast(image).enhance(m),
    pillow.brightness: lambda image, m: ImageEnhance.Brightness(image).enhance(m),
    pillow.sharpness: lambda image, m: ImageEnhance.Sharpness(image).enhance(m),
    pillow.posterize: lambda image, m: ImageOps.posterize(image, int(m)),
    pillow.solarize: ImageOps.solarize,
    pillow.autocontrast: lambda image, m: ImageOps.autocontrast(image),
    pillow.equalize: lambda image, m: ImageOps.equalize(image),
    pillow.invert: lambda image, m: ImageOps.invert(image),
}


def apply(operation, images, magnitudes):
    arguments = [] if policies.MAGNITUDES[operation] is None else [magnitudes]
    return operation(tf.constant(images), *map(tf.constant, arguments)).numpy()


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (2, 2), (1, 1)], ids=str)
@pytest.mark.parametrize("operation", OPERATIONS, ids=golden_name)
def test_pictures_of_one_line(operation, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype("uint8")
    table = policies.MAGNITUDES[operation]
    magnitude = 0.0 if table is None else float(table[1, 5])
    expected = np.asarray(PILLOW[operation](Image.fromarray(image), magnitude))
    (found,) = apply(operation, image[None], np.array([magnitude]))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("operation", OPERATIONS, ids=golden_name)
def test_the_papers_code(operation, golden):
    """All ten magnitudes and both signs of the reference, exactly."""
    arrays = golden("autoaugment_ops")
    name = golden_name(operation)
    cases = [(level, sign) for level in range(10) for sign in (0, 1)]
    table = policies.MAGNITUDES[operation]
    magnitudes = np.zeros(20) if table is None else np.array([table[s, k] for k, s in cases])
    images = np.repeat(arrays["image"][None], 20, axis=0)
    expected = [arrays[f"{name}_{level}_{'-+'[sign]}1"] for level, sign in cases]
    np.testing.assert_array_equal(apply(operation, images, magnitudes), expected)


@pytest.mark.parametrize("shape", [(32, 32), (19, 46)], ids=str)
@pytest.mark.parametrize("operation", OPERATIONS, ids=golden_name)
def test_pillow(operation, shape):
    """Pictures unlike each other: noise, dark, flat, smooth; in another shape too."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (8, *shape, 3))
    dark = rng.integers(3, 60, (4, *shape, 3))
    flat = np.full((2, *shape, 3), 77)
    flat[1, : shape[0] // 3] = 200
    ramp = np.linspace(0, 255, shape[1]) * np.ones((4, *shape[:1], 1))
    smooth = np.stack([ramp, ramp[:, ::-1], 255 - ramp], axis=-1)
    images = np.concatenate([noise, dark, flat, smooth]).astype("uint8")
    table = policies.MAGNITUDES[operation]
    for level in (0, 1, 4, 7, 9):
        magnitudes = np.zeros(18) if table is None else np.resize(table[:, level], 18)
        expected = [
            PILLOW[operation](Image.fromarray(image), magnitude)
            for image, magnitude in zip(images, magnitudes, strict=True)
        ]
        np.testing.assert_array_equal(apply(operation, images, magnitudes), np.stack(expected))


@pytest.mark.parametrize("operation", OPERATIONS, ids=golden_name)
def test_no_image_at_all(operation):
    """What an operation gets when none of a batch drew it."""
    images = np.zeros((0, 8, 9, 3), "uint8")
    assert apply(operation, images, np.zeros(0)).shape == (0, 8, 9, 3)


def test_no_pixels_are_transposed():
    """Of uint8 TensorFlow prints an error of oneDNN's then, on some CPUs."""
    images = tf.TensorSpec((None, 8, 10, 3), "uint8")
    graph = tf.function(pillow.shear_y).get_concrete_function(images, tf.zeros(2, "float64")).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert "GatherV2" in kinds and "Transpose" not in kinds
