"""The processes of a run as the variables `JAX_*` describe them, which Kubeflow's Trainer sets."""

import re
from collections.abc import Mapping

from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.training.launchers.processes import Processes, is_address, numbers

_ADDRESS = "JAX_COORDINATOR_ADDRESS"
_COUNTS = ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def read_jax_variables(environ: Mapping[str, str]) -> Processes | None:
    """Returns the processes of JAX's variables, or `None` if none of them is set.

    Kubeflow names its processes `<job>-node-0-<index>.<job>`, with one port for all, so that from
    the first one's address follow the others'.
    """
    if not any(environ.get(name) for name in (_ADDRESS, *_COUNTS)):
        return None
    count, index = numbers(environ, _COUNTS, "JAX's launcher")
    address = environ.get(_ADDRESS, "")
    if not is_address(address) or index >= max(count, 1):
        raise Mistake(
            f"`{_ADDRESS}` must be host:port of process 0, and JAX_PROCESS_ID less than "
            f"JAX_NUM_PROCESSES. Received: {_ADDRESS}={shorten(address, str) or 'nothing'}, "
            f"JAX_PROCESS_ID={index}, JAX_NUM_PROCESSES={count}."
        )
    numbered = re.fullmatch(r"([^.]+-)0(\..+:\d+)", address)
    addresses = [address]
    if numbered:
        addresses = [f"{numbered[1]}{i}{numbered[2]}" for i in range(count)]
    return Processes("JAX_NUM_PROCESSES", count, index, tuple(addresses))
