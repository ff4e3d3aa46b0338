"""The processes of a run as the variables `KERAS_DISTRIBUTION_*` describe them."""

import re
from collections.abc import Mapping

from keras_rescnet.mistake import Mistake
from keras_rescnet.training.launchers.processes import Processes, is_address

_ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"
_PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"
_PROCESS = "KERAS_DISTRIBUTION_PROCESS_ID"


def read_keras_distribution(environ: Mapping[str, str]) -> Processes | None:
    """Returns the processes of Keras's variables, or `None` if none of them is set."""
    given = {name: environ.get(name) for name in (_ADDRESSES, _PROCESSES, _PROCESS)}
    if not any(given.values()):
        return None
    if given[_PROCESSES] == "1":
        return Processes("KERAS_DISTRIBUTION_*", 1, 0, ())

    def refuse(name, what):
        received = " ".join((given[name] or "").split())
        received = received if len(received) <= 200 else f"{received[:197]}..."
        return Mistake(
            f"`{name}` must {what}: docs/multi_machine.md has an example. "
            f"Received: {name}={received or 'nothing'}."
        )

    def number(name):
        text = (given[name] or "").strip()
        return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else -1

    processes, index = number(_PROCESSES), number(_PROCESS)
    if processes < 1:
        raise refuse(_PROCESSES, "be the number of processes of the run")
    if not 0 <= index < processes:
        raise refuse(_PROCESS, f"be the place of this process, from 0 to {processes - 1}")
    addresses = tuple(address.strip() for address in (given[_ADDRESSES] or "").split(","))
    if not all(map(is_address, addresses)) or len(addresses) not in (1, processes):
        raise refuse(
            _ADDRESSES, f"be {processes} addresses host:port with commas between, or the first's"
        )
    return Processes("KERAS_DISTRIBUTION_*", processes, index, addresses)
