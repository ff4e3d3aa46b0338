"""Checkpoints by themselves: which stay, and which are refused."""

import numpy as np
import pytest

import keras_rescnet
from keras_rescnet.training.checkpoint import Checkpoints
from support import noise


def test_the_last_two_checkpoints_and_the_best_stay(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (5, 10, 15, 20):
        checkpoints.save(step, [np.full(3, step)], {}, best_step=5)
    checkpoints.close()
    assert [int(path.name[5:13]) for path in sorted(tmp_path.iterdir())] == [5, 15, 20]
    facts, (array,) = Checkpoints(tmp_path).last()
    assert facts["step"] == 20
    np.testing.assert_array_equal(array, [20, 20, 20])


def test_a_full_disk_is_said_and_harms_nothing(small_disk, capsys):
    disk = small_disk("64k")
    checkpoints = Checkpoints(disk)
    checkpoints.save(1, [np.zeros(1000, "uint8")], {})
    checkpoints.save(2, [np.zeros(200_000, "uint8")], {})
    checkpoints.close()
    assert "of step 2 could not be written (No space left" in capsys.readouterr().out
    facts, _ = Checkpoints(disk).last()
    assert facts["step"] == 1
    assert not list(disk.glob("*.tmp"))


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").mkdir()
    checkpoints.save(3, [np.zeros(3)], {"history": [], "sums": [0.0] * 3, "rollbacks": 0})
    checkpoints.close()
    message = r"step 3 must hold the \d+ arrays of this model and optimizer. Received: .*, with 1"
    with pytest.raises(ValueError, match=message) as caught:
        keras_rescnet.train(noise.recipe, tmp_path)
    assert "\n" not in str(caught.value)
