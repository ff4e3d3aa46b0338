"""The page of training pictures."""

import dataclasses
import pathlib

import numpy as np
import pytest
from PIL import Image

from keras_rescnet import augment, data, load_recipe
from keras_rescnet.analysis.plots import plot_pictures
from keras_rescnet.data.array_examples import ArrayExamples
from keras_rescnet.training.pictures import training_pictures
from support.commands import answer, run_command

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "digits_gclu_resnet8.py"


def test_pictures_are_those_of_the_run():
    recipe = dataclasses.replace(load_recipe(RECIPE), augment=None, batch_size=8)
    pictures, captions = training_pictures(recipe, step=3)
    digits = data.load(data.DIGITS, "train")
    assert pictures.shape == (8, 32, 32, 3)
    for picture, caption in zip(np.round(255 * pictures), captions, strict=True):
        (row,) = np.flatnonzero(np.all(digits.images == picture, axis=(1, 2, 3)))[:1]
        assert caption == str(digits.labels[row])
    later, _ = training_pictures(recipe, step=4)
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
    _, captions = training_pictures(recipe)
    for caption in captions:
        share, first, rest, second = caption.split()
        assert float(share) >= float(rest)
        assert abs(float(share) + float(rest) - 1) < 0.02
        assert {first, second} < set("0123")


def test_the_command_writes_a_png(tmp_path, capsys):
    output = tmp_path / "page.png"
    run_command("browse", f"--recipe={RECIPE}", f"--output={output}", "--count=5")
    assert f"digits_gclu_resnet8, step 0: {output}" in capsys.readouterr().out
    width, height = Image.open(output).size
    assert width > height > 200  # three columns, two rows


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_pictures_of_any_number_of_channels_are_drawn(channels, tmp_path):
    black = np.zeros((1, 8, 8, channels))  # a fourth channel of 0 would be transparent
    plot_pictures(black, ["black"], tmp_path / "a.png")
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    assert (drawn < 10).mean() > 0.3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--recipe is missing"),
        ([f"--recipe={RECIPE}", "--output=/no/such/a.png"], "must lie in an existing folder"),
        ([f"--recipe={RECIPE}", "--output=a.xyz"], "must end in .png or .pdf or .svg"),
        ([f"--recipe={RECIPE}", "--step=-1"], "-1 is not a non-negative integer"),
        (
            [f"--recipe={RECIPE}", "--step=900"],
            "one of the run's 900 steps, 0 to 899. Received: step=900.",
        ),
        ([f"--recipe={RECIPE}", "--count=0"], "0 is not a positive integer"),
    ],
)
def test_mistakes_are_one_line(flags, message, capsys):
    assert message in answer("browse", *flags, capsys=capsys)
