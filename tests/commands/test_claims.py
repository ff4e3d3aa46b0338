"""`report --claims`: differences between runs, with intervals that others computed."""

import json

import numpy as np
import pytest
from scipy import stats

from keras_rescnet.analysis import claims, marked
from keras_rescnet.files import checksum
from keras_rescnet.mistake import Mistake
from support import ROOT


def write_record(folder, recipe, accuracy, seed=0, epochs=200, overrides=()):
    record = {
        "recipe": f"recipes/{recipe}",
        "overrides": list(overrides),
        "seed": seed,
        "epochs": epochs,
        "results": {"test_accuracy": accuracy / 100, "best_test_accuracy": accuracy / 100},
        "hours": 1.0,
        "machine": "Some CPU, 2 CPUs",
    }
    record["checksum"] = checksum(record)
    (folder / f"{len(list(folder.iterdir()))}.json").write_text(json.dumps(record))


def test_the_page_holds_what_the_command_writes(tmp_path):
    page = ROOT / "docs" / "reproduction.md"
    copy = tmp_path / "copy.md"
    copy.write_bytes(page.read_bytes())
    marked.update(copy, "claims", claims.render(ROOT / "results", ROOT / "recipes"))
    assert copy.read_text() == page.read_text(), (
        "run: python -m keras_rescnet.report --claims docs/reproduction.md"
    )


def test_the_paper_by_itself(tmp_path):
    """Counted by hand in its tables."""
    text = claims.render(tmp_path, ROOT / "recipes")
    sections = dict(part.split("\n", 1) for part in text.split("### ")[1:])
    paper = {title.partition(" (Table")[0]: body for title, body in sections.items()}
    assert len(paper) == len(claims.CLAIMS) == 8
    small = paper["RC Layers make a ResNet more accurate on small images"]
    assert "9 of 9 differences are above 0, their median is +0.07" in small
    assert "between +0.02 and +0.85" in small
    tricks = paper["The gain of RC Layers adds to that of tricks of training"]
    assert "5 of 9 differences are above 0" in tricks and "-0.33 and +1.00" in tricks
    assert "10 of 14" in paper["GCLU is more accurate than ReLU"]
    assert text.count("Not run: ") == 8 and "measured" not in text


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        # Welch's t-test by hand: s.e. 0.6455, 2.94 degrees of freedom, where SciPy has t = 3.2195
        ((91, 92, 93), (90, 90.5, 91), "+1.50 ± 2.08 | no difference is shown | 3, 3 | 200"),
        # s.e. 0.7071, 8 degrees of freedom, t = 2.306
        ((91, 92, 93, 94, 95), (81, 82, 83, 84, 85), "+10.00 ± 2.31 | higher | 5, 5 | 200"),
        ((81, 82, 83, 84, 85), (91, 92, 93, 94, 95), "-10.00 ± 2.31 | lower | 5, 5 | 200"),
        ((91,), (90, 90.5, 91), "+0.50 | none: a single seed | 1, 3 | 200"),
    ],
)
def test_differences_have_an_interval(ours, theirs, expected, tmp_path):
    for name, accuracies in (("gclu", ours), ("relu", theirs)):
        for seed, accuracy in enumerate(accuracies):
            recipe = f"table5.py:cifar10-resnet8-{name}"
            write_record(tmp_path, recipe, accuracy, seed, overrides=[f"seed={seed}"])
    text = claims.render(tmp_path, ROOT / "recipes")
    row = f"| table5-cifar10-resnet8-gclu - table5-cifar10-resnet8-relu | +0.24 | {expected} |"
    assert row in text.splitlines()
    assert "Not run: 15 of 16 comparisons." in text


@pytest.mark.parametrize("counts", [(2, 2), (2, 5), (3, 3), (10, 10), (40, 30)])
def test_intervals_are_those_of_scipy(counts):
    generator = np.random.default_rng(sum(counts))
    for scale in (0.1, 1.0, 10.0):
        ours = generator.normal(90.0, 1.0, counts[0]).tolist()
        theirs = generator.normal(91.0, scale, counts[1]).tolist()
        interval = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
        expected = (interval.high - interval.low) / 2
        assert claims._half_interval(ours, theirs) == pytest.approx(expected, rel=1e-5)


def test_recipes_that_no_claim_is_about_are_refused(tmp_path):
    text = (ROOT / "recipes" / "table4.py").read_text()
    (tmp_path / "table_mine.py").write_text(text)
    with pytest.raises(Mistake, match="are about the paper's tables.* Received: .*none") as caught:
        claims.render(tmp_path, tmp_path)
    assert "\n" not in str(caught.value)


def test_only_runs_of_one_length_are_compared(tmp_path):
    for name, epochs in (("gclu", 30), ("gclu", 200), ("relu", 30), ("relu", 100)):
        write_record(tmp_path, f"table5.py:cifar10-resnet8-{name}", epochs / 4, epochs=epochs)
    rows = [
        line for line in claims.render(tmp_path, ROOT / "recipes").splitlines() if "8-relu" in line
    ]
    assert len(rows) == 1 and rows[0].endswith("| +0.00 | none: a single seed | 1, 1 | 30 of 200 |")
