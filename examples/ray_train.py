"""Trains a recipe in the workers of Ray Train, which starts them again when one is lost.

    pip install "ray[train]"
    python examples/ray_train.py RECIPE WORKDIR [WORKERS]

WORKDIR must be a folder that all workers see: they continue from its last checkpoint.
"""

import os
import sys

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.tensorflow import TensorflowTrainer


def train(config):
    """What every worker does; Ray has told it in TF_CONFIG which one it is."""
    import keras_rescnet as kr

    kr.train(kr.load_recipe(config["recipe"]), config["workdir"])


if __name__ == "__main__":
    recipe, workdir, workers = *sys.argv[1:3], int((*sys.argv[3:], 2)[0])
    TensorflowTrainer(
        train,
        train_loop_config={"recipe": recipe, "workdir": os.path.abspath(workdir)},
        scaling_config=ScalingConfig(num_workers=workers),
        run_config=RunConfig(
            storage_path=os.path.abspath(f"{workdir}-ray"),
            failure_config=FailureConfig(max_failures=3),
        ),
    ).fit()
