"""Several processes of a run on this machine, without a launcher."""

import os
import signal
import socket
import subprocess
from collections.abc import Sequence

from keras_rescnet.mistake import Mistake
from keras_rescnet.training.launchers.processes import visible_gpus


def run_locally(command: Sequence[str], count: int) -> int:
    """Runs a command in several processes of one run, which share the CPUs and GPUs.

    SIGTERM goes to all of them; so does Ctrl-C, which a terminal sends to all by itself.

    Args:
        command: Program and arguments.
        count: Number of processes, at least 1.

    Returns:
        The exit code of the first process that failed by itself, or 4 if others are gone, or 0.

    Raises:
        Mistake: If `count` is less than 1, or does not divide the number of GPUs.
    """
    if count < 1:
        raise Mistake(f"--processes must be at least 1. Received: --processes={count}.")
    gpus = visible_gpus(os.environ)
    if len(gpus) % count:
        raise Mistake(
            f"--processes must divide the number of GPUs, {len(gpus)}; CUDA_VISIBLE_DEVICES= "
            f"trains on CPUs. Received: --processes={count}."
        )
    addresses = ",".join(f"127.0.0.1:{port}" for port in _free_ports(count))
    has_affinity = hasattr(os, "sched_getaffinity")  # macOS has none
    cores = os.sched_getaffinity(0) if has_affinity else set()
    started = []
    try:
        for index in range(count):
            if has_affinity:  # a process has what it was started with
                os.sched_setaffinity(0, sorted(cores)[index::count] or cores)
            environment = {
                **os.environ,
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": addresses,
                "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
                "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
            }
            environment.pop("TF_CONFIG", None)  # which would decide before these
            if gpus:
                environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[index::count])
            started.append(subprocess.Popen(command, env=environment))
    finally:
        if has_affinity:
            os.sched_setaffinity(0, cores)

    def pass_on(number, _):
        for process in started:
            process.send_signal(number)

    before = signal.signal(signal.SIGTERM, pass_on), signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        codes = [process.wait() for process in started]
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
    codes = [128 - code if code < 0 else code for code in codes]
    return next((code for code in codes if code not in (0, 4)), max(codes))


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
