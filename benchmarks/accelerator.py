"""What one accelerator does in 25 minutes, with Keras on JAX and PyTorch beside it.

    python benchmarks/accelerator.py --json accelerator.json --data cifar10.npz [--minutes 25]
    python benchmarks/accelerator.py --json accelerator.json step/ResNet-32  # these parts again
    python benchmarks/accelerator.py --json try.json --small                 # on a CPU, on noise
    python benchmarks/accelerator.py --pack cifar10 --data_dir ~/tensorflow_datasets

In this order: time of GCLU and of the RC Layer against what a copy of their bytes takes; images/s
of training steps of five networks in float32 and bfloat16, in Keras on JAX and compiled by
torch.compile; training with CIFAR-10 in the memory of the device; the time of the fast recipe; rows
of Tables 5 and 1 at full length, as long as time is left.

Every part runs in a process of its own. Its figures are in the JSON file as soon as they are there;
what fails is recorded with its last lines, what runs out of time as stopped, and the next call,
with the same file, continues with what has not ended well yet.

It needs this checkout (9 MB), Python 3.11, jax with its accelerator, keras and what that installs
(2 MB); for the comparison torch 2.9 or newer, and torchvision for ResNet-50. A machine without a
network takes wheels from `pip download`, and CIFAR-10 as one file of 170 MB that `--pack` makes
elsewhere (`split -b 60m` cuts it, `cat` joins it). The trainer reads its batches by TensorFlow:
where tensorflow-cpu (a wheel of some hundred MB), tensorflow-datasets and a prepared `--data_dir`
(140 MB) are, and that is given, the rows and the fast recipe are runs of `train.py` with records in
--records; else `resident.py` trains the rows, without records, and the fast recipe is recorded as
failed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from accelerator_parts import ROOT, machine, parts, torch_step

HERE = pathlib.Path(__file__).resolve()
LEAST = 15  # seconds that a part is started with


def run_part(name, words, seconds, note):
    """Runs a part in a process of its own.

    Args:
        name: Its name.
        words: The command line, for the process.
        seconds: After which it is stopped.
        note: Called with what is known of it, whenever more is.
    """
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_TRACEBACK_FILTERING": "off",  # or a note about frames would be an error's last line
    }
    start, known = time.monotonic(), {"figures": {}}
    command = ["timeout", "--kill-after=20", f"{seconds:.0f}", sys.executable, HERE, *words]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [*command, "--part", name],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    known = {"figures": json.loads(line)}
                    note(known)
            code = process.wait()
        except BaseException:
            process.terminate()  # or it would keep the accelerator; Ctrl-C does not reach it
            raise
        errors.seek(0)
        lines = errors.read().strip().splitlines()
    known["seconds"] = round(time.monotonic() - start, 1)
    if code in (124, 137) and known["seconds"] >= round(seconds):
        known["stopped"] = f"after {seconds:.0f} s"
    elif code:
        known["failed"] = lines[-1][:300] if lines else f"exit code {code}"
        known["log"] = [line[:300] for line in lines[-30:]]
    note(known)
    return known


def ended(known):
    """Returns whether a part has run to its end."""
    return "seconds" in known and not known.keys() & {"failed", "stopped"}


def render(found):
    """Returns the speeds of steps and the other figures as Markdown."""
    lines = [
        "| step | batch | Keras on JAX, images/s | PyTorch, compiled, images/s | ratio |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    steps = [name.removesuffix("/keras") for name in parts() if name.endswith("/keras")]
    for step in steps:
        ours, theirs = (
            found.get(f"{step}/{framework}", {}).get("figures", {}).get("images/s")
            for framework in ("keras", "torch")
        )
        batch = found.get(f"{step}/keras", {}).get("figures", {}).get("batch", "")
        cells = [f"{speed:,.0f}" if speed else "" for speed in (ours, theirs)]
        ratio = f"{ours / theirs:.2f}" if ours and theirs else ""
        _, network, precision = step.split("/")
        lines.append(f"| {network}, {precision} | {batch} | {' | '.join(cells)} | {ratio} |")
    lines += ["", "| part | figures |", "| --- | --- |"]
    for name, known in found.items():
        if not name.startswith("step/"):
            figures = {
                k: round(v, 4) if isinstance(v, float) else v for k, v in known["figures"].items()
            }
            states = [known[state] for state in ("failed", "stopped") if state in known]
            lines.append(f"| {name} | {'; '.join([*states, json.dumps(figures)])} |")
    return "\n".join(lines)


def main():
    """Runs the parts that have not ended well yet, as long as there is time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts to run, also again; or how they begin")
    parser.add_argument("--json", help="file of the figures")
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--batch", type=int, default=128, help="images per step of the networks")
    parser.add_argument(
        "--data", action="append", default=[], help="cifar10.npz; once more for cifar100.npz"
    )
    parser.add_argument("--data_dir", help="where TensorFlow Datasets keeps its data, for train.py")
    parser.add_argument("--records", default="accelerator_runs", help="folder of records and runs")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try it on a CPU")
    parser.add_argument("--pack", help="cifar10 or cifar100: writes its file, and does no more")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pack:
        from resident import pack

        return pack(arguments.pack, arguments.data_dir, f"{arguments.pack}.npz")
    if arguments.part:
        function, *rest = parts()[arguments.part]
        if not arguments.small and function not in (machine, torch_step):
            import jax

            if jax.default_backend() == "cpu":
                raise SystemExit("JAX finds no accelerator; --small tries the parts on a CPU")
        for figures in function(arguments, *rest):
            print(json.dumps(figures), flush=True)
        return None
    if not arguments.json:
        parser.error("--json FILE is missing")
    for name in arguments.names:
        if not any(part.startswith(name) for part in parts()):
            parser.error(f"no part begins with {name}; there are {', '.join(parts())}")
    file = pathlib.Path(arguments.json)
    found = json.loads(file.read_text()) if file.is_file() else {}
    end = time.monotonic() + 60 * arguments.minutes
    words = [word for word in sys.argv[1:] if word not in arguments.names]
    for name in parts():
        if arguments.names and not name.startswith(tuple(arguments.names)):
            continue
        left = end - time.monotonic()
        if (ended(found.get(name, {})) and not arguments.names) or left < LEAST:
            continue

        def note(known, name=name):
            found[name] = known
            aside = file.with_suffix(".tmp")
            aside.write_text(json.dumps(found, indent=1) + "\n")
            aside.replace(file)

        known = run_part(name, words, left, note)
        print(f"{name}: {json.dumps(known)}", flush=True)
    left_out = [name for name in parts() if not ended(found.get(name, {}))]
    print(f"\n{render(found)}\n\nNot run to the end: {', '.join(left_out) or 'nothing'}.")
    return None


if __name__ == "__main__":
    main()
