"""scikit-learn's handwritten digits, which need no network."""

import numpy as np

from keras_rescnet.data.array_examples import ArrayExamples
from keras_rescnet.mistake import Mistake


def read(dataset, split, data_dir=None):
    """Returns the 1,797 real digits of scikit-learn, enlarged from 8x8 to 32x32x3.

    Every pixel becomes a 4x4 square, and 0..16 becomes 0..255. Of each class, in
    scikit-learn's order, every fifth example (the 5th, 10th, ...) is a test example:
    1,442 to train on and 355 to test with.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise Mistake(
            "DIGITS needs scikit-learn. Received: none is installed. "
            'Install it with pip install "keras_rescnet[quickstart]".'
        ) from None
    digits = load_digits()
    levels = np.round(digits.images * (255 / 16)).astype("uint8")
    images = np.repeat(levels.repeat(4, axis=1).repeat(4, axis=2)[..., None], 3, axis=-1)
    is_test = np.zeros(len(images), bool)
    for label in range(dataset.classes):
        is_test[np.flatnonzero(digits.target == label)[4::5]] = True
    rows = np.flatnonzero(is_test == (split == "test"))
    return ArrayExamples(dataset, images[rows], digits.target[rows], dataset.class_names)
