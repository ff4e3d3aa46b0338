"""Two devices of one machine: the same steps as one, and results that are the saved model's."""

import json
import subprocess
import sys

import numpy as np
import pytest

from support import ENVIRONMENT, ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exam(tmp_path_factory):
    """One process for all: its CPU must be split before TensorFlow starts."""
    script = ROOT / "tests" / "support" / "exam_of_two_devices.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path_factory.mktemp("devices")],
        env={**ENVIRONMENT, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("case", "tolerance"),
    [
        ("plain", 1e-6),
        ("clipped, averaged", 1e-6),
        ("in parts", 1e-6),
        ("adamw", 1e-5),
        ("frozen", 1e-6),
        ("loss scale", 1e-3),
        ("overflow", 1e-3),
        ("muon", 1e-5),
    ],
)
def test_steps_on_two_devices_are_those_of_one(case, tolerance, exam):
    one, two = exam[case]
    np.testing.assert_allclose(two["sums"], one["sums"], rtol=tolerance)
    assert list(two["arrays"]) == list(one["arrays"])
    for name, array in one["arrays"].items():
        np.testing.assert_allclose(
            two["arrays"][name], array, rtol=10 * tolerance, atol=tolerance, err_msg=name
        )
    assert two["loss_scale"] == one["loss_scale"]


def test_a_step_that_overflows_halves_the_scale_once_on_all_devices(exam):
    for run in exam["overflow"]:
        assert run["loss_scale"] == 2.0**57
        assert run["arrays"]["sgd/iteration"] == 0


@pytest.mark.parametrize("case", ["plain", "clipped, averaged", "in parts", "frozen", "loss scale"])
def test_every_gradient_is_sent_once_per_step(case, exam):
    one, two = exam[case]
    assert one["reduced"] == 0
    assert two["reduced"] == two["parameters"] + 3  # and the statistics


def test_results_of_two_devices_are_those_of_the_saved_model(exam):
    tested = exam["tested"]
    assert tested["run"]["test_accuracy"] == tested["accuracy"]
    np.testing.assert_allclose(tested["run"]["test_loss"], tested["loss"], rtol=1e-6)
