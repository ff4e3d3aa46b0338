"""What setup.cfg ships."""

import configparser
import importlib.metadata
import os
import shutil
import subprocess
import sys

import pytest
import setuptools

import keras_rescnet as kr
from support import ROOT

SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "setup.cfg")


def test_every_package_and_the_recipes_ship():
    found = setuptools.find_packages(ROOT, include=["keras_rescnet*"])
    assert SETTINGS["options"]["packages"].split() == [*sorted(found), "keras_rescnet.recipes"]
    assert (ROOT / "keras_rescnet" / "py.typed").is_file()


def test_the_version_is_in_one_place():
    assert SETTINGS["metadata"]["version"] == "attr: keras_rescnet.__version__"
    try:
        installed = importlib.metadata.version("keras_rescnet")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")
    assert installed == kr.__version__


WEIGHTS = """
import sys
import keras_rescnet as kr

assert kr.__file__.startswith(sys.argv[1]), kr.__file__
model = kr.models.CifarResNet8(activation=kr.gclu, weights="digits")
card = kr.models.pretrained()["digits_gclu_resnet8"]
print(repr(kr.evaluate(model, kr.data.DIGITS)["accuracy"]), repr(card["results"]["test_accuracy"]))
"""


@pytest.mark.slow
def test_the_weights_work_from_the_wheel_alone(tmp_path):
    """The wheel in a folder of its own; what it depends on is that of this environment."""
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".git", "build", "*.egg-info", "runs")
    shutil.copytree(ROOT, source, ignore=ignored)  # building writes into it
    pip = [sys.executable, "-m", "pip", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--no-cache-dir"]
    subprocess.run([*pip, "wheel", *options, "--wheel-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    done = subprocess.run(
        [sys.executable, "-c", WEIGHTS, site],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    measured, recorded = done.stdout.split()
    assert measured == recorded == "0.9887323943661972"
