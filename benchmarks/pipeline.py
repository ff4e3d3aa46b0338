"""Images per second and core of input pipelines, side by side.

    python benchmarks/pipeline.py [--rounds 3] [--seconds 2] [--pictures DIR] [--memory]

Each chain ends in the same normalized float32 batches. `ours` is keras_rescnet.augment,
`keras-cv` and `keras` the nearest layers those have (neither has AutoAugment), both fed by the
same reader, `tf.image` the usual pipeline of one image at a time, and `Pillow` what torchvision's
RandomResizedCrop and flip do with Pillow's images. JPEG files are those of --pictures, or noise of
500 x 375. At last all cores make batches of them, with more and more parallel calls.
"""

import argparse
import io
import itertools
import pathlib
import resource
import statistics
import time

import keras
import keras_cv
import numpy as np
import tensorflow as tf
from measurement import arguments_of, publish, table
from PIL import Image

from keras_rescnet import augment, data
from keras_rescnet.augment.cores import available_cores
from keras_rescnet.data.array_examples import ArrayExamples
from keras_rescnet.data.encoded_examples import EncodedExamples

MEAN = [255 * mean for mean in data.CIFAR100.mean]
STD = [255 * std for std in data.CIFAR100.std]
PIXELS = {"value_range": (0, 255)}
cv, kl = keras_cv.layers, keras.layers


def pad(batch, seed):
    """Four zero pixels on every side, which no keras-cv or Keras image layer adds."""
    return {**batch, "images": tf.pad(batch["images"], [[0, 0], [4, 4], [4, 4], [0, 0]])}


CROP_FLIP = {
    "ours": lambda: [augment.RandomCrop(padding=4), augment.RandomFlip()],
    "keras-cv": lambda: [pad, cv.RandomCrop(32, 32), cv.RandomFlip("horizontal")],
    "keras (one crop per batch)": lambda: [pad, kl.RandomCrop(32, 32), kl.RandomFlip("horizontal")],
}


def crop_and_flip():
    """ImageNet's transforms."""
    return [augment.RandomResizedCrop(224), augment.RandomFlip()]


TABLE_3 = {
    "ours": lambda: [
        *CROP_FLIP["ours"](),
        augment.AutoAugment("cifar10"),
        augment.RandomErasing(scale=(0.0625, 0.1), ratio=(0.99, 1.0), value=MEAN),
        augment.RandomChoice([augment.MixUp(), augment.CutMix()]),
    ],
    "keras-cv (RandAugment)": lambda: [
        *CROP_FLIP["keras-cv"](),
        cv.RandAugment(augmentations_per_image=2, magnitude=0.3, **PIXELS),
        cv.RandomCutout(0.28, 0.28),
        cv.RandomChoice([cv.MixUp(), cv.CutMix()], batchwise=True),
    ],
    "keras (RandAugment)": lambda: [
        *CROP_FLIP["keras (one crop per batch)"](),
        kl.RandAugment(num_ops=2, factor=0.3, **PIXELS),
        kl.RandomErasing(0.5, scale=(0.0625, 0.1)),
        kl.MixUp(),
    ],
}


def small_images(count=10_000):
    """Smooth pictures of 32x32, as compressible as photographs are."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (count, 8, 8, 3)).astype("float32")
    images = tf.image.resize(coarse, (32, 32)).numpy().astype("uint8")
    names = [str(i) for i in range(100)]
    return ArrayExamples(data.CIFAR100, images, rng.integers(0, 100, count), names)


def jpegs(folder, count=64):
    """Returns encoded pictures: of a folder, or noise of ImageNet's usual 500 x 375."""
    if folder is not None:
        paths = sorted(pathlib.Path(folder).rglob("*.jpg"))
        return np.array(
            [path.read_bytes() for path in paths[:: max(1, len(paths) // 1000)]], object
        )
    rng = np.random.default_rng(0)
    encoded = []
    for _ in range(count):
        coarse = rng.uniform(0, 255, (24, 32, 3)).astype("float32")
        picture = tf.image.resize(coarse, (375, 500)).numpy() + rng.normal(0, 6, (375, 500, 3))
        encoded.append(tf.io.encode_jpeg(np.clip(picture, 0, 255).astype("uint8")).numpy())
    return np.array(encoded, object)


def large_images(encoded):
    """Returns the pictures as examples of ImageNet."""
    encoded = np.tile(encoded, max(1, 6400 // len(encoded)))
    labels = np.zeros(len(encoded), "int64")
    names = [str(i) for i in range(1000)]

    def fetch(rows):
        return encoded[rows], labels[rows]

    return EncodedExamples(data.IMAGENET, len(encoded), fetch, names)


def batches(examples, transforms, batch_size, parallel_calls=1):
    """The project's pipeline with any list of transforms."""
    return data.train_batches(
        examples,
        transforms,
        batch_size=batch_size,
        seed=0,
        start=0,
        stop=10**9,
        parallel_calls=parallel_calls,
    )


def one_at_a_time(examples, batch_size):
    """The tf.image pipeline of most tutorials, for 32x32."""

    def change(image, label):
        image = tf.image.pad_to_bounding_box(image, 4, 4, 40, 40)
        image = tf.image.random_crop(image, (32, 32, 3))
        image = tf.image.random_flip_left_right(image)
        return (tf.cast(image, "float32") - MEAN) / STD, tf.one_hot(label, 100)

    images = tf.data.Dataset.from_tensor_slices((examples.images, examples.labels))
    images = images.shuffle(len(examples)).repeat().map(change, num_parallel_calls=1)
    return images.batch(batch_size).prefetch(1)


def one_jpeg_at_a_time(encoded, batch_size):
    """The tf.image pipeline of most tutorials, for ImageNet."""

    def change(picture):
        box = tf.image.sample_distorted_bounding_box(
            tf.image.extract_jpeg_shape(picture),
            tf.zeros((1, 0, 4)),
            area_range=(0.08, 1.0),
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.concat([box[0][:2], box[1][:2]], axis=0)
        image = tf.image.decode_and_crop_jpeg(picture, window, channels=3)
        image = tf.image.random_flip_left_right(tf.image.resize(image, (224, 224)))
        return (image - MEAN) / STD

    pictures = tf.data.Dataset.from_tensor_slices(encoded.astype("S")).repeat()
    return pictures.map(change, num_parallel_calls=1).batch(batch_size).prefetch(1)


def keras_cv_from_jpeg(encoded, batch_size):
    """Whole pictures decoded, then keras-cv's crop."""
    crop = cv.RandomCropAndResize((224, 224), (0.08, 1.0), (3 / 4, 4 / 3))
    flip = cv.RandomFlip("horizontal")

    def decode(picture):
        return tf.ensure_shape(tf.io.decode_jpeg(picture, channels=3), (375, 500, 3))

    def change(images):
        return (flip(crop(tf.cast(images, "float32"))) - MEAN) / STD

    pictures = tf.data.Dataset.from_tensor_slices(encoded.astype("S")).repeat()
    pictures = pictures.map(decode, num_parallel_calls=1).batch(batch_size)
    return pictures.map(change, num_parallel_calls=1).prefetch(1)


def pillow_batches(encoded, batch_size):
    """Pictures one by one in Python, as torchvision's ImageFolder and its transforms do."""
    import torch  # here, for others import this file
    from torchvision import transforms

    torch.set_num_threads(1)
    change = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(data.IMAGENET.mean, data.IMAGENET.std),
        ]
    )
    endless = itertools.cycle(encoded)
    while True:
        pictures = (Image.open(io.BytesIO(next(endless))).convert("RGB") for _ in range(batch_size))
        yield torch.stack([change(picture) for picture in pictures])


def compare(pipelines, batch_size, seconds, rounds):
    """Returns images per second of each pipeline, measured in turns, `{name: float}`."""
    iterators = {name: iter(on_threads(make(), 1)) for name, make in pipelines.items()}
    speeds = {name: [] for name in pipelines}
    for iterator in iterators.values():
        for _ in range(3):
            next(iterator)
    for _ in range(rounds):
        for name, iterator in iterators.items():
            count, start, cpu = 0, time.perf_counter(), time.process_time()
            while time.perf_counter() - start < seconds or count < 2:
                next(iterator)
                count += 1
            speeds[name].append(count * batch_size / (time.process_time() - cpu))
    return {name: statistics.median(values) for name, values in speeds.items()}


def on_threads(pipeline, count):
    """Returns a dataset that has so many threads; what is no dataset as it is."""
    if not isinstance(pipeline, tf.data.Dataset):
        return pipeline
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = count
    options.threading.max_intra_op_parallelism = 1
    return pipeline.with_options(options)


def scaling(examples, chain, batch_size, seconds):
    """Returns images per second by the number of threads and of parallel calls."""
    speeds = {}
    for threads in range(1, available_cores() + 1):
        for calls in (1, 2, 4):
            pipeline = on_threads(batches(examples, chain(), batch_size, calls), threads)
            iterator, count = iter(pipeline), 0
            for _ in range(3):
                next(iterator)
            start = time.perf_counter()
            while time.perf_counter() - start < seconds or count < 4:
                next(iterator)
                count += 1
            speeds[threads, calls] = count * batch_size / (time.perf_counter() - start)
    return speeds


def memory(examples):
    """Returns the resident memory in MiB after 200 and after 1,000 batches of Table 3's chain."""
    iterator = iter(batches(examples, TABLE_3["ours"](), 128))
    sizes = []
    for step in range(1, 1001):
        next(iterator)
        if step in (200, 1000):
            with open("/proc/self/statm") as statm:
                pages = int(statm.read().split()[1])
            sizes.append(pages * resource.getpagesize() / 2**20)
    return sizes


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each pipeline and round")
    parser.add_argument("--pictures", help="a folder with JPEG files")
    parser.add_argument("--memory", action="store_true", help="also watch memory")
    arguments = arguments_of(parser)
    small = small_images()

    def chains(examples, lists, size):
        return {
            name: lambda make=make: batches(examples, make(), size) for name, make in lists.items()
        }

    crop_flip = chains(small, CROP_FLIP, 128)
    crop_flip["tf.image, one by one"] = lambda: one_at_a_time(small, 128)
    encoded = jpegs(arguments.pictures)
    large = large_images(encoded)
    from_jpeg = {
        "ours": lambda: batches(large, crop_and_flip(), 64),
        "keras-cv": lambda: keras_cv_from_jpeg(encoded, 64),
        "tf.image, one by one, no antialiasing": lambda: one_jpeg_at_a_time(encoded, 64),
        "Pillow, one by one": lambda: pillow_batches(encoded, 64),
    }
    comparisons = (
        ("crop, flip", 128, crop_flip),
        ("crop, flip, AutoAugment, erasing, MixUp or CutMix", 128, chains(small, TABLE_3, 128)),
        ("JPEG to 224 x 224: crop, flip", 64, from_jpeg),
    )
    rows, figures = [], {}
    for title, size, pipelines in comparisons:
        speeds = compare(pipelines, size, arguments.seconds, arguments.rounds)
        for name, speed in speeds.items():
            factor = speeds["ours"] / speed
            rows.append((title, name, size, f"{speed:,.0f}", f"{factor:.1f}"))
            figures[f"{title}: ours / {name}"] = factor
        figures[f"{title}: images/s"] = speeds["ours"]
    tables = table(("chain", "", "batch", "images/s of one core", "ours is x as fast"), rows)
    tables += f"\n\nAll normalize, and all but the last chain are of 32 x 32; {arguments.rounds} "
    tables += f"rounds of {arguments.seconds:g} s."
    speeds = scaling(large, crop_and_flip, 64, arguments.seconds)
    tables += "\n\nThe last chain on more threads, all of one process:\n\n"
    tables += table(
        ("threads", "parallel calls", "images/s"),
        [(*key, f"{speed:,.0f}") for key, speed in speeds.items()],
    )
    if arguments.memory:
        early, late = memory(small)
        tables += f"\n\nResident memory of the second chain: {early:,.0f} MiB after 200 batches, "
        tables += f"{late:,.0f} MiB after 1,000."
    publish(arguments.json, tables, figures)


if __name__ == "__main__":
    main()
