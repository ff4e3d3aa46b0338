"""Two devices of one machine: the same steps as one, and results that are the saved model's."""

import json
import subprocess
import sys

import numpy as np
import pytest

from support import ENVIRONMENT, ROOT

TOLERANCES = {
    "plain": 1e-6,
    "clipped, averaged": 1e-6,
    "in parts": 1e-6,
    "adamw": 1e-5,
    "frozen": 1e-6,
    "loss scale": 1e-3,
    "overflow": 1e-3,
    "muon": 1e-5,
}


# One process for all, its CPU must be split before TensorFlow starts, and one test, because every
# worker that is given one of several would start that process once more
@pytest.mark.slow
def test_two_devices_are_as_one(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "support" / "exam_of_two_devices.py", tmp_path],
        env={**ENVIRONMENT, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    exam = json.loads(done.stdout.splitlines()[-1])
    assert exam.keys() == {*TOLERANCES, "collectives", "tested"}
    for case, tolerance in TOLERANCES.items():
        steps_are_those_of_one(case, tolerance, *exam[case])
        assert [run["autotuned"] for run in exam[case]] == [0, 0], case
    for run in exam["overflow"]:  # the scale is halved once on all devices
        assert run["loss_scale"] == 2.0**57
        assert run["arrays"]["sgd/iteration"] == 0
    for case in ("plain", "clipped, averaged", "in parts", "frozen", "loss scale"):
        every_gradient_is_sent_once_per_step(case, *exam[case])
    # Of 16 layers of 4 MiB: a bucket is full when it has more than 25 MiB
    assert [size / 1024**2 for size in exam["collectives"]] == [7, 7, 2]
    tested = exam["tested"]  # the results of a run are those of its saved model
    assert tested["run"]["test_accuracy"] == tested["accuracy"]
    np.testing.assert_allclose(tested["run"]["test_loss"], tested["loss"], rtol=1e-6)


def steps_are_those_of_one(case, tolerance, one, two):
    np.testing.assert_allclose(two["sums"], one["sums"], rtol=tolerance, err_msg=case)
    assert list(two["arrays"]) == list(one["arrays"]), case
    for name, array in one["arrays"].items():
        np.testing.assert_allclose(
            two["arrays"][name], array, rtol=10 * tolerance, atol=tolerance, err_msg=(case, name)
        )
    assert two["loss_scale"] == one["loss_scale"], case


def every_gradient_is_sent_once_per_step(case, one, two):
    assert one["reduced"] == 0, case
    assert two["reduced"] == two["parameters"] + 3, case  # and the statistics
