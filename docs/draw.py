"""Draws the pictures of docs/ that the code makes: `python docs/draw.py`.

Needs the extras `plot` and `quickstart`: the photos are scikit-learn's sample images.
"""

import pathlib

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_sample_images

import keras_rescnet as kr
from keras_rescnet.analysis.plots import import_pyplot

DOCS = pathlib.Path(__file__).parent
SIZE = 120  # pixels of a photo's side
ROW = 4  # what a transform makes of a photo, beside the photo
QUALITY = 80  # of JPEG

# As the page on augmentations names them, and as a picture shows best what they do
TRANSFORMS = {
    "RandomCrop": kr.augment.RandomCrop(padding=20),
    "RandomFlip": kr.augment.RandomFlip(),
    "AlternatingFlip": kr.augment.AlternatingFlip(),
    "RandomResizedCrop": kr.augment.RandomResizedCrop(SIZE),
    "ColorJitter": kr.augment.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    "RandAugment": kr.augment.RandAugment(),
    "AutoAugment": kr.augment.AutoAugment("imagenet"),
    "Cutout": kr.augment.Cutout(40),
    "RandomErasing": kr.augment.RandomErasing(probability=1.0),
    "MixUp": kr.augment.MixUp(),
    "CutMix": kr.augment.CutMix(),
    "RandomChoice": kr.augment.RandomChoice([kr.augment.Cutout(40), kr.augment.MixUp()]),
}


def photos():
    """Returns squares of the two photos, uint8 `(2, SIZE, SIZE, 3)`: a temple and a flower."""
    squares = [image[:427, 100:527] for image in load_sample_images().images]
    return tf.image.resize(squares, (SIZE, SIZE), method="area").numpy().astype("uint8")


def augmented(transform):
    """Returns a row of pictures, uint8: the temple, and what becomes of it with four seeds.

    A transform that mixes two pictures mixes it with the flower.
    """
    batch = {"images": photos(), "labels": np.eye(2, dtype="float32")}
    row = [batch["images"][0]]
    for step in range(ROW):
        rows = kr.augment.Rows(
            batch_size=2,
            seed=(0, step),
            examples=tf.range(2, dtype="int64"),
            epoch=step,
            run_seed=0,
        )
        made = transform(batch, rows)["images"][0]
        row.append(tf.cast(tf.clip_by_value(tf.round(tf.cast(made, "float32")), 0, 255), "uint8"))
    return np.concatenate(
        [np.pad(p, ((0, 0), (0, 4), (0, 0)), constant_values=255) for p in row], axis=1
    )


def draw_gain(path):
    """Draws the activations, and by what the RC Layer multiplies a response."""
    pyplot = import_pyplot()
    x = np.linspace(-4, 4, 401, dtype="float32")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for name, function in {"ReLU": "relu", "GELU": "gelu", "GCLU": kr.gclu}.items():
        y = keras.ops.convert_to_numpy(keras.activations.get(function)(x))
        left.plot(x, y, label=name, linestyle="-" if name == "GCLU" else "--")
    left.set(title="GCLU: relu(x) + x Phi(-|x|)", xlabel="response x", ylabel="activation")
    left.set(xlim=(-3, 2), ylim=(-0.4, 2))
    left.legend(loc="upper left")
    tail = 0.5 * keras.ops.convert_to_numpy(keras.ops.erfc(np.abs(x) / np.sqrt(2)))
    right.fill_between(x, np.exp(-x * x / 2), color="0.9", label="frequency of z, relative")
    right.plot(x, 1 + tail, color="C2", label="factor 1 + Phi(-|z|)")
    right.set(
        title="RC Layer: factor of a response",
        xlabel="z, standard deviations from the channel's mean",
        ylabel="factor",
        ylim=(0, 2.4),
    )
    right.legend(loc="upper right")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


if __name__ == "__main__":
    draw_gain(DOCS / "gain.png")
    for name, transform in TRANSFORMS.items():
        file = DOCS / "augmentations" / f"{name}.jpg"
        file.write_bytes(tf.io.encode_jpeg(augmented(transform), quality=QUALITY).numpy())
