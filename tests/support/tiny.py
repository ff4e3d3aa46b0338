"""A tiny dataset of TFDS, for the tests of data."""

import pathlib

import numpy as np
import tensorflow_datasets as tfds

from keras_rescnet import data
from keras_rescnet.data import tfds_arrays

SHAPE = (4, 4, 3)


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Ten training pictures; every pixel of picture i is i."""

    pkg_dir_path = pathlib.Path(__file__).parent  # TFDS would look for a package
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=SHAPE),
                    "label": tfds.features.ClassLabel(names=["even", "odd"]),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 10), "test": self._generate_examples(10, 13)}

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            yield i, {"image": np.full(SHAPE, i, "uint8"), "label": i % 2}


def tiny(**changes):
    facts = {
        "name": "tiny_pictures",
        "read": tfds_arrays.read,
        "image_shape": SHAPE,
        "classes": 2,
        "mean": (0.5, 0.25, 0.125),
        "std": (0.5, 0.25, 1.0),
    }
    return data.Dataset(**{**facts, **changes})
