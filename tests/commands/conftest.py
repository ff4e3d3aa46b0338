"""Runs that the tests of several commands use."""

import numpy as np
import pytest
from PIL import Image

from support import pictures, tagged
from support.commands import run_command


@pytest.fixture(scope="session")
def folder_run(tmp_path_factory):
    """A finished run on textured pictures of a folder, in `run`; the pictures in `pictures`.

    For reading only. A folder of pictures knows its classes and statistics when it is read.
    """
    folder = tmp_path_factory.mktemp("folder_run")
    pictures.write(folder / "pictures")
    for number, file in enumerate(sorted(folder.glob("pictures/*/*/*.jpg"))):
        generator = np.random.default_rng(number)
        texture = generator.integers(0, 256, (12, 16, 3)).astype("uint8")
        height = 60 + number % 5
        Image.fromarray(texture).resize((80, height), Image.Resampling.BICUBIC).save(file)
    (folder / "recipe.py").write_text(
        "import dataclasses\nfrom support import noise\n"
        "from keras_rescnet.data import image_folder\n"
        f"dataset = image_folder(size={pictures.SIZE})\n"
        "recipe = dataclasses.replace(\n"
        "    noise.recipe, dataset=dataset, augment=None, epochs=2, learning_rate=1.0\n"
        ")\n"
    )
    arguments = [f"--recipe={folder / 'recipe.py'}", f"--data_dir={folder / 'pictures'}"]
    run_command("training", *arguments, f"--workdir={folder / 'run'}")
    return folder


@pytest.fixture(scope="session")
def tag_run(tmp_path_factory):
    """A finished run on tags of a CSV file, in `run`; the table and pictures in `shoes`.

    For reading only. Its record lies in `results`.
    """
    folder = tmp_path_factory.mktemp("tag_run")
    tagged.write_csv(folder / "shoes")
    (folder / "recipe.py").write_text(
        "import dataclasses\nfrom keras.optimizers import Adam\n"
        "from keras_rescnet.data import image_table\nfrom support import tagged\n"
        "recipe = dataclasses.replace(\n"
        "    tagged.recipe, dataset=image_table('pictures.csv', size=32), optimizer=Adam,\n"
        "    augment=None, epochs=8, warmup_epochs=0, learning_rate=0.005\n"
        ")\n"
    )
    run_command(
        "training",
        f"--recipe={folder / 'recipe.py'}",
        f"--data_dir={folder / 'shoes'}",
        f"--workdir={folder / 'run'}",
        f"--record={folder / 'results'}",
    )
    return folder
