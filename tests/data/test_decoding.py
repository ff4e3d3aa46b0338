"""Decoding, cropping and resizing, and ImageNet by random access."""

import dataclasses
import functools
import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from keras_rescnet import augment, data
from keras_rescnet.augment import Rows
from keras_rescnet.data.decoding import decode, decode_middle, prepare
from support.pictures import SIZE, crop_middle, picture, write


@pytest.mark.parametrize("shape", [(60, 80), (93, 31), (32, 32), (20, 25), (300, 411)], ids=str)
@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_evaluation_sees_what_pillow_sees(shape, form):
    file = io.BytesIO()
    picture(1, *shape).save(file, form)
    decoded = decode_middle(tf.constant(file.getvalue()), SIZE).numpy()
    expected = np.asarray(crop_middle(Image.open(file))).astype(int)
    difference = np.abs(decoded - expected)
    assert difference.max() <= (1 if form == "png" else 3)
    assert difference.mean() < 0.5


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("colours", [7, 256])
def test_bmp_files_with_a_palette_have_its_colours(colours, channels):
    """TensorFlow takes the entries of the palette for grey."""
    image = picture(2, 20, 30).quantize(colours)
    file = io.BytesIO()
    image.save(file, "bmp")
    pixels = np.asarray(image.convert("RGB"))
    middle = pixels[:, 5:25]
    if channels == 1:
        middle = np.round(middle @ [[0.2989], [0.587], [0.114]])  # as TensorFlow weighs colours
    found = prepare(tf.constant(file.getvalue()), (20, 20, channels), 1.0).numpy()
    assert np.abs(found.astype(int) - middle).max() <= (channels == 1)
    if channels == 3:
        whole, _ = decode(tf.constant(file.getvalue()), lambda sides: (0, 0, *sides))
        np.testing.assert_array_equal(whole, pixels)


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("frames", [0, 1], ids=["still", "animated"])
@pytest.mark.parametrize("lossless", [True, False])
def test_webp_files_with_transparency_lose_it(lossless, frames):
    image = picture(2, 20, 30)
    image.putalpha(picture(3, 20, 30).convert("L"))
    more = {"save_all": True, "append_images": [image.rotate(90)]} if frames else {}
    file = encoded(image, "webp", lossless=lossless, exact=True, **more)
    expected = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    whole, _ = decode(tf.constant(file), lambda sides: (0, 0, *sides))
    np.testing.assert_array_equal(whole, expected)


def test_animated_webp_files_without_transparency_are_refused():
    image = picture(2, 20, 30)
    file = encoded(image, "webp", save_all=True, append_images=[image.rotate(90)])
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(tf.constant(file), lambda sides: (0, 0, *sides))


@pytest.mark.parametrize(
    "form, mode",
    [
        ("png", "L"), ("png", "RGB"), ("jpeg", "L"), ("jpeg", "RGB"), ("jpeg", "CMYK"),
        ("gif", "P"), ("bmp", "RGB"), ("bmp", "RGBA"), ("webp", "RGB"), ("webp", "RGBA"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("in_graph", [False, True], ids=["eager", "graph"])
def test_every_kind_of_file_has_one_channel(form, mode, in_graph):
    file = encoded(picture(2, 20, 30).convert(mode), form)
    expected = np.asarray(Image.open(io.BytesIO(file)).convert("RGB").convert("L"), int)[:, 5:25]
    prepare_one = functools.partial(prepare, image_shape=(20, 20, 1), crop_fraction=1.0)
    found = (tf.function(prepare_one) if in_graph else prepare_one)(tf.constant(file))
    assert np.abs(found.numpy()[..., 0] - expected).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_files_are_decoded_exactly_where_all_of_a_picture_is_seen(mode):
    file = encoded(picture(2, 20, 20).convert(mode), "jpeg")
    expected = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), int)
    found = prepare(tf.constant(file), (20, 20, 3), 1.0).numpy()
    assert np.abs(found - expected).max() <= (mode == "CMYK")


def test_windows_are_torchvisions_distribution():
    """Shares of area and aspects over 10,000 draws, and a window inside the picture."""
    crop = augment.RandomResizedCrop(SIZE)
    draws = crop.draw(10_000, Rows(10_000, [1, 2]))

    def windows(height, width):
        def one(row):
            return tf.stack(crop.window(tf.constant([height, width]), row))

        signature = tf.TensorSpec((4,), "int32")
        draw = tf.function(lambda: tf.map_fn(one, draws, fn_output_signature=signature))
        return draw().numpy()

    top, left, rows, columns = windows(1000, 1000).T
    assert np.all((top >= 0) & (left >= 0) & (top + rows <= 1000) & (left + columns <= 1000))
    share = rows * columns / 1e6
    aspect = np.log(columns / rows)
    assert 0.0795 < share.min() < 0.09
    assert 0.97 < share.max() <= 1
    assert abs(aspect.mean()) < 0.006
    assert np.all(np.abs(aspect) < np.log(4 / 3) + 0.01)
    small = share < 0.5  # always fits: uniform there
    assert abs(share[small].mean() - 0.29) < 0.005
    free = 1000 - rows[small]
    assert abs(np.mean(top[small] / np.maximum(free, 1)) - 0.5) < 0.01
    # Hardly a draw fits into a strip: its middle is taken, as wide as the aspects allow.
    strips = windows(10, 1000)
    assert np.all(strips == [0, 493, 10, 13], axis=1).mean() > 0.99


def test_random_resized_crop_resizes_like_pillow():
    crop = augment.RandomResizedCrop(SIZE)
    images = np.stack([np.asarray(picture(i)) for i in range(8)])
    batch = {"images": tf.constant(images), "labels": tf.zeros((8, 2))}
    seed = tf.constant([3, 4])
    cropped = crop(batch, seed)["images"].numpy()
    for image, found, draws in zip(images, cropped, crop.draw(8, Rows(8, seed)), strict=True):
        top, left, rows, columns = (int(v) for v in crop.window([60, 80], draws))
        window = Image.fromarray(image[top : top + rows, left : left + columns])
        expected = np.asarray(window.resize((SIZE, SIZE), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(found - expected).max() <= 1


def test_a_crop_in_front_is_done_while_decoding(tmp_path):
    write(tmp_path)
    for file in tmp_path.glob("*/*/*.jpg"):  # without loss, so that both ways must agree
        Image.open(file).resize((40, 40)).save(file.with_suffix(".png"))
        file.unlink()
    examples = data.load(data.image_folder(tmp_path, size=SIZE), "train")
    crop = augment.RandomResizedCrop(SIZE)
    read, remaining = examples.reader([crop, augment.RandomFlip()])
    assert [type(t) for t in remaining] == [augment.RandomFlip]
    seed = tf.constant([1, 2])
    decoded = read(tf.range(12), Rows(12, seed))
    files = sorted(tmp_path.glob("train/*/*.png"))
    images = tf.constant(np.stack([np.asarray(Image.open(file)) for file in files]))
    expected = crop({"images": images, "labels": decoded["labels"]}, seed)
    np.testing.assert_array_equal(decoded["images"], expected["images"])
    np.testing.assert_array_equal(decoded["labels"], np.repeat(np.eye(2), 6, axis=0))


class TinyImagenet(tfds.core.GeneratorBasedBuilder):
    """Pictures of different sizes, as imagenet2012 has them; picture i is `picture(i)`."""

    pkg_dir_path = pathlib.Path(__file__).parent  # TFDS would look for a package
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
                    "file_name": tfds.features.Text(),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(0, 9),
            "validation": self._generate_examples(9, 14),
        }

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            image = np.asarray(picture(i, 50 + i, 60))
            yield i, {"image": image, "label": i % 3, "file_name": f"{i}.png"}


IMAGENET = dataclasses.replace(
    data.IMAGENET, name="tiny_imagenet", image_shape=(SIZE, SIZE, 3), classes=3
)


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_tfds_by_random_access(tmp_path, file_format):
    TinyImagenet(data_dir=tmp_path, file_format=file_format).download_and_prepare()
    train, test = (data.load(IMAGENET, split, tmp_path) for split in ("train", "test"))
    assert (len(train), len(test), train.class_names) == (9, 5, ("a", "b", "c"))
    batch = next(data.evaluation_batches(test, batch_size=5).as_numpy_iterator())
    pixels = 255 * (batch["images"] * IMAGENET.std + IMAGENET.mean)
    expected = {i: np.asarray(crop_middle(picture(i, 50 + i, 60))) for i in range(9, 14)}
    found = []
    for image, label in zip(pixels, batch["labels"].argmax(1), strict=True):
        distance = {i: np.abs(image - other).max() for i, other in expected.items()}
        nearest = min(distance, key=distance.get)
        assert distance[nearest] < 1.1
        assert label == nearest % 3
        found.append(nearest)
    assert sorted(found) == list(range(9, 14))


def test_mock_imagenet(tmp_path):
    with tfds.testing.mock_data(num_examples=6):
        train, test = (data.load(data.IMAGENET, s, tmp_path) for s in ("train", "test"))
        assert (len(train), train.class_names[:2]) == (6, ("n01440764", "n01443537"))
        transforms = [augment.RandomResizedCrop(224), augment.RandomFlip()]
        arguments = {"batch_size": 3, "seed": 0, "start": 0, "stop": 2}
        batches = list(data.train_batches(train, transforms, **arguments))
        assert batches[0]["images"].shape == (3, 224, 224, 3)
        assert batches[0]["labels"].shape == (3, 1000)
        weights = [batch["weights"] for batch in data.evaluation_batches(test, batch_size=4)]
        assert np.sum(weights) == 6
