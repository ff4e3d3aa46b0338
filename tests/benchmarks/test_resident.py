"""`benchmarks/resident.py`: crops and steps against numpy, and that it learns."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

from support import ENVIRONMENT, ROOT

STEP = """
import functools, sys
sys.path.insert(0, sys.argv[1])
import jax, keras, numpy as np
import resident
from keras_rescnet.optimizers import SGD

draw = np.random.default_rng(0)
images = draw.normal(size=(6, 2, 2, 3)).astype("float32")
labels = draw.integers(0, 4, 6)
model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten(), keras.layers.Dense(4)])
optimizer = SGD(0.1, momentum=0.9, weight_decay=5e-4)
optimizer.build(model.trainable_variables)
groups = model.trainable_variables, model.non_trainable_variables, optimizer.variables
state = tuple([v.value for v in group] for group in groups)
kernel, bias = (np.asarray(v, "float64") for v in model.trainable_variables)
velocity = 0.0, 0.0
for _ in range(2):
    state, loss = resident.train_step(model, optimizer, state, images, labels)
    x = images.reshape(6, -1).astype("float64")
    scores = np.exp(x @ kernel + bias)
    scores /= scores.sum(1, keepdims=True)
    np.testing.assert_allclose(loss, -np.log(scores[np.arange(6), labels]).mean(), rtol=1e-5)
    error = (scores - np.eye(4)[labels]) / 6
    gradients = x.T @ error + 5e-4 * kernel, error.sum(0) + 5e-4 * bias
    velocity = tuple(0.9 * v + g for v, g in zip(velocity, gradients))
    kernel, bias = kernel - 0.1 * velocity[0], bias - 0.1 * velocity[1]
    np.testing.assert_allclose(state[0][0], kernel, atol=1e-6)
    np.testing.assert_allclose(state[0][1], bias, atol=1e-6)

data = resident.noise(count=70, side=8, classes=2)
for split in ("train", "test"):  # 70 test pictures are no whole number of batches
    data[f"x_{split}"] = (data[f"x_{split}"] // 4 + 128 * data[f"y_{split}"][:, None, None, None])
    data[f"x_{split}"] = data[f"x_{split}"].astype("uint8")

def build(classes):
    pooled = keras.layers.GlobalAveragePooling2D()
    return keras.Sequential([keras.Input((8, 8, 3)), pooled, keras.layers.Dense(classes)])

rows = list(resident.train(build, data, epochs=8, batch=16, warmup_epochs=1))
assert [row["epoch"] for row in rows] == list(range(1, 9))
assert rows[-1]["test_accuracy"] == 1.0, rows
"""


@pytest.mark.slow
def test_steps_are_those_of_numpy_and_learn():
    done = subprocess.run(
        [sys.executable, "-c", STEP, ROOT / "benchmarks"],
        env={**ENVIRONMENT, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_crops_are_parts_of_their_pictures(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    resident = importlib.import_module("resident")
    images = np.random.default_rng(0).integers(1, 256, (200, 8, 8, 3), "uint8")
    cropped = np.asarray(resident.crop_and_flip(jax.random.key(0), images))
    assert cropped.dtype == "uint8" and cropped.shape == images.shape
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    flips, places = 0, set()
    for picture, result in zip(padded, cropped, strict=True):
        fits = [
            (top, left, flipped)
            for top in range(9)
            for left in range(9)
            for flipped in (False, True)
            if np.array_equal(
                picture[top : top + 8, left : left + 8],
                result[:, ::-1] if flipped else result,
            )
        ]
        assert len(fits) == 1
        flips += fits[0][2]
        places.add(fits[0][:2])
    assert 60 < flips < 140  # more than five deviations from the mean of 100 on either side
    assert len(places) > 60  # 200 draws of 81 leave seven out on average
