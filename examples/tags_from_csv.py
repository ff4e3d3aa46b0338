"""Trains a network on pictures with several tags each, and tags a picture with it.

    python examples/tags_from_csv.py shoes/pictures.csv shoe.jpg

where the CSV file begins `path,tags,split`; a line of it reads `images/1.jpg,red|sandal,train`.
"""

import sys
from functools import partial

import tensorflow as tf

import keras_rescnet as kr


def train(table, workdir, model=kr.models.CifarResNet32, size=64, **changes):
    """Trains a recipe; returns its results, with a threshold for each tag."""
    recipe = kr.Recipe(
        dataset=kr.data.image_table(table, size=size),
        model=partial(model, activation=kr.gclu),
        augment=lambda: [kr.augment.RandomResizedCrop(size), kr.augment.MixUp(0.2)],
        loss=kr.losses.binary_crossentropy,
        optimizer=partial(kr.optimizers.AdamW, weight_decay=0.05),
        learning_rate=1e-3,
        **{"batch_size": 32, "epochs": 30, **changes},
    )
    return kr.train(recipe, workdir)


def tags_of(picture, workdir):
    """Returns the tags whose probability is at least their threshold; needs no keras_rescnet."""
    served = tf.saved_model.load(f"{workdir}/saved_model")
    (probabilities,) = served.serve(served.prepare(tf.io.read_file(str(picture)))[None])
    given = probabilities.numpy() >= served.thresholds().numpy()
    return [name.decode() for name in served.class_names().numpy()[given]]


if __name__ == "__main__":
    train(sys.argv[1], "runs/tags")
    print(tags_of(sys.argv[2], "runs/tags"))
