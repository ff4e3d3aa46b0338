"""Small sets of TensorFlow Datasets, read into memory."""

import numpy as np
import tensorflow as tf

from keras_rescnet.data import tfds_builder
from keras_rescnet.data.array_examples import ArrayExamples
from keras_rescnet.mistake import Mistake


def read(dataset, split, data_dir=None):
    """Returns a whole split as `ArrayExamples`, in TFDS's order."""
    builder = tfds_builder.prepared(dataset, data_dir)
    source_split = dataset.train_split if split == "train" else dataset.test_split
    tfds_builder.check_splits(builder, dataset, source_split)
    names = tfds_builder.class_names(builder, dataset)
    shape = builder.info.features["image"].shape
    if None in shape:
        raise Mistake(
            f"Images of {dataset.name} must have one size to be held in memory; tfds_encoded.read "
            f"reads them from files. Received: images of shape {shape}."
        )
    options = tf.data.Options()
    options.autotune.enabled = False  # deleting an autotuned iterator can block for seconds
    batches = builder.as_dataset(source_split).batch(1000).with_options(options)
    images, labels = [], []
    for batch in batches.as_numpy_iterator():
        images.append(batch["image"])
        labels.append(batch["label"])
    return ArrayExamples(dataset, np.concatenate(images), np.concatenate(labels), names)
