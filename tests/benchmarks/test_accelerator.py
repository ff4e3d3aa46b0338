"""`benchmarks/accelerator.py`, small and on the CPU: each part is recorded, whatever it does."""

import argparse
import contextlib
import importlib
import io
import json
import subprocess
import sys
import time

import pytest

from support import ENVIRONMENT, ROOT

SCRIPT = ROOT / "benchmarks" / "accelerator.py"


@pytest.fixture
def accelerator(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("accelerator")


def run(file, *words):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--json", file, "--small", *words],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done.stdout


def test_parts_are_in_order_and_name_what_there_is(accelerator):
    import keras_rescnet as kr
    from keras_rescnet.analysis.tables import read_table

    names = list(accelerator.parts())
    assert names[0] == "machine" and len(names) == len(set(names))
    kinds = [name.partition("/")[0] for name in names]
    assert list(dict.fromkeys(kinds)) == ["machine", "layers", "step", "resident", "fast", "row"]
    parts = importlib.import_module("accelerator_parts")
    for row, (builder, activation) in parts.ROWS.items():
        file, _, name = row.partition(":")
        recipe = read_table(ROOT / "recipes" / file).recipes[name]
        model = recipe.model
        assert getattr(model, "func", model) is getattr(kr.models, builder)
        given = getattr(model, "keywords", {}).get("activation", "relu")
        assert given == {"gclu": kr.gclu, "gelu": kr.gelu}.get(activation, activation)


def test_a_part_that_fails_is_recorded_and_the_next_call_goes_on(tmp_path):
    found, text = run(tmp_path / "a.json", "fast/gclu")
    needs = "needs tensorflow, tensorflow-datasets and --data_dir, without --small"
    assert found["fast/gclu"]["failed"] == needs
    assert f"| fast/gclu | {needs}; {{}} |" in text
    assert "Not run to the end: machine, layers/float32" in text and "fast/gclu," in text


def test_speeds_stand_beside_pytorch_s(accelerator):
    found = {
        "step/VGG-16/bfloat16/keras": {"figures": {"images/s": 3000.0, "batch": 128}},
        "step/VGG-16/bfloat16/torch": {"figures": {"images/s": 2000.0, "batch": 128}},
        "step/VGG-16/float32/keras": {"figures": {"images/s": 1500.0, "batch": 128}},
        "step/VGG-16/float32/torch": {"figures": {}, "failed": "no memory"},
    }
    lines = accelerator.render(found).splitlines()
    assert "| VGG-16, bfloat16 | 128 | 3,000 | 2,000 | 1.50 |" in lines
    assert "| VGG-16, float32 | 128 | 1,500 |  |  |" in lines


STUB = """
import json, sys, time
print(json.dumps({"images/s": 1}), flush=True)
print("what a library prints", flush=True)
print("x" * 100_000, file=sys.stderr)
if "last" in sys.argv[-1]:
    print(json.dumps({"images/s": 2}), flush=True)
elif "breaks" in sys.argv[-1]:
    raise RuntimeError("no memory")
else:
    time.sleep(60)
"""


def test_what_a_part_knew_stays_when_it_breaks_or_runs_out_of_time(
    accelerator, tmp_path, monkeypatch
):
    (tmp_path / "stub.py").write_text(STUB)
    monkeypatch.setattr(accelerator, "HERE", tmp_path / "stub.py")
    notes = []
    last = accelerator.run_part("last", [], 30, notes.append)
    assert last["figures"] == {"images/s": 2} and set(last) == {"figures", "seconds"}
    assert [note["figures"]["images/s"] for note in notes] == [1, 2, 2]
    breaks = accelerator.run_part("breaks", [], 30, notes.append)
    assert breaks["figures"] == {"images/s": 1}
    assert breaks["failed"] == "RuntimeError: no memory"
    assert breaks["log"][-1] == "RuntimeError: no memory" and len(breaks["log"]) <= 30
    slow = accelerator.run_part("slow", [], 1, notes.append)
    assert slow["figures"] == {"images/s": 1} and slow["stopped"] == "after 1 s"
    assert notes[-1] == slow


def test_a_part_that_is_killed_has_failed(accelerator, tmp_path, monkeypatch):
    (tmp_path / "stub.py").write_text("import os; os.kill(os.getpid(), 9)")  # as without memory
    monkeypatch.setattr(accelerator, "HERE", tmp_path / "stub.py")
    found = accelerator.run_part("killed", [], 30, lambda _: None)
    assert found["failed"] == "exit code -9" and "stopped" not in found


def test_a_part_ends_with_the_program(accelerator, tmp_path, monkeypatch):
    ended = "open(sys.argv[0] + '.ended', 'w')"
    handler = f"import signal, sys, time; signal.signal(15, lambda *_: ({ended}, sys.exit(0)))"
    # No more is printed: nobody reads it, and a closed pipe would end the part before the signal.
    (tmp_path / "stub.py").write_text(f"{handler}\nprint('{{}}', flush=True)\ntime.sleep(60)\n")
    monkeypatch.setattr(accelerator, "HERE", tmp_path / "stub.py")

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        accelerator.run_part("slow", [], 30, interrupt)
    for _ in range(100):
        if (tmp_path / "stub.py.ended").exists():
            break
        time.sleep(0.1)
    assert (tmp_path / "stub.py.ended").exists()


@pytest.mark.parametrize(
    "known, expected",
    [
        ({}, False),
        ({"figures": {"epoch": 7}}, False),  # cut off together with the program
        ({"figures": {"epoch": 7}, "seconds": 9, "stopped": "after 9 s"}, False),
        ({"figures": {}, "seconds": 9, "failed": "no memory"}, False),
        ({"figures": {"epoch": 200}, "seconds": 9}, True),
    ],
)
def test_what_has_not_ended_well_is_run_again(accelerator, known, expected):
    assert accelerator.ended(known) is expected


@pytest.mark.parametrize(
    "words, code, pattern",
    [
        (["--data", "cifar10.npz", "stpe"], 2, "no part begins with stpe; there are machine"),
        ([], 1, "JAX finds no accelerator"),
    ],
)
def test_a_call_that_would_measure_something_else(words, code, pattern, accelerator, monkeypatch):
    words = words or ["--part", "layers/float32"]
    monkeypatch.setattr("sys.argv", ["accelerator.py", "--json", "no.json", *words])
    monkeypatch.setattr("jax.default_backend", lambda: "cpu")
    with pytest.raises(SystemExit) as error, contextlib.redirect_stderr(io.StringIO()) as told:
        accelerator.main()
    assert pattern in told.getvalue() + str(error.value)
    assert error.value.code == code or code == 1


def test_runs_of_the_trainer_are_found_from_any_folder(accelerator, tmp_path, monkeypatch):
    """Relative paths are those of the caller, and a failed run's line is what is recorded."""
    parts = importlib.import_module("accelerator_parts")
    monkeypatch.chdir(tmp_path)
    calls = []

    def run(words, cwd, **_):
        calls.append(dict(zip(words[2::2], words[3::2], strict=True)))
        if len(calls) > 1:
            return subprocess.CompletedProcess(words, 2, stderr="info\nNo disk.\n")
        workdir = calls[0]["--workdir"]
        workdir.mkdir(parents=True)
        (workdir / "results.json").write_text('{"test_accuracy": 0.5}')
        (workdir / "run.json").write_text('{"seconds": 3}')
        return subprocess.CompletedProcess(words, 0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    arguments = argparse.Namespace(records="mine", data_dir="data", small=False, data=[])
    found = list(parts.trained(arguments, "table5.py:cifar10-resnet8-gclu"))
    assert found == [{"test_accuracy": 0.5, "seconds": 3}]
    assert calls[0]["--data_dir"] == tmp_path / "data"
    assert calls[0]["--record"] == tmp_path / "mine"
    with pytest.raises(SystemExit, match="train.py: No disk."):
        list(parts.trained(arguments, "table5.py:cifar10-resnet8-gclu"))
    assert parts.trains(arguments)
    assert not parts.trains(argparse.Namespace(small=False, data_dir=None))


@pytest.mark.release
def test_the_parts_run_at_small_size(tmp_path):
    names = [
        "machine",
        "layers/bfloat16",
        "step/ResNet-32/float32/keras",
        "row/table5.py:cifar10-resnet8-gclu",
    ]
    found, _ = run(tmp_path / "a.json", *names)
    assert "cpu" in found["machine"]["figures"]["devices"][0]
    assert found["layers/bfloat16"]["figures"]["RC Layer / limit"] > 0
    assert found["step/ResNet-32/float32/keras"]["figures"]["images/s"] > 0
    figures = found["row/table5.py:cifar10-resnet8-gclu"]["figures"]
    assert figures["epoch"] == figures["epochs"] == 2
    assert 0 <= figures["test_accuracy"] <= figures["best_test_accuracy"] <= 1
    assert not [name for name, known in found.items() if set(known) != {"figures", "seconds"}]
