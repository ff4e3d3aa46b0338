"""The network of airbench94: its sizes, its initial weights, and what it computes."""

import keras
import numpy as np
import pytest

from keras_rescnet import initializers, layers
from keras_rescnet.models import Airbench94


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return Airbench94()


def numpy_of(variable):
    return keras.ops.convert_to_numpy(variable)


def test_sizes_are_those_of_the_original(model):
    """As PyTorch counts the parameters of `CifarNet` that require a gradient."""
    trained = [weight for weight in model.trainable_weights if weight.shape]
    assert sum(int(np.prod(weight.shape)) for weight in trained) == 1_971_352
    assert model.get_layer("whitening").kernel.shape == (2, 2, 3, 24)
    sides = [model.get_layer(f"stage{i}_2_activation").output.shape[1] for i in (1, 2, 3)]
    assert sides == [15, 7, 3]


def test_first_filters_pass_on_their_channel(model):
    kernel = numpy_of(model.get_layer("stage2_1_conv").kernel)
    middle = np.zeros((3, 3, 64, 64), "float32")
    middle[1, 1] = np.eye(64)
    np.testing.assert_array_equal(kernel[..., :64], middle)
    drawn = kernel[..., 64:].ravel()
    bound = 1 / np.sqrt(9 * 64)
    assert np.abs(drawn).max() <= bound
    assert abs(drawn.std() * np.sqrt(3) / bound - 1) < 4 / np.sqrt(drawn.size)
    np.testing.assert_array_equal(
        numpy_of(model.get_layer("stage3_1_conv").kernel)[1, 1], np.eye(256)
    )
    logits = numpy_of(model.get_layer("logits").kernel)
    assert abs(logits.std() * 256 - 1) < 4 / np.sqrt(logits.size)


def test_a_dirac_initializer_is_a_new_draw_and_survives_its_config():
    one, other = initializers.Dirac(), initializers.Dirac(seed=3)
    shape = (3, 3, 2, 5)
    assert not np.array_equal(one(shape), other(shape))
    again = keras.initializers.deserialize(keras.initializers.serialize(other))
    np.testing.assert_array_equal(again(shape), other(shape))
    assert keras.backend.standardize_dtype(one(shape, "float16").dtype) == "float16"


def test_normalization_without_scale_is_that_with_a_scale_of_one():
    images = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype("float32")
    with_scale, without = (layers.BatchNormalization(scale=scale) for scale in (True, False))
    bare = layers.BatchNormalization(scale=False, center=False)
    expected = numpy_of(with_scale(images, training=True))
    for layer in (without, bare):
        np.testing.assert_array_equal(layer(images, training=True), expected)
        np.testing.assert_array_equal(layer.moving_variance, with_scale.moving_variance)
        np.testing.assert_array_equal(layer.moving_mean, with_scale.moving_mean)
