"""Every public class and function has an example, and the examples give what they show."""

import doctest
import importlib
import inspect

import keras
import numpy as np
import pytest

import keras_rescnet as kr

ROOMS = [name for name in kr.__all__ if inspect.ismodule(getattr(kr, name))]
MODULES = ["", *(f".{name}" for name in ROOMS)]
# A size of a family of networks: one line says which, and the family's example says the rest.
FAMILIES = (
    "Airbench94",
    "AlexNet",
    "CaiT",
    "CifarWideResNet",
    "PreActivationResNet",
    "ResNet",
    "Swin",
    "VGG",
    "ViT",
    "basic_block",
    "bottleneck_block",
    "deep_stem",
    "feature_extractor",
    "pretrained",
)
# What an example needs beyond the extra `test`
PACKAGES = {"kr.export.litert": "ai_edge_litert", "kr.export.onnx": "onnxruntime"}
NAMES = {"kr": kr, "keras": keras, "np": np}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def public_objects():
    """Returns the public classes and functions by the name under which users reach them."""
    found = {}
    for name in MODULES:
        module = importlib.import_module(f"keras_rescnet{name}")
        for attribute in module.__all__:
            value = getattr(module, attribute)
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"kr{name}.{attribute}"] = value
    return found


PUBLIC = public_objects()


def is_a_size(name):
    return name.startswith("kr.models.") and name.rpartition(".")[2] not in FAMILIES


def test_every_public_name_has_a_docstring():
    assert not [name for name, value in PUBLIC.items() if not inspect.getdoc(value)]


@pytest.mark.parametrize("name", [name for name in PUBLIC if not is_a_size(name)])
def test_examples_give_what_they_show(name, tmp_path, monkeypatch):
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason="an extra that is not installed")
    monkeypatch.chdir(tmp_path)
    tests = doctest.DocTestFinder().find(PUBLIC[name], name, extraglobs=NAMES)
    assert any(test.examples for test in tests), f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    failures = []
    for test in tests:
        runner.run(test, out=failures.append)
    assert not runner.failures, "".join(failures)
