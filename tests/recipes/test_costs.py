"""The docstring of each recipe says what it costs and what it scored, as records have it."""

import re
import statistics

import pytest

from keras_rescnet.analysis.records import (
    group_runs,
    mean_and_spread,
    percentages,
    read_records,
)
from keras_rescnet.recipe import Recipe, execute
from support import ROOT

FILES = {file.stem: file for file in sorted((ROOT / "recipes").glob("*.py"))}
PERFORMANCE = (ROOT / "docs" / "performance.md").read_text()
RECORDS = read_records(ROOT / "results")


def cost_and_score(text):
    """Returns the paragraph, on one line."""
    found = [part for part in text.split("\n\n") if part.startswith("Cost and score: ")]
    assert len(found) == 1, "a docstring needs one paragraph that begins with 'Cost and score: '"
    return " ".join(found[0].split())


def scores(file, recipes):
    """Returns the accuracies in % that records of a file support, and those at full length."""
    supported, full = set(), {}
    for name, recipe in recipes.items():
        groups = {}
        for record in RECORDS.get(f"{file}-{name}" if name else file, []):
            accuracy = 100 * record["results"]["test_accuracy"]
            supported.add(f"{accuracy:.2f}")
            groups.setdefault((record["epochs"], tuple(record["overrides"])), []).append(accuracy)
            if record["epochs"] >= recipe.epochs:
                full.setdefault(name, []).append(accuracy)
        supported |= {f"{statistics.mean(group):.2f}" for group in groups.values()}
        supported |= {f"{statistics.mean(full[name]):.2f}" for name in full}
    return supported, full


def check(file, text, recipes):
    text = cost_and_score(text)
    supported, full = scores(file, recipes)
    claimed = re.findall(r"(\d+\.\d+) %", text)
    assert set(claimed) <= supported, f"{file} claims {claimed}, the records have {supported}"
    if len(recipes) > 1:
        count = len(full) or "none"
        verb = "have" if len(full) > 1 else "has"
        sentence = f"{count} of the {len(recipes)} {verb} been run at full length"
        assert sentence in text, f"{file} must say: {sentence}"
    else:
        assert ("not run" in text) == (not full), f"{file}: {full or 'no record at full length'}"
        assert not full or f"{statistics.mean(*full.values()):.2f} %" in text


@pytest.mark.parametrize("name", FILES)
def test_docstrings_claim_what_records_have(name):
    names = execute(FILES[name])
    recipes = names.get("recipes") or {None: names["recipe"]}
    assert all(isinstance(recipe, Recipe) for recipe in recipes.values())
    check(name, names["__doc__"], recipes)


def rounds_to(text):
    """Returns whether a figure stands in docs/performance.md, perhaps with more digits."""
    digits = len(text.partition(".")[2])
    figures = re.findall(r"(?<=\| )[\d,]+\.\d+(?= \|)", PERFORMANCE)
    return any(f"{float(f.replace(',', '')):,.{digits}f}" == text for f in figures)


@pytest.mark.parametrize("name", FILES)
def test_speeds_and_hours_are_those_of_the_page_on_performance(name):
    text = cost_and_score(execute(FILES[name])["__doc__"])
    for speed in re.findall(r"([\d,.]+) images/s", text):
        assert rounds_to(speed), speed
    hours = re.findall(
        r"about ([\d.]+) hours (?:each )?on two CPU cores \(([\d,.]+) images/s", text
    )
    for duration, speed in hours:  # of 200 epochs of 390 steps of 128 images
        seconds = 200 * 390 * 128 / float(speed.replace(",", ""))
        assert float(duration) == pytest.approx(seconds / 3600, rel=0.03)


def unsupported(text):
    """Returns the accuracies of a text, in %, that neither a record nor the paper has."""
    known = set()
    for file in FILES.values():
        names = execute(file)
        for recipe in (names.get("recipes") or {None: names["recipe"]}).values():
            known.add(f"{recipe.reference or 0:.2f}")
    for records in RECORDS.values():
        for group in group_runs(records).values():
            known.add(mean_and_spread(group))
            for name in ("test_accuracy", "train_accuracy", "best_test_accuracy"):
                values = percentages(group, name)
                known |= {f"{value:.2f}" for value in (*values, statistics.mean(values))}
    return set(re.findall(r"\d+\.\d\d(?: ± \d+\.\d\d)?(?= %)", text)) - known


def test_the_page_on_reproduction_has_the_accuracies_of_records():
    page = (ROOT / "docs" / "reproduction.md").read_text()
    _, _, text = page.partition("## What our runs show")
    text, found, _ = text.partition("### Are responses Gaussian?")
    assert found and text.count(" %") > 20
    assert not unsupported(text)
    assert unsupported("99.04 ± 0.27 % and 99.05 ± 0.27 %") == {"99.05 ± 0.27"}


def test_a_claim_without_a_record_fails():
    recipe = execute(FILES["digits_gclu_resnet8"])["recipe"]
    text = "Digits.\n\nCost and score: 50 seconds on two\nCPU cores; {} %, ten seeds.\n"
    right = [record["results"]["test_accuracy"] * 355 for record in RECORDS["digits_gclu_resnet8"]]
    assert sorted(map(round, right)) == [350, 351, 351, 351, 351, 352, 352, 352, 353, 353]
    check("digits_gclu_resnet8", text.format("99.04"), {None: recipe})  # 3516 of 3550
    with pytest.raises(AssertionError, match="claims .'99.05'., the records have .*'99.04'"):
        check("digits_gclu_resnet8", text.format("99.05"), {None: recipe})
    with pytest.raises(AssertionError):
        check("digits_gclu_resnet8", "Cost and score: not run.", {None: recipe})
    with pytest.raises(AssertionError, match="needs one paragraph"):
        check("digits_gclu_resnet8", "Digits.", {None: recipe})
    with pytest.raises(AssertionError, match="none of the 2 has been run"):
        check("none", "Cost and score: great.", {"a": recipe, "b": recipe})
