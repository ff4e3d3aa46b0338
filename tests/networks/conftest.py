"""Fixtures of the tests of networks."""

import functools

import keras
import pytest

from keras_rescnet import models
from keras_rescnet.models.complexity import outline


@pytest.fixture(scope="session")
def outlined():
    """Returns the outline of a named builder, whose weights are drawn when they are read."""

    @functools.cache
    def build(name):
        keras.utils.set_random_seed(0)
        return outline(getattr(models, name))

    return build
