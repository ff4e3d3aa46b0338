"""docs/performance.md is what the benchmarks wrote, and its targets are judged right."""

import ast
import importlib.util
import pathlib

import pytest

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import run

    return run


def test_the_page_is_what_was_measured(run):
    text = run.PAGE.read_text()
    assert set(run.measured()) == set(run.BENCHMARKS)
    assert run.page(text, run.measured()) == text


def test_every_target_has_a_figure(run):
    results = run.measured()
    for target in run.TARGETS:
        assert target.figure in results[target.benchmark]["figures"], target.words


def test_a_target_that_is_not_met_says_what_was_tried(run):
    results = run.measured()
    for target in run.TARGETS:
        value = results[target.benchmark]["figures"][target.figure]
        assert target.met(value) or len(target.tried) > 20, target.words


@pytest.mark.parametrize(
    "bound, value, met",
    [
        ({"at_most": 1.1}, 1.1, True),
        ({"at_most": 1.1}, 1.11, False),
        ({"at_least": 2.0}, 2.0, True),
        ({"at_least": 2.0}, 1.99, False),
    ],
)
def test_a_target(run, bound, value, met):
    target = run.TARGETS[0].__class__("", "", "", **bound)
    assert target.met(value) is met


def test_an_unknown_benchmark(run, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run.py", "speed"])
    with pytest.raises(SystemExit) as exit:
        run.main()
    assert exit.value.code == 2
    assert "no benchmark speed" in capsys.readouterr().err


@pytest.mark.parametrize("file", sorted(BENCHMARKS.glob("*.py")), ids=lambda file: file.stem)
def test_what_a_benchmark_imports_of_the_package_is_there(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("keras_rescnet"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                assert hasattr(module, alias.name) or importlib.util.find_spec(name), name
