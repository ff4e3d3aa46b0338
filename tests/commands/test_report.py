"""`report`: the README's tables are its output, and its numbers those of the records."""

import json
import shlex
import statistics

import pytest

from keras_rescnet.analysis import marked
from keras_rescnet.analysis import tables as report
from keras_rescnet.analysis.records import read_record
from keras_rescnet.analysis.summary import render_summary
from keras_rescnet.files import checksum
from support import ROOT
from support.commands import answer, run_command

TABLE = '''"""Two networks.

More text.
"""

from functools import partial

from keras_rescnet import Recipe
from keras_rescnet.data import CIFAR10, SVHN
from keras_rescnet.models import CifarResNet8
from keras_rescnet.optimizers import SGD

recipe_of = partial(
    Recipe, model=CifarResNet8, optimizer=SGD, batch_size=8, epochs=200, learning_rate=0.1
)
recipes = {
    "cifar10-small": recipe_of(dataset=CIFAR10, reference=90.0),
    "svhn-small": recipe_of(dataset=SVHN),
    "cifar10-large": recipe_of(dataset=CIFAR10, reference=95.5),
}
columns = {"CIFAR-10": "cifar10-*", "SVHN": "svhn-*"}
'''


@pytest.fixture
def folders(tmp_path):
    results, recipes = tmp_path / "results", tmp_path / "recipes"
    results.mkdir()
    recipes.mkdir()
    (recipes / "table9.py").write_text(TABLE)
    single = TABLE.replace("recipes = {", "recipe = recipe_of(dataset=CIFAR10)\nunused = {")
    (recipes / "single.py").write_text(single)
    return results, recipes


def write_record(folder, recipe, last, best, overrides=(), epochs=200, seed=0, hours=1.0):
    record = {
        "recipe": recipe,
        "overrides": list(overrides),
        "seed": seed,
        "epochs": epochs,
        "results": {"test_accuracy": last, "best_test_accuracy": best},
        "hours": hours,
        "machine": "Some CPU, 2 CPUs",
    }
    record["checksum"] = checksum(record)
    file = folder / f"{len(list(folder.iterdir()))}.json"
    file.write_text(json.dumps(record))
    return file


def row_of(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("file", "name"), [("README.md", "summary"), ("docs/results.md", "report")]
)
def test_the_documents_hold_what_the_command_writes(file, name, tmp_path):
    copy = tmp_path / "copy.md"
    copy.write_bytes((ROOT / file).read_bytes())
    if name == "summary":
        text = render_summary(ROOT / "results")
    else:
        text = report.render(ROOT / "results", ROOT / "recipes")
    marked.update(copy, name, text)
    assert copy.read_text() == (ROOT / file).read_text(), (
        "run: python -m keras_rescnet.report --update docs/results.md --summary README.md"
    )


def test_the_summary_has_a_row_per_recipe_with_time_hardware_and_command(folders):
    results, _ = folders
    for seed, (last, hours) in enumerate([(0.90, 0.26), (0.92, 0.35), (0.94, 0.25)]):
        write_record(results, "a/single.py", last, last, ["epochs=5"], 5, seed, hours=hours)
    write_record(results, "table9.py:svhn-small", 0.5, 0.6, ["batch_size=4"], hours=0.01)
    write_record(results, "table9.py:svhn-large", 0.55, 0.6, hours=0.01)
    write_record(results, "b/a.py", 0.6, 0.6, ["class_weights={'8': 2.0}"])
    rows = render_summary(results).splitlines()[2:]
    a = rows.pop(1)  # the most accurate first, by file
    assert a.startswith("| a | 60.00 |")
    words = shlex.split(a.partition("`")[2].partition("`")[0])  # as a shell reads them
    assert words[-2:] == ["--set", "class_weights={'8': 2.0}"]
    assert rows.pop(1).startswith("| table9-svhn-large | 55.00 |")
    assert rows == [
        "| single | 92.00 ± 2.00 | 3 | 5 | 15 min | Some CPU, 2 CPUs | "
        "`python train.py --recipe recipes/single.py --set epochs=5` |",
        "| table9-svhn-small | 50.00 | 1 | 200 | 36 s | Some CPU, 2 CPUs | "
        "`python train.py --recipe recipes/table9.py:svhn-small --set batch_size=4` |",
    ]


def test_seeds_are_averaged(folders):
    results, recipes = folders
    accuracies = (0.901, 0.9035, 0.8985)
    for seed, last in enumerate(accuracies):
        path = "/elsewhere/recipes/table9.py:cifar10-small"
        write_record(results, path, last, last + 0.01, [f"seed={seed}"], seed=seed)
    text = report.render(results, recipes)
    mean, spread = statistics.mean(accuracies), statistics.stdev(accuracies)
    assert f"{100 * mean:.2f} ± {100 * spread:.2f}" == "90.10 ± 0.25"
    expected = "paper 90.00<br>90.10 ± 0.25 (91.10), 3 runs of 200 epochs"
    assert row_of(text, "small") == ["small", expected, ""]
    assert row_of(text, "large") == ["large", "paper 95.50", ""]
    assert "### Two networks\n" in text
    assert "in no table" not in text


def test_repeats_of_a_seed_are_no_spread(folders):
    results, recipes = folders
    for seed, last in ((0, 0.90), (0, 0.92), (1, 0.95)):
        write_record(results, "table9.py:cifar10-small", last, last, seed=seed)
    mean, spread = statistics.mean((91, 95)), statistics.stdev((91, 95))
    assert f"{mean:.2f} ± {spread:.2f}" == "93.00 ± 2.83"
    cell = row_of(report.render(results, recipes), "small")[1]
    assert cell == "paper 90.00<br>93.00 ± 2.83 (93.00), 3 runs with 2 seeds of 200 epochs"
    for file in list(results.iterdir())[1:]:
        file.unlink()
    write_record(results, "table9.py:cifar10-small", 0.94, 0.94)
    assert "±" not in row_of(report.render(results, recipes), "small")[1]


def test_a_shortened_run_stands_by_itself_and_is_marked(folders):
    results, recipes = folders
    write_record(results, "table9.py:svhn-small", 0.5, 0.6)
    short = ["epochs=5", "warmup_epochs=1"]
    write_record(results, "table9.py:svhn-small", 0.3, 0.4, short, epochs=5)
    write_record(results, "table9.py:svhn-small", 0.2, 0.2, ["steps_per_epoch=9"])
    full, few_epochs, few_steps = row_of(report.render(results, recipes), "small")[2].split("<br>")
    assert full == "50.00 (60.00), 1 run of 200 epochs"
    assert few_epochs == (
        "30.00 (40.00), 1 run of 5 epochs, **shortened**: not the recipe's 200; "
        "with `warmup_epochs=1`"
    )
    assert "**shortened**" in few_steps and "`steps_per_epoch=9`" in few_steps


def test_other_recipes_have_a_table_of_their_own(folders):
    results, recipes = folders
    write_record(results, "recipes/single.py", 0.5, 0.5, epochs=3)
    write_record(results, "recipes/gone.py", 0.7, 0.7, epochs=3)
    write_record(results, "recipes/broken.py", 0.7, 0.7, epochs=3)
    (recipes / "broken.py").write_text("from keras_rescnet import Recipe\nRecipe(bach_size=1)")
    text = report.render(results, recipes)
    assert "### Recipes that are in no table" in text
    measured = row_of(text, "`single.py`")[2]
    assert measured == "50.00 (50.00), 1 run of 3 epochs, **shortened**: not the recipe's 200"
    for name in ("gone", "broken"):
        assert row_of(text, f"`{name}.py`")[2].endswith("of a recipe that is not here")


def test_a_record_edited_by_hand_is_refused(folders):
    results, recipes = folders
    file = write_record(results, "table9.py:svhn-small", 0.5, 0.6)
    file.write_text(file.read_text().replace("0.5", "0.9"))
    with pytest.raises(ValueError, match="its checksum differs. Received: .*0.json"):
        report.render(results, recipes)


SEALED = {
    "recipe": [None, 3, "", ["a"]],
    "overrides": [None, "epochs=5", [1], {}],
    "epochs": [None, 0, -1, 2.5, "5", True],
    "hours": [None, -1, "1", True, 1e400],
    "machine": [None, 3, ["a"]],
    "results": [
        None,
        [],
        {},
        {"test_accuracy": 0.5},
        {"test_accuracy": "0.5", "best_test_accuracy": 0.5},
        {"test_accuracy": 1e400, "best_test_accuracy": 0.5},
        {"test_accuracy": 2, "best_test_accuracy": 0.5},
        {"test_accuracy": None, "best_test_accuracy": 0.5},
    ],
}


@pytest.mark.parametrize("name", SEALED)
def test_a_sealed_record_of_wrong_types_is_refused(name, folders):
    file = write_record(folders[0], "table9.py:svhn-small", 0.5, 0.6)
    good = json.loads(file.read_text())
    for value in SEALED[name]:
        record = {**good, name: value}
        file.write_text(json.dumps({**record, "checksum": checksum(record)}))
        with pytest.raises(ValueError, match=f"its '{name}' is not. Received: .*0.json, {name}="):
            read_record(file)


@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"null", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_record_that_is_no_json_object_is_refused(data, folders):
    file = folders[0] / "a.json"
    file.write_bytes(data)
    with pytest.raises(ValueError, match="its checksum differs. Received: .*a.json"):
        read_record(file)


def test_mistakes_are_answered_before_recipes_are_executed(folders, capsys):
    results, recipes = folders
    (recipes / "table9.py").write_text("raise SystemExit('executed')")
    arguments = [f"--results={results}", f"--recipes={recipes}"]
    message = answer("report", *arguments, f"--update={results / 'no.md'}", capsys=capsys)
    assert "A file must have <!-- report --> and <!-- /report -->" in message
    message = answer("report", f"--results={results}", "--recipes=no", capsys=capsys)
    assert "--recipes must be a folder of table*.py. Received: no, which has none." in message
    message = answer("report", *arguments, capsys=capsys)
    assert "table9.py:1: SystemExit: executed." in message


def test_the_command_prints_the_report(folders, capsys):
    results, recipes = folders
    write_record(results, "table9.py:svhn-small", 0.5, 0.6)
    run_command("report", f"--results={results}", f"--recipes={recipes}")
    assert capsys.readouterr().out == report.render(results, recipes)


def test_the_record_of_a_run_is_reported(finished_run, tmp_path, capsys):
    (tmp_path / "page.md").write_text("<!-- summary -->\n<!-- /summary -->\n")
    folders = [f"--results={finished_run.parent / 'results'}", f"--recipes={ROOT / 'recipes'}"]
    run_command("report", *folders)
    accuracy = 100 * json.loads((finished_run / "results.json").read_text())["test_accuracy"]
    assert f"{accuracy:.2f} (" in row_of(capsys.readouterr().out, "`noise.py:dropout`")[2]
    run_command("report", *folders, f"--summary={tmp_path / 'page.md'}")
    assert f"{accuracy:.2f}" in (tmp_path / "page.md").read_text()


def test_folders_and_files_that_are_not_what_they_must_be_are_refused(folders):
    results, recipes = folders
    with pytest.raises(ValueError, match="--results must be a folder of records. Received: .*x"):
        report.render(results / "x", recipes)
    with pytest.raises(ValueError, match=r"--recipes must be a folder of table\*.py. Received"):
        report.render(results, recipes / "x")
    with pytest.raises(ValueError, match="must assign `recipes` and `columns`.*Received: .*single"):
        report.read_table(recipes / "single.py")
    (recipes / "table9.py").write_text(TABLE.replace('"svhn-*"', '"svhn2-*"'))
    with pytest.raises(ValueError, match="must fit one of `columns`. Received: 'svhn-small', "):
        report.render(results, recipes)
    with pytest.raises(ValueError, match="A file must have <!-- report --> and <!-- /report -->"):
        marked.update(recipes / "single.py", "report", "text\n")


def test_update_replaces_what_is_between_the_marks(folders):
    file = folders[0] / "README.md"
    file.write_text("a\n<!-- x -->\nold\n<!-- /x -->\nb\n")
    marked.update(file, "x", "new\n")
    assert file.read_text() == "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n"
