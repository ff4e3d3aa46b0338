"""The processes of a run as `TF_CONFIG` describes them to TensorFlow."""

import json
from collections.abc import Mapping

from keras_rescnet.mistake import Mistake
from keras_rescnet.training.launchers.processes import Processes, is_address


def read_tf_config(environ: Mapping[str, str]) -> Processes | None:
    """Returns the processes of `TF_CONFIG`, the chief first; `None` if it has no cluster."""
    text = environ.get("TF_CONFIG") or "{}"

    def refuse(what):
        shown = text if len(text) <= 200 else f"{text[:197]}..."
        shown = " ".join(shown.split())
        return Mistake(
            f"`TF_CONFIG` {what}: docs/multi_machine.md has an example. "
            f"Received: TF_CONFIG={shown}."
        )

    try:
        config = json.loads(text)
    except json.JSONDecodeError:
        raise refuse('must be JSON, {"cluster": ..., "task": ...}') from None
    if not isinstance(config, dict):
        raise refuse('must be a JSON object, {"cluster": ..., "task": ...}')
    cluster = config.get("cluster", {})
    if not isinstance(cluster, dict) or not set(cluster) <= {"chief", "worker"}:
        raise refuse('must have a "cluster" of the form {"worker": ["host:port", ...]}')
    for hosts in cluster.values():
        if not isinstance(hosts, list) or not all(map(is_address, hosts)):
            raise refuse('must list every process of its "cluster" as "host:port"')
    every = (*cluster.get("chief", ()), *cluster.get("worker", ()))
    if len(set(every)) < len(every) or len(cluster.get("chief", ())) > 1:
        raise refuse('must list every process of its "cluster" once, and at most one "chief"')
    if len(every) <= 1:
        return Processes("TF_CONFIG", 1, 0, every) if every else None
    task = config.get("task")
    if not isinstance(task, dict) or task.get("type") not in list(cluster):
        raise refuse('must have a "task" {"type": ..., "index": ...} that is of its "cluster"')
    kind, index = task["type"], task.get("index")
    if isinstance(index, bool) or not isinstance(index, int):
        raise refuse('must have an integer as the "index" of its "task"')
    if not 0 <= index < len(cluster[kind]):
        raise refuse(f'must have an "index" from 0 to {len(cluster[kind]) - 1} in its "task"')
    index += len(cluster.get("chief", ())) if kind == "worker" else 0
    return Processes("TF_CONFIG", len(every), index, every)
