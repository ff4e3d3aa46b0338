"""Every public class and function has the sections of CONTRIBUTING.md, and examples are right."""

import doctest
import importlib
import inspect
import re

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
# In their order
SECTIONS = ("Reference", "Args", "Attributes", "Call arguments", "Returns", "Raises", "Example")


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


def sections(value):
    return re.findall(rf"^({'|'.join(SECTIONS)}):$", inspect.getdoc(value), re.MULTILINE)


def code(value):
    """Returns the source of a class or function; of SGD and AdamW, which say another module's."""
    try:
        return inspect.getsource(value)
    except OSError:
        return inspect.getsource(value.__init__)


def test_sections_are_in_order():
    found = {name: sections(value) for name, value in PUBLIC.items()}
    assert not [name for name in found if found[name] != sorted(found[name], key=SECTIONS.index)]


def test_what_raises_a_mistake_says_when():
    refusing = re.compile(r"raise Mistake|(?<!def )\bcheck_\w+\(")
    found = [name for name, value in PUBLIC.items() if refusing.search(code(value))]
    assert len(found) > 60
    assert not [name for name in found if "Raises" not in sections(PUBLIC[name])]


def test_what_returns_something_says_what():
    functions = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}
    nothing = (None, "None")  # as an annotation; functions within such a function may return
    found = [
        name
        for name, value in functions.items()
        if inspect.signature(value).return_annotation not in nothing
        and re.search(r"^ +return \S", code(value), re.MULTILINE)
    ]
    assert len(found) > 50
    assert not [name for name in found if "Returns" not in sections(PUBLIC[name])]


def test_arguments_are_named_with_their_defaults():
    lacking = []
    for name, value in PUBLIC.items():
        text = inspect.getdoc(value)
        has_none = inspect.isclass(value) and "Args" not in sections(value)
        parameters = {} if has_none else inspect.signature(value).parameters
        for parameter in parameters.values():
            entry = re.search(rf"\n    \**{parameter.name}: (.*(\n {{5,}}.*)*)", text)
            told = entry and re.search(r"[Dd]efault|\bAs (for|of) `", entry[1])
            if not entry or (parameter.default is not parameter.empty and not told):
                lacking.append(f"{name}({parameter.name})")
    assert not lacking


def test_a_size_says_its_own_defaults():
    text = inspect.getdoc(kr.models.CifarResCNet32)
    assert "Number of logits. Defaults to 10.\n" in text  # 1000 of its family
    assert "Defaults to `partial(RCLayer, reduction=4,\n" in text
    assert 'Name of the model. Defaults to `"cifar_rescnet32"`.\n' in text


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
