"""The scripts in examples/ run, on a few small pictures."""

import importlib.util

import keras
import numpy as np
import pytest
from PIL import Image

from support import ROOT


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pictures(tmp_path):
    """A folder of ten pictures of noise, in two classes."""
    for i in range(10):
        folder = tmp_path / "pictures" / ("cat" if i % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (32, 32, 3), "uint8")
        Image.fromarray(noise).save(folder / f"{i}.png")
    return tmp_path / "pictures"


def test_every_example_is_short():
    for path in (ROOT / "examples").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 40, path.name


@pytest.mark.slow
def test_calibrate_resnet50(pictures):
    model = load("calibrate_resnet50").fine_tune(pictures, weights=None, size=32, epochs=1)
    gates = [weight for weight in model.trainable_weights if weight.name == "gate"]
    assert len(gates) == 16
    assert all(np.any(keras.ops.convert_to_numpy(gate)) for gate in gates)
