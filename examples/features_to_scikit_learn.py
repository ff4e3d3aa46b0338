"""Classifies with scikit-learn what a trained network sees in pictures.

python train.py --recipe recipes/digits_gclu_resnet8.py
python examples/features_to_scikit_learn.py runs/digits_gclu_resnet8
"""

import pathlib
import sys

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import keras_rescnet as kr


def features(network, examples):
    """Returns what `network` gives for all pictures, `(N, C)`, and the numbers of their classes."""
    batches = kr.data.evaluation_batches(examples, batch_size=100)
    rows = [(network(batch["images"]), batch["labels"]) for batch in batches]
    found, labels = (np.concatenate(column)[: len(examples)] for column in zip(*rows, strict=True))
    return found, labels.argmax(axis=1)


def compare(folder, dataset=kr.data.DIGITS):
    """Returns the test accuracy of each classifier on the features of a run's network."""
    model = keras.models.load_model(pathlib.Path(folder) / "model.keras")
    network = kr.models.feature_extractor(model, "features")
    train = features(network, kr.data.load(dataset, "train"))
    test = features(network, kr.data.load(dataset, "test"))
    classifiers = LogisticRegression(max_iter=1000), KNeighborsClassifier()
    return {type(each).__name__: each.fit(*train).score(*test) for each in classifiers}


if __name__ == "__main__":
    print(compare(sys.argv[1]))
