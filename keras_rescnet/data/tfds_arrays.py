"""Small sets of TensorFlow Datasets, read into memory."""

import numpy as np
import tensorflow as tf

from keras_rescnet.augment.cores import available_cores, map_images
from keras_rescnet.data import tfds_builder
from keras_rescnet.data.array_examples import ArrayExamples
from keras_rescnet.mistake import Mistake

BATCH = 1000


def read(dataset, split, data_dir=None):
    """Returns a whole split as `ArrayExamples`, in TFDS's order."""
    builder = tfds_builder.prepared(dataset, data_dir)
    source_split = dataset.train_split if split == "train" else dataset.test_split
    tfds_builder.check_splits(builder, dataset, source_split)
    names = tfds_builder.class_names(builder, dataset)
    shape = builder.info.features["image"].shape
    if None in shape:
        raise Mistake(
            f"Images of {dataset.name} must have one size to be held in memory; "
            f"kr.data.IMAGENET's `read` reads them from files. Received: images of shape {shape}."
        )
    options = tf.data.Options()
    options.autotune.enabled = False  # deleting an autotuned iterator can block for seconds
    batches = _batches(builder, source_split).with_options(options)
    images, labels = [], []
    for batch in batches.as_numpy_iterator():
        images.append(batch["image"])
        labels.append(batch["label"])
    return ArrayExamples(dataset, np.concatenate(images), np.concatenate(labels), names)


def _batches(builder, split):
    """Returns the examples of a split in batches, as TFDS decodes them."""
    import tensorflow_datasets as tfds

    known, image = builder.info.splits, builder.info.features["image"]
    files = known[split].file_instructions if known else []  # none in TFDS's mock data
    records = builder.info.file_format == tfds.core.FileFormat.TFRECORD
    if len(files) != 1 or not records or not isinstance(image, tfds.features.Image):
        return builder.as_dataset(split).batch(BATCH)
    # TFDS takes three times as long, for every example goes through its steps alone. Of several
    # files it also decides the order.
    (file,) = files
    stored = {
        "image": tf.io.FixedLenFeature((), tf.string),
        "label": tf.io.FixedLenFeature((), tf.int64),
    }

    def parse(serialized):
        parsed = tf.io.parse_example(serialized, stored)
        pixels = tf.TensorSpec(image.shape, image.tf_dtype)
        return {**parsed, "image": map_images(image.decode_example, parsed["image"], pixels)}

    examples = tf.data.TFRecordDataset(file.filename).skip(file.skip).take(file.take)
    return examples.batch(BATCH).map(parse, num_parallel_calls=available_cores())
