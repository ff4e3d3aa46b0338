"""Large sets of TensorFlow Datasets, read by random access."""

import concurrent.futures
import struct

import numpy as np
import tensorflow as tf

from keras_rescnet.data import tfds_builder
from keras_rescnet.data.encoded_examples import EncodedExamples

READERS = 16  # files of records that are looked through at a time: waiting, not computing


def read(dataset, split, data_dir=None):
    """Returns a split as `EncodedExamples`, in the order of its files.

    Sets that TFDS has prepared as array_record or parquet have random access by themselves; in
    TFRecord files, TFDS's default, every record is looked up once to find where it starts.
    """
    builder = tfds_builder.prepared(dataset, data_dir)
    source_split = dataset.train_split if split == "train" else dataset.test_split
    tfds_builder.check_splits(builder, dataset, source_split)
    names = tfds_builder.class_names(builder, dataset)
    try:
        count, fetch = _data_source(builder, source_split)
    except NotImplementedError:
        count, fetch = _records(builder, source_split)
    return EncodedExamples(dataset, count, fetch, names)


def _data_source(builder, split):
    import tensorflow_datasets as tfds

    source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})

    def fetch(indices):
        found = map(source.__getitem__, indices.tolist())
        return _columns((example["image"], example["label"]) for example in found)

    return len(source), fetch


def _records(builder, split):
    parts = builder.info.splits[split].file_instructions
    paths = [part.filename for part in parts]
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        places = [
            of_file[part.skip : part.skip + part.take]
            for part, of_file in zip(parts, pool.map(_record_places, paths), strict=True)
        ]
    files = np.repeat(np.arange(len(paths)), [len(of_file) for of_file in places])
    table = np.concatenate(places)

    def record(index):
        start, size = table[index].tolist()
        with open(paths[files[index]], "rb") as file:
            file.seek(start)
            features = tf.train.Example.FromString(file.read(size)).features.feature
        return features["image"].bytes_list.value[0], features["label"].int64_list.value[0]

    return len(table), lambda indices: _columns(record(index) for index in indices)


def _record_places(path):
    """Returns where the records of a TFRecord file start and their sizes, int64 `(n, 2)`."""
    places = []
    with open(path, "rb") as file:
        while header := file.read(12):  # size and its checksum; the record and its checksum follow
            (size,) = struct.unpack("<Q", header[:8])
            places.append((file.tell(), size))
            file.seek(size + 4, 1)
    return np.array(places, "int64").reshape(-1, 2)


def _columns(examples):
    pictures, labels = zip(*examples, strict=True)
    return np.array(pictures, object), np.array(labels, "int64")
