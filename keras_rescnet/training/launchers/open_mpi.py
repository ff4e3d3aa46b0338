"""The processes of a run as Open MPI's `mpirun` describes them."""

import re
import zlib
from collections.abc import Mapping

from keras_rescnet.mistake import Mistake
from keras_rescnet.training.launchers.processes import Processes, numbers, port, share_of_devices

_COUNTS = (
    "OMPI_COMM_WORLD_SIZE",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "OMPI_COMM_WORLD_LOCAL_RANK",
)
_JOB = "PMIX_NAMESPACE"  # a name, or a number up to Open MPI 4
_LAUNCHER = "OMPI_MCA_orte_hnp_uri"  # up to Open MPI 4


def read_open_mpi(environ: Mapping[str, str]) -> Processes | None:
    """Returns the processes that `mpirun` has started, or `None` outside of it.

    It names no machines. Those of one machine find each other there; of several, Open MPI 4 has
    the address of the machine where `mpirun` runs, on which process 0 must be.
    """
    if not any(environ.get(name) for name in _COUNTS[:2]):
        return None
    count, index, local_count, local_index = numbers(environ, _COUNTS, "mpirun")
    job = zlib.crc32(environ.get(_JOB, "").encode())
    devices = share_of_devices(environ, local_index, local_count)
    if local_count == count:
        addresses = tuple(f"127.0.0.1:{port(job, i)}" for i in range(count))
        return Processes("Open MPI", count, index, addresses, devices)
    host = re.search(r"tcp://([\w.]+)", environ.get(_LAUNCHER, ""))
    if host is None:
        raise Mistake(
            "Open MPI must name the machine of process 0, which it does up to version 4: set "
            "`KERAS_DISTRIBUTION_*` or `TF_CONFIG`, of which docs/multi_machine.md has an example. "
            f"Received: {_LAUNCHER}={environ.get(_LAUNCHER) or 'nothing'}, with {local_count} of "
            f"{count} processes on this machine."
        )
    return Processes("Open MPI", count, index, (f"{host[1]}:{port(job, 0)}",), devices)
