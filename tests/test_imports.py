"""Who imports whom: networks need Keras alone, training needs TensorFlow."""

import os
import subprocess
import sys

NETWORKS = """
import sys
import numpy as np
import keras_rescnet as kr

images = np.zeros((1, 32, 32, 3), "float32")
kr.models.CifarResNet8(activation=kr.gclu, calibration=kr.layers.RCLayer)(images)
assert "tensorflow" not in sys.modules, "networks must not need TensorFlow"
kr.Recipe
assert "tensorflow" in sys.modules
"""


def test_networks_run_without_tensorflow():
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", NETWORKS], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
