"""The paper's claims about accuracy, each with what the paper and our runs say, in Markdown."""

import dataclasses
import itertools
import math
import pathlib
import statistics

import numpy as np

from keras_rescnet.analysis.records import group_runs, percentages, read_records
from keras_rescnet.analysis.tables import find_tables, read_table
from keras_rescnet.mistake import Mistake

NOTE = """\
Differences of test accuracy in points. The paper's are of the best epochs of one run each. Ours are
of the last epochs, of the means over seeds, with the 95 % confidence interval of Welch's test where
both have at least two seeds."""

# Files with comparisons that the paper does not have
_MORE = ("alexnet_slopes.py", "cifar10_fast.py", "rivals.py")

_SMALL = ("cifar10", "cifar100", "svhn")
_TRICKS = (
    *("baseline", "resnetd", "long", "autoaugment", "erasing"),
    *("mixup", "cutmix", "batch256", "distributed"),
)
_NETWORKS = ("alexnet", "vgg16", "resnet8", "resnet32", "vit-tiny", "swin-tiny", "cait-xxs24")


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim, as pairs of runs that differ in what it is about.

    Args:
        text: The claim.
        pairs: Names of runs, `(with, without)`, those of the paper first.
    """

    text: str
    pairs: tuple[tuple[str, str], ...]


def _pairs(products, one, other):
    return tuple((one.format(*values), other.format(*values)) for values in products)


CLAIMS = (
    Claim(
        "RC Layers make a ResNet more accurate on small images (Table 1)",
        (
            *_pairs(
                itertools.product(_SMALL, (32, 56, 50)), "table1-{}-rescnet{}", "table1-{}-resnet{}"
            ),
            *_pairs([(8,), (32,)], "rivals-cifar10-resnet{}-rc", "rivals-cifar10-resnet{}-plain"),
            ("cifar10_fast-gelu-rc", "cifar10_fast-gelu"),
        ),
    ),
    Claim(
        "... and on ImageNet (Table 2)",
        _pairs([(18,), (34,), (50,)], "table2-imagenet-rescnet{}", "table2-imagenet-resnet{}"),
    ),
    Claim(
        "RC Layers do more than squeeze and excitation (Tables 1 and 2)",
        (
            *_pairs(
                itertools.product(_SMALL, (32, 56, 50)), "table1-{}-rescnet{}", "table1-{}-senet{}"
            ),
            ("table2-imagenet-rescnet50", "table2-imagenet-senet50"),
            *_pairs([(8,), (32,)], "rivals-cifar10-resnet{}-rc", "rivals-cifar10-resnet{}-se"),
        ),
    ),
    Claim(
        "The gain of RC Layers adds to that of tricks of training (Table 3)",
        _pairs(
            [(trick,) for trick in _TRICKS],
            "table3-cifar100-rescnet50-{}",
            "table3-cifar100-resnet50-{}",
        ),
    ),
    Claim(
        "Three dense layers with a reduction of 4 and no activation between them are the best RC "
        "Layer (Table 4)",
        _pairs(
            [("two-fc",), ("r2",), ("r4-relu",), ("r4-sigmoid",)],
            "table4-cifar100-rescnet32-r4",
            "table4-cifar100-rescnet32-{}",
        ),
    ),
    Claim(
        "GCLU is more accurate than ReLU (Table 5)",
        (
            *_pairs(
                itertools.product(("cifar10", "cifar100"), _NETWORKS),
                "table5-{}-{}-gclu",
                "table5-{}-{}-relu",
            ),
            ("cifar10_fast-gclu", "cifar10_fast-relu"),
            ("alexnet_slopes-gclu", "alexnet_slopes-relu"),
        ),
    ),
    Claim(
        "... and than GELU (Table 5)",
        (
            *_pairs(
                itertools.product(("cifar10", "cifar100"), _NETWORKS),
                "table5-{}-{}-gclu",
                "table5-{}-{}-gelu",
            ),
            ("cifar10_fast-gclu", "cifar10_fast-gelu"),
            ("alexnet_slopes-gclu", "alexnet_slopes-gelu"),
        ),
    ),
    Claim(
        "The sigmoid and the tanh form lose nothing to the exact GCLU (Table 6)",
        _pairs(
            itertools.product(("cifar10", "cifar100"), ("sigmoid", "tanh")),
            "table6-{0}-resnet32-gclu-{1}",
            "table6-{0}-resnet32-gclu-exact",
        ),
    ),
)


def render(results, recipes) -> str:
    """Returns all claims with their evidence as Markdown.

    Args:
        results: Folder of records.
        recipes: Folder of recipe files, which are executed.

    Raises:
        Mistake: If a folder is missing, a file in it is not what it must be, or no recipe is one
            that a claim is about.
    """
    from keras_rescnet.recipe import execute

    known = {
        f"{file.stem}-{name}": recipe
        for file in find_tables(recipes)
        for name, recipe in read_table(file).recipes.items()
    }
    for file in (pathlib.Path(recipes) / name for name in _MORE):
        if file.is_file():
            found = execute(file)["recipes"]
            known |= {f"{file.stem}-{name}": recipe for name, recipe in found.items()}
    records = read_records(results)
    sections = [NOTE]
    for claim in CLAIMS:
        pairs = [pair for pair in claim.pairs if set(pair) <= set(known)]
        if any(known[one].reference is not None for one, _ in pairs):
            sections.append(_render(claim, pairs, known, records))
    if len(sections) == 1:
        raise Mistake(
            "Claims are about the paper's tables, as the recipes of this package have them. "
            f"Received: {recipes}, which has none of them."
        )
    return "\n\n".join(sections) + "\n"


def _render(claim, pairs, recipes, records):
    differences, rows, missing = [], [], 0
    for one, other in pairs:
        paper = ""
        if recipes[one].reference is not None:
            differences.append(recipes[one].reference - recipes[other].reference)
            paper = f"{differences[-1]:+.2f}"
        measured = _compare(records.get(one, []), records.get(other, []), recipes[one].epochs)
        rows += [f"| {one} - {other} | {paper} | {text} |" for text in measured]
        missing += not measured
    higher = sum(difference > 0 for difference in differences)
    lines = [
        f"### {claim.text}",
        "",
        f"The paper: {higher} of {len(differences)} differences are above 0, their median is "
        f"{statistics.median(differences):+.2f}, they lie between {min(differences):+.2f} and "
        f"{max(differences):+.2f}.",
    ]
    if rows:
        head = ("comparison", "paper", "measured", "reading", "seeds", "epochs")
        rule = ("---", "--:", "--:", "---", "--:", "---")
        lines += ["", *(f"| {' | '.join(cells)} |" for cells in (head, rule)), *rows]
    if missing:
        lines += ["", f"Not run: {missing} of {len(pairs)} comparisons."]
    return "\n".join(lines)


def _compare(with_it, without, epochs):
    """Returns cells of all comparisons of runs of two recipes with equal epochs and overrides."""
    groups, others = group_runs(with_it), group_runs(without)
    texts = []
    for key in groups.keys() & others.keys():
        ours, theirs = (percentages(runs[key], "test_accuracy") for runs in (groups, others))
        difference = statistics.mean(ours) - statistics.mean(theirs)
        interval = _half_interval(ours, theirs)
        if interval is None:
            measured, reading = f"{difference:+.2f}", "none: a single seed"
        else:
            measured = f"{difference:+.2f} ± {interval:.2f}"
            reading = "higher" if difference > interval else "no difference is shown"
            reading = "lower" if difference < -interval else reading
        length, changes = key
        where = f"{length}" if length == epochs else f"{length} of {epochs}"
        where += "".join(f", `{change}`" for change in changes)
        texts.append(f"{measured} | {reading} | {len(ours)}, {len(theirs)} | {where}")
    return sorted(texts)


def _half_interval(ours, theirs):
    """Returns half of Welch's 95 % interval of a difference of means; `None` with single values."""
    if min(len(ours), len(theirs)) < 2:
        return None
    parts = [statistics.variance(values) / len(values) for values in (ours, theirs)]
    if not any(parts):
        return 0.0
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (ours, theirs), strict=True)
    )
    return _student(freedom) * math.sqrt(sum(parts))


def _student(freedom):
    """Returns the number of standard errors to either side within which t has 95 % of its weight.

    With `t = sqrt(freedom) tan(a)` its density is that of `cos(a) ** (freedom - 1)`.
    """
    angles = np.pi / 2 * (1 - np.linspace(1.0, 0.0, 100_001) ** 3)  # closer where it is steep
    heights = np.cos(angles) ** (freedom - 1)
    weights = np.append(0.0, np.cumsum(np.diff(angles) * (heights[1:] + heights[:-1])))
    return math.sqrt(freedom) * math.tan(np.interp(0.95 * weights[-1], weights, angles))
