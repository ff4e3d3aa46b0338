"""The page of training pictures."""

import dataclasses
import pathlib

import numpy as np
import pytest
from PIL import Image

from keras_rescnet import augment, browse, data, load_recipe
from keras_rescnet.data.array_examples import ArrayExamples

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "digits_gclu_resnet8.py"


def test_pictures_are_those_of_the_run():
    recipe = dataclasses.replace(load_recipe(RECIPE), augment=None, batch_size=8)
    pictures, captions = browse.training_pictures(recipe, step=3)
    digits = data.load(data.DIGITS, "train")
    assert pictures.shape == (8, 32, 32, 3)
    for picture, caption in zip(np.round(255 * pictures), captions, strict=True):
        (row,) = np.flatnonzero(np.all(digits.images == picture, axis=(1, 2, 3)))[:1]
        assert caption == str(digits.labels[row])
    later, _ = browse.training_pictures(recipe, step=4)
    assert not np.array_equal(later, pictures)


def test_mixed_labels_are_spelled_out():
    def read(dataset, split, data_dir=None):
        images = np.zeros((4, 32, 32, 3), "uint8")
        return ArrayExamples(dataset, images, np.arange(4), dataset.class_names)

    recipe = dataclasses.replace(
        load_recipe(RECIPE),
        dataset=dataclasses.replace(data.DIGITS, read=read),
        augment=lambda: [augment.MixUp()],
        batch_size=4,
    )
    _, captions = browse.training_pictures(recipe)
    for caption in captions:
        share, first, rest, second = caption.split()
        assert float(share) >= float(rest)
        assert abs(float(share) + float(rest) - 1) < 0.02
        assert {first, second} < set("0123")


def test_the_command_writes_a_png(tmp_path, capsys):
    output = tmp_path / "page.png"
    browse.main(["browse", f"--recipe={RECIPE}", f"--output={output}", "--count=5"])
    assert f"digits_gclu_resnet8, step 0: {output}" in capsys.readouterr().out
    width, height = Image.open(output).size
    assert width > height > 200  # three columns, two rows


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--recipe FILE is missing"),
        (
            [f"--recipe={RECIPE}", "--output=/no/such/folder/a.png"],
            "must lie in an existing folder",
        ),
        ([f"--recipe={RECIPE}", "--step=-1"], "step"),
    ],
)
def test_mistakes_are_one_line(flags, message, capsys):
    with pytest.raises(SystemExit) as error:
        browse.main(["browse", *flags])
    assert error.value.code == 2
    assert message in capsys.readouterr().err
