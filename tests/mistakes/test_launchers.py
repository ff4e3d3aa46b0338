"""Environments that describe the processes of a run in part, or wrongly."""

import pytest

from keras_rescnet.training import launchers
from keras_rescnet.training.launchers.local import run_locally
from support.launchers import KUBEFLOW, MPI, SLURM

CASES = {
    "Kubeflow, no address": (KUBEFLOW, {"JAX_COORDINATOR_ADDRESS": None}, "ADDRESS=nothing"),
    "Kubeflow, no port": (KUBEFLOW, {"JAX_COORDINATOR_ADDRESS": "host"}, "ADDRESS=host,"),
    "Kubeflow, no number": (KUBEFLOW, {"JAX_NUM_PROCESSES": None}, "JAX_NUM_PROCESSES=nothing"),
    "Kubeflow, no place": (KUBEFLOW, {"JAX_PROCESS_ID": None}, "JAX_PROCESS_ID=nothing"),
    "Kubeflow, wordy place": (KUBEFLOW, {"JAX_PROCESS_ID": "one"}, "JAX_PROCESS_ID=one"),
    "Kubeflow, large place": (KUBEFLOW, {"JAX_PROCESS_ID": "3"}, "JAX_PROCESS_ID=3"),
    "Slurm, no place": (SLURM, {"SLURM_PROCID": None}, "SLURM_PROCID=nothing"),
    "Slurm, no job": (SLURM, {"SLURM_JOB_ID": None}, "SLURM_JOB_ID=nothing"),
    "Slurm, no machines": (SLURM, {"SLURM_STEP_NODELIST": None}, "NODELIST=nothing"),
    "Slurm, no tasks": (SLURM, {"SLURM_STEP_TASKS_PER_NODE": None}, "PER_NODE=nothing"),
    "Slurm, strange machines": (SLURM, {"SLURM_STEP_NODELIST": "n[a-b]"}, r"NODELIST=n\[a-b\]"),
    "Slurm, cyclic": (SLURM, {"SLURM_NODEID": "2"}, "distribution=block.*of machine 2"),
    "Slurm, large place": (SLURM, {"SLURM_PROCID": "5"}, "task 5 of 5"),
    "Open MPI, no number": (MPI, {"OMPI_COMM_WORLD_SIZE": None}, "_SIZE=nothing"),
    "Open MPI, no place": (MPI, {"OMPI_COMM_WORLD_RANK": ""}, "_RANK=nothing"),
    "Open MPI 5, two machines": (MPI, {"OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, "uri=nothing, with 1"),
}


@pytest.mark.parametrize("case", CASES)
def test_half_a_set(case, assert_refused):
    environ, changes, pattern = CASES[case]
    environ = {name: value for name, value in {**environ, **changes}.items() if value is not None}
    assert_refused(lambda: launchers.find(environ), pattern)


def test_addresses_that_tensorflow_needs(assert_refused):
    found = launchers.find({**KUBEFLOW, "JAX_COORDINATOR_ADDRESS": "10.0.0.1:1234"})
    assert_refused(found.all_addresses, "TensorFlow needs .* all 3 .* Received: 10.0.0.1:1234")


def test_more_tasks_than_ports(assert_refused):
    tasks = {"SLURM_STEP_NUM_TASKS": "66", "SLURM_STEP_TASKS_PER_NODE": "66"}
    place = {"SLURM_PROCID": "65", "SLURM_LOCALID": "65", "SLURM_NODEID": "0"}
    found = launchers.find({**SLURM, **tasks, **place, "SLURM_STEP_NODELIST": "a"})
    assert_refused(found.all_addresses, "at most 64 .* Received: 66 processes at 64 addresses")


@pytest.mark.parametrize("count, gpus", [(2, "0"), (2, "0,1,2"), (3, "0,1,2,3")])
def test_processes_that_do_not_divide_the_gpus(count, gpus, assert_refused, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    pattern = f"must divide the number of GPUs, {len(gpus.split(','))}; .*--processes={count}"
    assert_refused(lambda: run_locally(["false"], count), pattern)


def test_a_kind_of_task_that_is_a_list(assert_refused):
    cluster = '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": ["worker"], "index": 0}}'
    assert_refused(lambda: launchers.find({"TF_CONFIG": cluster}), 'must have a "task"')
