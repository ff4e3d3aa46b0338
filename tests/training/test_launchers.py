"""What each launcher puts into the environment, and what is read from it."""

import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest

from keras_rescnet.callbacks.wandb_files import offline_rows
from keras_rescnet.training import launchers
from keras_rescnet.training.launchers.local import run_locally
from keras_rescnet.training.launchers.processes import Processes
from support import ENVIRONMENT, ROOT
from support.launchers import KERAS, KUBEFLOW, MPI, SLURM

OF_THE_JOB = {name: SLURM[name] for name in ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID")}


def tf_config(kind="worker", index=0, **cluster):
    task = {"type": kind, "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


# Job 70 and step 1: the eighth part of the ports from 61440, for 71 modulo 64 is 7
FOUND = {
    "nothing": ({}, None),
    "TF_CONFIG": (
        tf_config(index=1, worker=["a:1", "b:2"]),
        Processes("TF_CONFIG", 2, 1, ("a:1", "b:2")),
    ),
    "a chief comes first": (
        tf_config("worker", 0, worker=["b:2", "c:3"], chief=["a:1"]),
        Processes("TF_CONFIG", 3, 1, ("a:1", "b:2", "c:3")),
    ),
    "Keras": (KERAS, Processes("KERAS_DISTRIBUTION_*", 2, 0, ("a:1", "b:2"))),
    "Kubeflow": (
        KUBEFLOW,
        Processes(
            "JAX_NUM_PROCESSES",
            3,
            2,
            (*(f"mnist-node-0-{i}.mnist:29500" for i in range(3)),),
        ),
    ),
    "JAX by hand": (
        {**KUBEFLOW, "JAX_COORDINATOR_ADDRESS": "10.0.0.1:1234"},
        Processes("JAX_NUM_PROCESSES", 3, 2, ("10.0.0.1:1234",)),
    ),
    "Slurm": (
        SLURM,
        Processes(
            "Slurm",
            5,
            3,
            ("login:61888", "login:61889", "node08:61888", "node08:61889", "node09:61888"),
            (1,),
        ),
    ),
    "Slurm, GPUs that two tasks share": (
        {**SLURM, "SLURM_GPUS_ON_NODE": "8", "CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"},
        (4, 5, 6, 7),
    ),
    "Slurm, GPUs of the task": (
        {**SLURM, "SLURM_GPUS_ON_NODE": "8", "CUDA_VISIBLE_DEVICES": "4,5,6,7"},
        None,
    ),
    "Slurm, one task a machine": (
        {
            **SLURM,
            "SLURM_STEP_NUM_TASKS": "3",
            "SLURM_STEP_TASKS_PER_NODE": "1(x3)",
            "SLURM_PROCID": "1",
            "SLURM_LOCALID": "0",
            "SLURM_GPUS_ON_NODE": "8",
            "CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7",
        },
        Processes("Slurm", 3, 1, ("login:61888", "node08:61888", "node09:61888")),
    ),
    "mpirun, on another machine of Slurm's": (
        # Slurm's variables are those of the step that mpirun's daemons are
        {**SLURM, **MPI, "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"},
        ("Open MPI", 2, 1),
    ),
    "a shell on a machine of a job": (OF_THE_JOB, None),
    "a step of one task": ({**SLURM, "SLURM_STEP_NUM_TASKS": "1"}, None),
    "Open MPI": (MPI, ("Open MPI", 2, 1)),
    "Open MPI 4 on two machines": (
        {
            **MPI,
            "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
            "OMPI_COMM_WORLD_LOCAL_RANK": "0",
            "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
        },
        ("Open MPI", 2, 1),
    ),
    "mpirun -n 1": (
        {**MPI, **dict.fromkeys(("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"), "1")},
        None,
    ),
    "what a user sets decides": ({**SLURM, **MPI, **KERAS}, ("KERAS_DISTRIBUTION_*", 2, 0)),
    "TF_CONFIG decides": (
        {**KERAS, **tf_config(index=1, worker=["a:1", "b:2"])},
        ("TF_CONFIG", 2, 1),
    ),
    "alone, because a user says so": ({**SLURM, "KERAS_DISTRIBUTION_NUM_PROCESSES": "1"}, None),
    "alone in its cluster": ({**SLURM, **tf_config("chief", 0, chief=["a:1"])}, None),
    "no cluster": ({**SLURM, "TF_CONFIG": "{}"}, ("Slurm", 5, 3)),
}


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch):
    """What a test finds does not depend on the machine it runs on."""
    monkeypatch.setattr("glob.glob", lambda _: [])


@pytest.mark.parametrize("case", FOUND)
def test_processes_are_found(case):
    environ, expected = FOUND[case]
    found = launchers.find(environ)
    if isinstance(expected, Processes):
        assert found == expected
    elif case.startswith("Slurm, GPUs"):
        assert found.local_devices == expected
    else:
        assert (found and (found.by, found.count, found.index)) == expected


@pytest.mark.parametrize(
    "environ, machine, expected",
    [
        ({}, 8, (4, 5, 6, 7)),
        ({}, 2, (1,)),
        ({}, 0, (1,)),  # of another maker, if there are any
        ({"CUDA_VISIBLE_DEVICES": "3,4"}, 8, (1,)),
        ({"CUDA_VISIBLE_DEVICES": "3"}, 8, None),
        ({"CUDA_VISIBLE_DEVICES": ""}, 8, ()),
    ],
)
def test_processes_of_open_mpi_divide_the_gpus(environ, machine, expected, monkeypatch):
    gpus = [f"/dev/nvidia{i}" for i in range(machine)]
    monkeypatch.setattr("glob.glob", lambda _: gpus)
    assert launchers.find({**MPI, **environ}).local_devices == expected


PRINTS = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], file=open(os.environ['FILE'], 'a'))"


@pytest.mark.parametrize("affinity", [True, False])
def test_local_processes_divide_the_gpus(affinity, tmp_path, monkeypatch):
    if not affinity:  # as on macOS
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3,5,7")
    monkeypatch.setenv("FILE", str(tmp_path / "seen"))
    assert run_locally([sys.executable, "-c", PRINTS], 2) == 0
    assert sorted((tmp_path / "seen").read_text().split()) == ["1,5", "3,7"]


def test_processes_of_open_mpi_find_each_other():
    """On one machine by their places; on two where mpirun runs, which only version 4 names."""
    first, second = (
        launchers.find({**MPI, "OMPI_COMM_WORLD_RANK": i, "OMPI_COMM_WORLD_LOCAL_RANK": i})
        for i in "01"
    )
    assert first.addresses == second.addresses and len(set(first.addresses)) == 2
    assert all(61440 <= int(address.rpartition(":")[2]) < 2**16 for address in first.addresses)
    other = launchers.find({**MPI, "PMIX_NAMESPACE": "prterun-host-8@1"})
    assert not set(other.addresses) & set(first.addresses)
    (address,) = launchers.find(FOUND["Open MPI 4 on two machines"][0]).addresses
    assert address.startswith("10.96.0.1:")


def test_nested_lists_of_machines_are_read():
    environ = {
        **SLURM,
        "SLURM_STEP_NODELIST": "rack[1-2]n[09-10,3],x",
        "SLURM_STEP_TASKS_PER_NODE": "1(x7)",
        "SLURM_STEP_NUM_TASKS": "7",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "3",
    }
    hosts = [address.partition(":")[0] for address in launchers.find(environ).addresses]
    assert hosts == ["rack1n09", "rack1n10", "rack1n3", "rack2n09", "rack2n10", "rack2n3", "x"]


def test_what_is_found_is_told():
    assert str(launchers.find(SLURM)) == "5 processes found by Slurm, this is process 3."


@pytest.mark.slow
@pytest.mark.parametrize(
    "lines, arguments, pattern",
    [
        ("", ["--devices=1"], "each uses all devices .* Received: devices=1"),
        ("import keras\nONES = keras.ops.ones(2)", [], "^train: Nothing may be computed before"),
    ],
)
def test_local_processes_end_with_a_line(lines, arguments, pattern, tmp_path):
    recipe = tmp_path / "own.py"
    recipe.write_text(f"{lines}\nfrom support.noise import recipe as recipe\n")
    done = subprocess.run(
        # On TensorFlow one may wait for the other, which has ended
        [sys.executable, "train.py", "--processes=2", "--timeout=20", f"--recipe={recipe}"]
        + arguments,
        cwd=ROOT,
        env={**ENVIRONMENT, "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert re.search(pattern, done.stderr, re.MULTILINE), done.stderr


@pytest.mark.slow
def test_local_processes_train_as_one_run(tmp_path):
    arguments = ["--recipe=tests/support/noise.py:same_everywhere", f"--workdir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "train.py", "--processes", "2", *arguments],
        cwd=ROOT,
        env={**ENVIRONMENT, "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for index in range(2):
        found = f"2 processes found by KERAS_DISTRIBUTION_*, this is process {index}."
        assert found in done.stdout
    assert done.stdout.count("Everything is in") == 2
    assert (tmp_path / "results.json").exists()


def heard(workdir):
    """Returns what the callbacks of a run have heard, and the processes that called them."""
    lines = [json.loads(line) for line in (workdir / "heard.jsonl").read_text().splitlines()]
    processes, said = zip(*lines, strict=True)
    return set(processes), said


@pytest.mark.slow
def test_of_two_processes_the_first_calls_callbacks_and_ends_both(tmp_path):
    runs = {"one": [], "two": ["--processes=2"]}
    for name, arguments in runs.items():
        recipe = "--recipe=tests/support/hearing.py"
        done = subprocess.run(
            [sys.executable, "train.py", *arguments, recipe, f"--workdir={tmp_path / name}"],
            cwd=ROOT,
            env={**ENVIRONMENT, "WANDB_MODE": "offline", "WANDB_SILENT": "true"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    (processes, said), (_, alone) = heard(tmp_path / "two"), heard(tmp_path / "one")
    assert len(processes) == 1  # of the two that trained
    assert said[0] == alone[0] == "begin" and said[-1] == alone[-1] == "EarlyStopping"
    assert 2 < len(said) - 2 == len(alone) - 2 < 20
    for row, other in zip(said[1:-1], alone[1:-1], strict=True):
        assert row == pytest.approx(other, rel=1e-5)
    for name in runs:
        assert len((tmp_path / name / "log.csv").read_text().splitlines()) == len(said) - 1
        results = json.loads((tmp_path / name / "results.json").read_text())
        assert (results["stopped_by"], results["epoch"]) == ("EarlyStopping", len(said) - 2)
        if importlib.util.find_spec("wandb"):
            run = json.loads((tmp_path / name / "run.json").read_text())["id"]
            assert len(list((tmp_path / name / "wandb").glob("offline-run-*"))) == 1
            steps = [row["_step"] for row in offline_rows(tmp_path / name, run)]
            assert steps == list(range(1, len(said) - 1))
