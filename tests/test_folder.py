"""Pictures in files: folders, ImageNet, and how they are decoded."""

import dataclasses
import hashlib
import io
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from keras_rescnet import augment, data
from keras_rescnet.data.encoded_examples import decode_middle

SIZE = 28


def picture(seed=0, height=60, width=80):
    """A smooth colourful picture, which JPEG changes little."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 5, 3)).astype("uint8")
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def write(folder, classes=("cat", "dog"), train=6, val=3):
    for split, count in (("train", train), ("val", val)):
        for label, name in enumerate(classes):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                image = picture(100 * label + i, 60 + i, 80)
                image.save(folder / split / name / f"{i}.jpg", quality=95)
    return folder


def load(folder, split="train"):
    return data.load(data.image_folder(folder, size=SIZE), split)


def test_a_folder_is_a_dataset(tmp_path, capsys):
    write(tmp_path)
    train, test = load(tmp_path), load(tmp_path, "test")
    assert (len(train), len(test), train.class_names) == (12, 6, ("cat", "dog"))
    assert train.dataset.classes == 2
    assert train.dataset.image_shape == (SIZE, SIZE, 3)
    assert train.dataset.class_names == ("cat", "dog")
    pixels = [np.asarray(Image.open(p)) / 255 for p in sorted(tmp_path.glob("train/*/*.jpg"))]
    mean = np.mean([p.mean((0, 1)) for p in pixels], axis=0)
    square = np.mean([np.square(p).mean((0, 1)) for p in pixels], axis=0)
    np.testing.assert_allclose(train.dataset.mean, mean, atol=1e-3)
    np.testing.assert_allclose(train.dataset.std, np.sqrt(square - mean**2), atol=1e-3)
    assert capsys.readouterr().out.count("Looking through 18 pictures") == 1


def test_data_dir_can_be_the_folder(tmp_path):
    write(tmp_path)
    examples = data.load(data.image_folder(size=SIZE), "train", tmp_path)
    assert examples.dataset.name == tmp_path.name
    with pytest.raises(ValueError, match="its path or --data_dir"):
        data.load(data.image_folder(), "train")


def test_statistics_of_another_set_are_kept(tmp_path):
    dataset = data.image_folder(write(tmp_path), size=SIZE)
    other = dataclasses.replace(dataset, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert data.load(other, "test").dataset.mean == (0.1, 0.2, 0.3)


def test_facts_are_kept_until_files_change(tmp_path, capsys):
    write(tmp_path)
    load(tmp_path)
    facts = json.loads((tmp_path / "image_folder.json").read_text())
    assert len(facts["mean"]) == 3
    load(tmp_path)
    assert capsys.readouterr().out.count("Looking") == 1
    picture(77).save(tmp_path / "train" / "cat" / "new.png")
    assert len(load(tmp_path)) == 13
    (tmp_path / "image_folder.json").write_text("{")
    assert len(load(tmp_path)) == 13
    assert capsys.readouterr().out.count("Looking") == 2


def test_every_kind_of_picture(tmp_path):
    write(tmp_path)
    color = picture()
    folder = tmp_path / "val" / "dog"
    for file in folder.iterdir():
        file.unlink()
    color.save(folder / "a.png")
    color.convert("RGBA").save(folder / "b.png")
    color.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "c.png")
    color.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "d.gif")
    color.save(folder / "e.bmp")
    color.convert("CMYK").save(folder / "f.jpg", quality=95)
    color.convert("L").save(folder / "g.jpg", quality=95)
    color.convert("L").save(folder / "h.png")
    test = load(tmp_path, "test")
    assert len(test) == 11
    batch = next(data.evaluation_batches(test, batch_size=11).as_numpy_iterator())
    pixels = 255 * (batch["images"] * test.dataset.std + test.dataset.mean)
    for file, found in zip(sorted(folder.iterdir()), pixels[3:], strict=True):
        expected = np.asarray(crop_middle(Image.open(file).convert("RGB")))
        np.testing.assert_allclose(found, expected, atol=1.1, err_msg=file.name)


def crop_middle(image, size=SIZE):
    """torchvision's Resize(size / 224 * 256) and CenterCrop(size) on a Pillow image."""
    short = round(size * 256 / 224)
    width, height = image.size
    if width <= height:
        width, height = short, int(short * height / width)
    else:
        width, height = int(short * width / height), short
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))


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


def test_windows_are_torchvisions_distribution():
    """Shares of area and aspects over 10,000 draws, and a window inside the picture."""
    crop = augment.RandomResizedCrop(SIZE)
    draws = crop.draws(10_000, [1, 2])

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
    for image, found, draws in zip(images, cropped, crop.draws(8, seed), strict=True):
        top, left, rows, columns = (int(v) for v in crop.window([60, 80], draws))
        window = Image.fromarray(image[top : top + rows, left : left + columns])
        expected = np.asarray(window.resize((SIZE, SIZE), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(found - expected).max() <= 1


def test_a_crop_in_front_is_done_while_decoding(tmp_path):
    write(tmp_path)
    for file in tmp_path.glob("*/*/*.jpg"):  # without loss, so that both ways must agree
        Image.open(file).resize((40, 40)).save(file.with_suffix(".png"))
        file.unlink()
    examples = load(tmp_path)
    crop = augment.RandomResizedCrop(SIZE)
    read, rest = examples.reading([crop, augment.RandomFlip()])
    assert [type(t) for t in rest] == [augment.RandomFlip]
    seed = tf.constant([1, 2])
    decoded = read(tf.range(12), seed)
    files = sorted(tmp_path.glob("train/*/*.png"))
    images = tf.constant(np.stack([np.asarray(Image.open(file)) for file in files]))
    expected = crop({"images": images, "labels": decoded["labels"]}, seed)
    np.testing.assert_array_equal(decoded["images"], expected["images"])
    np.testing.assert_array_equal(decoded["labels"], np.repeat(np.eye(2), 6, axis=0))


def test_streams_resume_to_the_bit(tmp_path):
    examples = load(write(tmp_path))
    transforms = [augment.RandomResizedCrop(SIZE), augment.RandomFlip(), augment.MixUp()]

    def digests(**arguments):
        batches = data.train_batches(examples, transforms, batch_size=4, seed=5, **arguments)
        return [hashlib.sha256(b["images"].tobytes()).digest() for b in batches.as_numpy_iterator()]

    whole = digests(start=0, stop=9, parallel_calls=1)
    assert len(set(whole)) == 9
    assert digests(start=0, stop=9, parallel_calls=8) == whole
    assert digests(start=4, stop=9) == whole[4:]


def test_unreadable_pictures_are_named_and_left_out(tmp_path, capsys):
    write(tmp_path, train=100, val=50)
    good = (tmp_path / "train" / "cat" / "7.jpg").read_bytes()
    (tmp_path / "train" / "cat" / "7.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "val" / "dog" / "2.jpg").write_bytes(b"")
    train, test = load(tmp_path), load(tmp_path, "test")
    assert (len(train), len(test)) == (199, 99)
    output = capsys.readouterr().out
    assert f"Cannot read {tmp_path / 'train/cat/7.jpg'}: it is left out." in output
    assert f"Cannot read {tmp_path / 'val/dog/2.jpg'}: it is left out." in output
    assert "2 of 300 pictures are left out." in output
    assert (
        sum(
            b["weights"].sum()
            for b in data.evaluation_batches(test, batch_size=64).as_numpy_iterator()
        )
        == 99
    )
    for i in range(4):
        (tmp_path / "train" / "dog" / f"{i}.jpg").write_text("not a picture")
    with pytest.raises(ValueError, match=r"At most 1%.*6 of 300.*train/cat/7.jpg"):
        load(tmp_path)


def test_a_folder_that_cannot_be_written_still_works(tmp_path, capsys, monkeypatch):
    write(tmp_path)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.write_text", refuse)
    assert len(load(tmp_path)) == 12
    assert "cannot be written (Permission denied)" in capsys.readouterr().out


def test_labels_txt_gives_the_order(tmp_path):
    write(tmp_path)
    (tmp_path / "labels.txt").write_text("dog\ncat\n")
    examples = load(tmp_path)
    assert examples.class_names == ("dog", "cat")
    labels = next(data.evaluation_batches(examples, batch_size=12).as_numpy_iterator())["labels"]
    np.testing.assert_array_equal(labels.argmax(1), [1] * 6 + [0] * 6)


def remove(folder):
    for file in folder.rglob("*.jpg"):
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "val").rename(root / "test"), "has no folder 'val'"),
        (lambda root: (root / "train").rename(root / "training"), "has no folder 'train'"),
        (lambda root: remove(root / "train" / "dog"), "must have pictures.*train/dog has none"),
        (lambda root: (root / "train" / "dog").rename(root / "dog"), r"two classes.*\['cat'\]"),
        (lambda root: (root / "val" / "dog").rename(root / "val" / "dgo"), r"val has \['dgo'\]"),
        (
            lambda root: (root / "labels.txt").write_text("cat\ncow\n"),
            r"differs in \['cow', 'dog'\]",
        ),
        (
            lambda root: (root / "labels.txt").write_text("cat\ndog\ncat"),
            "differs in a class twice",
        ),
    ],
    ids=["no val", "no train", "empty class", "one class", "strange class", "labels", "twice"],
)
def test_what_is_wrong_with_a_folder_is_one_line(tmp_path, damage, message):
    damage(write(tmp_path))
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_crop_of_another_size_is_refused(tmp_path):
    examples = load(write(tmp_path))
    message = r"\(4, 28, 28, 3\) after all transforms.*\(4, 20, 20, 3\)"
    with pytest.raises(ValueError, match=message) as error:
        data.train_batches(
            examples, [augment.RandomResizedCrop(20)], batch_size=4, seed=0, start=0, stop=1
        )
    assert "\n" not in str(error.value)


def test_images_must_be_square(tmp_path):
    write(tmp_path)
    dataset = dataclasses.replace(data.image_folder(tmp_path), image_shape=(28, 32, 3))
    with pytest.raises(ValueError, match=r"must be square.*\(28, 32, 3\)"):
        data.load(dataset, "train")


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
