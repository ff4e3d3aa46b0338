"""What `import keras_rescnet` brings, and who imports whom."""

import os
import pydoc
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from support import ENVIRONMENT, ROOT

NETWORKS = """
import sys
import jax
import numpy as np
import keras_rescnet as kr

images = np.zeros((1, 32, 32, 3), "float32")
model = kr.models.CifarResNet8(activation=kr.gclu, calibration=kr.layers.RCLayer)
jax.jit(model)(images)  # op by op would take far longer
assert "tensorflow" not in sys.modules, "networks must not need TensorFlow"
kr.Recipe
assert "tensorflow" in sys.modules
"""

LOADS = """
import sys
import keras
import keras_rescnet

model = keras.models.load_model(sys.argv[1])
print(*(type(layer).__name__ for layer in model.layers), type(model.optimizer).__module__)
"""

SEEDED = """
import random
import keras
import keras_rescnet as kr

keras.utils.set_random_seed(0)
state = random.getstate()
for name in ("calibrate", "layers", "losses", "models", "optimizers"):  # none loads TensorFlow
    getattr(kr, name)
assert random.getstate() == state, "an import must not move the generator"
"""

LAUNCHER = """
import sys
import keras_rescnet.training.launchers.local

assert not {"keras", "numpy", "tensorflow"} & set(sys.modules)
"""

LIGHT = """
import sys
import keras_rescnet

assert not {"absl", "keras", "numpy", "tensorflow"} & set(sys.modules)
import keras

assert keras.saving.get_registered_object("keras_rescnet>RCLayer") is keras_rescnet.layers.RCLayer
assert keras.saving.get_registered_object("keras_rescnet>gclu") is keras_rescnet.gclu
assert "tensorflow" not in sys.modules
"""

# Here a module of this package is what imports Keras, when nothing of it is defined yet.
INNER_FIRST = """
from keras_rescnet.activations import gclu
import keras

assert keras.saving.get_registered_object("keras_rescnet>gclu") is gclu
assert keras.saving.get_registered_object("keras_rescnet>RCLayer") is not None
"""


def python(script, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_networks_run_without_tensorflow():
    done = python(NETWORKS, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_a_saved_model_loads_after_a_plain_import(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 4)), kr.layers.GCLU(), kr.layers.RCLayer(reduction=2)]
    )
    model.compile(kr.optimizers.SGD(0.1), "mse")
    model.train_on_batch(np.ones((1, 8, 8, 4)), np.zeros((1, 8, 8, 4)))
    model.save(tmp_path / "model.keras")
    done = python(LOADS, tmp_path / "model.keras", KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["GCLU", "RCLayer", "keras_rescnet.optimizers"]


@pytest.mark.parametrize("script", [LIGHT, INNER_FIRST])
def test_layers_are_registered_when_keras_is_imported_and_not_before(script):
    done = python(script, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_importing_networks_draws_no_random_number():
    """The first network after `keras.utils.set_random_seed` is that of the seed."""
    done = python(SEEDED, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_starts_local_processes_loads_no_library():
    """It would print what TensorFlow says when it is loaded, and take seconds."""
    done = python(LAUNCHER)
    assert done.returncode == 0, done.stderr[-2000:]


def test_rooms_import_what_lies_below_them():
    """The contracts of setup.cfg, as `lint-imports` checks them."""
    check = "from importlinter.cli import lint_imports as lint; raise SystemExit(lint('setup.cfg'))"
    command = [sys.executable, "-c", check]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_completion_and_help_name_what_users_use():
    assert dir(kr) == sorted(kr.__all__)
    text = pydoc.render_doc(kr, renderer=pydoc.plaintext)
    for name in ("gclu(x)", "class Recipe", "train(recipe", "load_recipe(", "class Mistake"):
        assert name in text


@pytest.mark.parametrize("name", kr.__all__)
def test_every_public_name_is_there(name):
    assert getattr(kr, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'keras_rescnet' has no attribute 'rclayer'"):
        _ = kr.rclayer
