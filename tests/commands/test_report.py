"""`report`: the README's tables are its output, and its numbers those of the records."""

import json
import statistics

import pytest

from keras_rescnet.analysis import tables as report
from keras_rescnet.analysis.records import checksum
from support import ROOT

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


def write_record(folder, recipe, last, best, overrides=(), epochs=200):
    record = {
        "recipe": recipe,
        "overrides": list(overrides),
        "epochs": epochs,
        "results": {"test_accuracy": last, "best_test_accuracy": best},
    }
    record["checksum"] = checksum(record)
    file = folder / f"{len(list(folder.iterdir()))}.json"
    file.write_text(json.dumps(record))
    return file


def row_of(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_readme_holds_the_report():
    _, _, rest = (ROOT / "README.md").read_text().partition(f"{report.BEGIN}\n")
    shown, end, _ = rest.partition(report.END)
    assert end and shown == report.render(ROOT / "results", ROOT / "recipes"), (
        "run: python -m keras_rescnet.report --update README.md"
    )


def test_seeds_are_averaged(folders):
    results, recipes = folders
    accuracies = (0.901, 0.9035, 0.8985)
    for seed, last in enumerate(accuracies):
        path = "/elsewhere/recipes/table9.py:cifar10-small"
        write_record(results, path, last, last + 0.01, [f"seed={seed}"])
    text = report.render(results, recipes)
    mean, spread = statistics.mean(accuracies), statistics.stdev(accuracies)
    assert f"{100 * mean:.2f} ± {100 * spread:.2f}" == "90.10 ± 0.25"
    expected = "paper 90.00<br>90.10 ± 0.25 (91.10), 3 runs of 200 epochs"
    assert row_of(text, "small") == ["small", expected, ""]
    assert row_of(text, "large") == ["large", "paper 95.50", ""]
    assert "### Two networks\n" in text
    assert "in no table" not in text


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


def test_folders_and_files_that_are_not_what_they_must_be_are_refused(folders):
    results, recipes = folders
    with pytest.raises(ValueError, match="--results must be a folder of records. Received: .*x"):
        report.render(results / "x", recipes)
    with pytest.raises(ValueError, match=r"--recipes must be a folder of table\*.py. Received"):
        report.render(results, recipes / "x")
    with pytest.raises(ValueError, match="must assign `recipes` and `columns`. Received: .*single"):
        report.read_table(recipes / "single.py")
    (recipes / "table9.py").write_text(TABLE.replace('"svhn-*"', '"svhn2-*"'))
    with pytest.raises(ValueError, match="must fit one of `columns`. Received: 'svhn-small', "):
        report.render(results, recipes)
    with pytest.raises(ValueError, match="--update needs a file with <!-- report -->"):
        report.update(recipes / "single.py", "text\n")


def test_update_replaces_what_is_between_the_marks(folders):
    file = folders[0] / "README.md"
    file.write_text(f"a\n{report.BEGIN}\nold\n{report.END}\nb\n")
    report.update(file, "new\n")
    assert file.read_text() == f"a\n{report.BEGIN}\nnew\n{report.END}\nb\n"
