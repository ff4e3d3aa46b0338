"""What a run is made with beside its recipe: machine, versions, threads, devices."""

import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess
import sys
from collections.abc import Iterable

# TensorFlow's package has another name where it is for CPUs alone
PACKAGES = (
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "jax",
    "keras-cv",
    "tensorflow-datasets",
    "numpy",
)

# Environment variables that choose other kernels, or how their work is divided
_VARIABLES = (
    "DNNL_MAX_CPU_ISA",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)


def environment(devices: Iterable[str] = ()) -> dict:
    """Returns what decides the last bits of a run beside its recipe and its data.

    With another number of threads sums are added up in another order, and another kind of CPU or
    another version has other kernels.

    Args:
        devices: Names of the devices that the run uses.
    """
    import keras  # here, because what measures without it asks for the machine too

    facts = {
        "backend": keras.backend.backend(),
        "versions": versions(),
        "commit": commit(),
        "processor": processor(),
        "instructions": _instructions(),
        "threads": _threads(),
        "devices": list(devices),
    }
    if "tensorflow" in sys.modules:
        threading = sys.modules["tensorflow"].config.threading
        facts["intra_op_threads"] = threading.get_intra_op_parallelism_threads()
        facts["inter_op_threads"] = threading.get_inter_op_parallelism_threads()
    variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return {**facts, "variables": variables}


def changes(before: dict, now: dict) -> list[str]:
    """Returns the differences of two environments in words, such as `"threads 2 -> 1"`."""
    found = []
    for name in dict.fromkeys([*now, *before]):
        was, value = before.get(name), now.get(name)
        if isinstance(was, dict) and isinstance(value, dict):
            found += changes(was, value)
        elif was != value:
            found.append(f"{name} {_word(was)} -> {_word(value)}")
    return found


def _word(value):
    if value is None:
        return "none"
    text = " ".join(value) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Returns the versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Returns the name of the CPU."""
    names = re.findall(r"^model name\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str | None:
    """Returns the git commit of this package's checkout, "+" if it was changed, else `None`."""

    def git(*words):
        folder = pathlib.Path(__file__).parent
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True)

    try:
        head = git("rev-parse", "HEAD")
        if head.returncode:
            return None
        changed = git("status", "--porcelain", "--untracked-files=no").stdout.strip()
    except OSError:
        return None
    return head.stdout.strip() + ("+" if changed else "")


def _instructions():
    """Returns the vector instructions that kernels are chosen by."""
    flags = re.findall(r"^(?:flags|Features)\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    kinds = ("avx", "amx", "fma", "sse4", "asimd", "sve", "bf16", "fphp")
    return sorted(flag for flag in set(flags[0].split()) if flag.startswith(kinds)) if flags else []


def _threads():
    if hasattr(os, "sched_getaffinity"):  # fewer than there are CPUs under taskset, Slurm, Docker
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _cpuinfo():
    try:
        return pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
