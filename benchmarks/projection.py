"""Projects the training of Table 2's 50-layer networks to 8 to 256 accelerators.

    python benchmarks/projection.py --images-per-second 2375 --step-ratio 1.15 \
        --images-per-core 398 --inside 232.5 --between 192 --cores 128

Measures nothing: every speed is an argument, so put in your own. Gradients are added up in a ring

    seconds = 2 (n - 1) / n * bytes / bandwidth + hops * latency

where `bandwidth` is that of the slowest link and a piece makes 2 (n - 1) hops, two per machine of
them from one machine to the next, and that once for every bucket of gradients. All but the last
bucket can pass while the backward pass still computes. docs/imagenet.md has the sources and what is
left out.
"""

import argparse
import math
import typing

from measurement import table

ACCELERATORS = (8, 16, 32, 64, 128, 256)
PARAMETERS = {"ResNet-50": 25_557_032, "ResCNet-50": 29_360_600}  # docs/models.md
BUCKET = 25 * 2**20  # bytes, training/engines/tensorflow_steps.py
BYTES = 4  # of a gradient: mixed precision keeps variables, and so gradients, in float32
EPOCHS = 90  # recipes/table2.py
IMAGES = 1_281_167  # of ImageNet's training set


class Projection(typing.NamedTuple):
    """One model on one number of accelerators; times of a step in seconds."""

    machines: int
    batch: int
    compute: float
    all_reduce: float
    hidden: float
    images_per_second: float
    efficiency: float
    hours: float
    cores: int
    fed_hours: float


def all_reduce_seconds(size, accelerators, machines, cluster):
    """Returns how long a ring adds up `size` bytes, and its last bucket of them alone.

    `cluster` is what `parser` parses.
    """
    hops = 2 * (accelerators - 1)
    if machines == 1:
        bandwidth, latency = cluster.inside, hops * cluster.hop_inside
    else:
        bandwidth = min(cluster.inside, cluster.between)
        crossings = min(2 * machines, hops)
        latency = (hops - crossings) * cluster.hop_inside + crossings * cluster.hop_between
    buckets = max(1, math.ceil(size / BUCKET))
    transfer = hops / accelerators * size / (1e9 * bandwidth)
    return transfer + 1e-6 * latency * buckets, transfer / buckets + 1e-6 * latency


def project(name, accelerators, cluster):
    """Returns the projection of a model of `PARAMETERS`."""
    machines = math.ceil(accelerators / cluster.per_machine)
    batch = accelerators * cluster.batch
    compute = cluster.batch / cluster.images_per_second
    if name != "ResNet-50":
        compute *= cluster.step_ratio
    size = BYTES * PARAMETERS[name]
    all_reduce, last_bucket = all_reduce_seconds(size, accelerators, machines, cluster)
    hidden = min(all_reduce - last_bucket, cluster.overlap * compute)
    step = compute + all_reduce - hidden
    made = cluster.cores * cluster.images_per_core  # by a machine, of its own rows
    images = EPOCHS * (IMAGES // batch) * batch  # an epoch drops its remainder
    return Projection(
        machines=machines,
        batch=batch,
        compute=compute,
        all_reduce=all_reduce,
        hidden=hidden,
        images_per_second=batch / step,
        efficiency=compute / step,
        hours=images * step / batch / 3600,
        cores=math.ceil(batch / step / machines / cluster.images_per_core),
        fed_hours=images / min(batch / step, machines * made) / 3600,
    )


def report(cluster):
    """Returns a Markdown table for each model."""
    head = ("accelerators", "machines", "global batch", "compute, ms", "all-reduce, ms")
    head += ("hidden / exposed, ms", "images/s", "efficiency", f"hours, {EPOCHS} epochs")
    head += ("cores per machine to feed it", f"hours with {cluster.cores:g} cores per machine")
    tables = []
    for name in PARAMETERS:
        rows = []
        for accelerators in ACCELERATORS:
            p = project(name, accelerators, cluster)
            row = (accelerators, p.machines, f"{p.batch:,}", f"{1e3 * p.compute:.1f}")
            row += (f"{1e3 * p.all_reduce:.2f}",)
            row += (f"{1e3 * p.hidden:.2f} / {1e3 * (p.all_reduce - p.hidden):.2f}",)
            row += (f"{p.images_per_second:,.0f}", f"{100 * p.efficiency:.1f} %", f"{p.hours:.2f}")
            rows.append(row + (f"{p.cores:,}", f"{p.fed_hours:.2f}"))
        tables.append(f"**{name}**\n\n{table(head, rows)}")
    return "\n\n".join(tables)


def number(kind, least, most):
    """Returns a parser of numbers from `least` to `most`."""

    def number(text):
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"must be from {least:g} to {most:g}. Received: {text}."
            )
        return value

    return number


def parser():
    """Returns the parser of the command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = made.add_argument
    needed = {"type": number(float, 0.001, 1e9), "required": True}
    add("--images-per-second", **needed, help="of ResNet-50 on one accelerator, at --batch")
    add("--step-ratio", **needed, help="time of ResCNet-50's step by that of ResNet-50's")
    add(
        "--images-per-core",
        **needed,
        help="images per second that one core prepares",
    )
    add("--inside", **needed, help="GB/s of an all-reduce inside a machine (bus bandwidth)")
    add("--between", **needed, help="GB/s of one between machines, all network cards together")
    add("--cores", **needed, help="of the CPUs of a machine")
    # NCCL's constants for rings of large messages: src/graph/tuning.cc, hwLat, Ring, Simple
    latency = number(float, 0, 1e6)
    add("--hop-inside", type=latency, default=3.4, help="microseconds, %(default)s")
    add("--hop-between", type=latency, default=14.0, help="microseconds, %(default)s")
    hides = "share of a step's computation that an all-reduce can hide behind, %(default)s"
    add("--overlap", type=number(float, 0, 1), default=0.0, help=hides)
    add("--per-machine", type=number(int, 1, 1024), default=8, help="accelerators, %(default)s")
    batch = number(int, 1, IMAGES // max(ACCELERATORS))
    add("--batch", type=batch, default=256, help="images an accelerator, %(default)s")
    return made


if __name__ == "__main__":
    print(report(parser().parse_args()))
