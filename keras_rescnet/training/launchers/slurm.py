"""The processes of a run as Slurm's `srun` describes them."""

import re
from collections.abc import Mapping

from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.training.launchers.processes import Processes, numbers, port, share_of_devices

# Of a step, not of a job: a shell on a job's machine has those of the job, and is one process
_COUNTS = (
    "SLURM_STEP_NUM_TASKS",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_NODEID",
    "SLURM_JOB_ID",
    "SLURM_STEP_ID",
)
_NODES, _TASKS = "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE"


def read_slurm(environ: Mapping[str, str]) -> Processes | None:
    """Returns the processes of a step that `srun` has started, or `None` outside of one."""
    if not environ.get(_COUNTS[0]) or environ[_COUNTS[0]] == "1":
        return None
    count, index, local_index, node, job, step = numbers(environ, _COUNTS, "srun")
    hosts, tasks = _hosts(environ.get(_NODES, "")), _tasks(environ.get(_TASKS, ""))
    places = [
        (machine, place) for machine, number in enumerate(tasks) for place in range(number)
    ]  # fmt: skip
    fits = len(hosts) == len(tasks) and len(places) == count
    if not fits or index >= count or places[index] != (node, local_index):
        raise Mistake(
            f"`{_NODES}` and `{_TASKS}` must give every task of the step its machine, one machine "
            "after the other (srun --distribution=block). Received: "
            f"{_NODES}={shorten(environ.get(_NODES, ''), str) or 'nothing'}, "
            f"{_TASKS}={shorten(environ.get(_TASKS, ''), str) or 'nothing'}, task {index} of "
            f"{count} at place {local_index} of machine {node}."
        )
    # A step of a job may run beside another
    addresses = tuple(f"{hosts[machine]}:{port(job + step, i)}" for machine, i in places)
    devices = share_of_devices(environ, local_index, tasks[node])
    return Processes("Slurm", count, index, addresses, devices)


def _tasks(text):
    """Returns `[2, 2, 1]` of `"2(x2),1"`."""
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            return []
        found += [int(match[1])] * int(match[2] or 1)
    return found


def _hosts(text):
    """Returns the names of machines in a list such as `"login,node[01-03,07]"`."""
    return [name for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text) for name in _names(part)]


def _names(part):
    """Returns the names in a part of a list, such as `"node[01-03,07]"`."""
    before, bracket, rest = part.partition("[")
    if not bracket:
        return [part]
    inside, _, after = rest.partition("]")
    names = []
    for numbers_ in inside.split(","):
        first, _, last = numbers_.partition("-")
        last = last or first
        if not (first.isdecimal() and last.isdecimal()):
            return []
        for number in range(int(first), int(last) + 1):
            names += [f"{before}{number:0{len(first)}d}{name}" for name in _names(after)]
    return names
