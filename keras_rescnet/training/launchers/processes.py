"""The processes of a run."""

import dataclasses
import glob
import re
from collections.abc import Mapping

from keras_rescnet.mistake import Mistake

# Above the ports that systems give to connections by themselves; 64 for each job of a machine
_FIRST_PORT, _PORTS_OF_A_JOB = 61440, 64
_JOBS = (2**16 - _FIRST_PORT) // _PORTS_OF_A_JOB


@dataclasses.dataclass(frozen=True)
class Processes:
    """The processes of a run, and which of them this is.

    Args:
        by: Who says so, for people.
        count: Their number.
        index: The place of this one, from 0.
        addresses: `host:port` of every process, or of the first alone where no more is known.
        local_devices: Numbers of the GPUs of this process among those that it sees, or `None` for
            all.
    """

    by: str
    count: int
    index: int
    addresses: tuple[str, ...]
    local_devices: tuple[int, ...] | None = None

    def __str__(self):
        return f"{self.count} processes found by {self.by}, this is process {self.index}."

    def all_addresses(self) -> tuple[str, ...]:
        """Returns the addresses of all processes.

        Raises:
            Mistake: If only that of the first is known, or two have the same.
        """
        if len(self.addresses) < self.count:
            raise Mistake(
                f"TensorFlow needs the addresses of all {self.count} processes: set `TF_CONFIG`, "
                f"of which docs/multi_machine.md has an example. Received: {self.addresses[0]} "
                f"alone, found by {self.by}."
            )
        if len(set(self.addresses)) < self.count:
            raise Mistake(
                f"A machine must have at most {_PORTS_OF_A_JOB} processes of a run, which is the "
                "number of its ports; `TF_CONFIG` can give other ones. Received: "
                f"{self.count} processes at {len(set(self.addresses))} addresses."
            )
        return self.addresses


def is_address(value: object) -> bool:
    """Returns whether `value` is a string `host:port` with a port from 1 to 65535."""
    if not isinstance(value, str):
        return False
    found = re.fullmatch(r"([\w.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", value)
    return found is not None and 0 < int(found[2]) < 65536


def numbers(environ: Mapping[str, str], names: tuple[str, ...], by: str) -> list[int]:
    """Returns the values of variables that a launcher sets together.

    Raises:
        Mistake: If one is missing or no number.
    """
    values = []
    for name in names:
        text = environ.get(name, "")
        if not text.isascii() or not text.isdecimal():
            raise Mistake(
                f"`{name}` must be a number, as {by} sets it together with "
                f"{', '.join(other for other in names if other != name)}. "
                f"Received: {name}={text or 'nothing'}. KERAS_DISTRIBUTION_NUM_PROCESSES=1 "
                "trains in this process alone."
            )
        values.append(int(text))
    return values


def port(job: int, local_index: int) -> int:
    """Returns the port of the process of a job that has a place on its machine."""
    return _FIRST_PORT + job % _JOBS * _PORTS_OF_A_JOB + local_index % _PORTS_OF_A_JOB


def visible_gpus(environ: Mapping[str, str]) -> list[str]:
    """Returns the GPUs that a process sees, as `CUDA_VISIBLE_DEVICES` names them."""
    if "CUDA_VISIBLE_DEVICES" in environ:
        return [name for name in environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    return [str(i) for i in range(len(glob.glob("/dev/nvidia[0-9]*")))]


def share_of_devices(
    environ: Mapping[str, str], local_index: int, local_count: int
) -> tuple[int, ...] | None:
    """Returns the numbers of the GPUs of a process among those it sees, or `None` for all.

    JAX by itself takes one GPU for every process that Slurm or Open MPI starts, also if it is the
    only one of its machine. Here processes of one machine share what all of them see. That they
    do is known from Slurm's count of the machine's GPUs; a process that sees fewer has its own.
    Other launchers have no such count: there the GPUs that a process sees are those of all.

    Args:
        environ: The environment.
        local_index: The place of this process among those of its machine.
        local_count: Their number.
    """
    if local_count == 1:
        return None
    seen = visible_gpus(environ)
    on_node = environ.get("SLURM_GPUS_ON_NODE", str(len(seen)))
    if len(seen) < local_count and "CUDA_VISIBLE_DEVICES" not in environ:
        return (local_index,)  # GPUs of another kind, whose number is not known here, or none
    if on_node != str(len(seen)) or len(seen) % local_count:
        return None
    each = len(seen) // local_count
    return tuple(range(local_index * each, (local_index + 1) * each))
