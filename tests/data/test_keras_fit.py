"""Batches for Keras's own fit and evaluate."""

import keras
import numpy as np

from keras_rescnet import augment, data


def digits_model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss, metrics=["accuracy"])
    return model


def test_fit_trains_on_tuples():
    """As many steps of the same batches as by hand, over epochs in another order."""
    examples = data.load(data.DIGITS, "train")
    transforms = [augment.RandomCrop(padding=2), augment.MixUp()]
    arguments = {"batch_size": 128, "seed": 3, "start": 0, "stop": 8, "steps_per_epoch": 4}
    tuples = data.train_batches(examples, transforms, as_tuples=True, **arguments)
    model = digits_model()
    model.fit(tuples, epochs=2, steps_per_epoch=4, shuffle=False, verbose=0)
    by_hand = digits_model()
    batches = data.train_batches(examples, transforms, **arguments)
    for batch in batches.as_numpy_iterator():
        by_hand.train_on_batch(batch["images"], batch["labels"])
    for ours, expected in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)


def test_tuples_know_how_many_they_are():
    examples = data.load(data.DIGITS, "train")
    batches = data.train_batches(
        examples, [], batch_size=128, seed=0, start=3, stop=10, as_tuples=True
    )
    assert len(batches) == 7


def test_evaluate_counts_every_image_once():
    """355 images in batches of 100: the last is short, not filled up."""
    examples = data.load(data.DIGITS, "test")
    model = digits_model()
    tuples = data.evaluation_batches(examples, batch_size=100, as_tuples=True)
    loss, accuracy = model.evaluate(tuples, verbose=0)
    images = data.DIGITS.normalize(examples.images)
    logits = model.predict(images, verbose=0).astype("float64")
    shares = np.exp(logits - logits.max(1, keepdims=True))
    own = shares[np.arange(355), examples.labels] / shares.sum(1)
    assert abs(accuracy - np.mean(logits.argmax(1) == examples.labels)) < 1e-6
    assert abs(loss - np.mean(-np.log(own))) < 1e-4


def test_tuples_of_shards_are_every_image_once():
    examples = data.load(data.DIGITS, "test")
    counts = [
        len(labels)
        for index in range(2)
        for _, labels in data.evaluation_batches(
            examples, batch_size=100, as_tuples=True, num_shards=2, shard_index=index
        )
    ]
    assert counts == [50, 50, 50, 50, 50, 50, 50, 5]
