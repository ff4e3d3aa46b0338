"""What setup.cfg ships."""

import configparser
import importlib.metadata

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
