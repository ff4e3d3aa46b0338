"""`benchmarks/accelerator.py`, small and on the CPU: each part is recorded, whatever it does."""

import importlib
import json
import subprocess
import sys

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
        assert given == (kr.gclu if activation == "gclu" else activation)


def test_a_part_that_fails_is_recorded_and_the_next_call_goes_on(tmp_path):
    found, text = run(tmp_path / "a.json", "fast/gclu")
    assert found["fast/gclu"]["failed"] == "needs tensorflow, and a whole dataset"
    assert "| fast/gclu | needs tensorflow, and a whole dataset; {} |" in text
    assert "Not run: machine, layers/float32" in text


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
    slow = accelerator.run_part("slow", [], 1, notes.append)
    assert slow["figures"] == {"images/s": 1} and slow["stopped"] == "after 1 s"
    assert notes[-1] == slow


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
