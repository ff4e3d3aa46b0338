"""Trains with plain `fit` on a `tf.data` pipeline of your own, with transforms of `kr.augment`.

    python examples/augment_with_fit.py

The digits come with scikit-learn. The random numbers of a batch follow from its number.
"""

import keras
import tensorflow as tf

import keras_rescnet as kr

TRANSFORMS = [kr.augment.RandomCrop(padding=2), kr.augment.Cutout(8), kr.augment.MixUp(0.2)]


def augmented(step, pictures):
    """Returns images from -1 to 1 and the shares of their classes."""
    images, labels = pictures
    batch = {"images": images, "labels": tf.one_hot(labels, 10)}
    for place, transform in enumerate(TRANSFORMS):
        batch = transform(batch, (place, step))
    return tf.cast(batch["images"], "float32") / 127.5 - 1, batch["labels"]


def train(images, labels, epochs=20, batch_size=32):
    """Returns the trained model and Keras's history."""
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    data = data.shuffle(len(images), seed=0).repeat(epochs).batch(batch_size, drop_remainder=True)
    data = data.enumerate().map(augmented, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)

    model = kr.models.CifarResNet8(activation=kr.gclu)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss, metrics=["accuracy"])
    steps = len(images) // batch_size
    return model, model.fit(data, epochs=epochs, steps_per_epoch=steps, shuffle=False)


if __name__ == "__main__":
    digits = kr.data.load(kr.data.DIGITS, "train")
    train(digits.images, digits.labels)[0].save("digits.keras")
