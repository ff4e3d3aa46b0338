"""How good the probabilities of members and of their ensemble are, clean and corrupted."""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_rescnet import data
from keras_rescnet.analysis.evaluation import Calibration, check_fits, predictions
from keras_rescnet.analysis.runs import load_run
from keras_rescnet.augment.cores import map_images
from keras_rescnet.ensemble.members import load_members, stacked
from keras_rescnet.files import write
from keras_rescnet.mistake import Mistake, shorten

if TYPE_CHECKING:
    import keras

SEVERITIES = (1, 2, 3, 4, 5)
CLEAN = "none"
METRICS = ("accuracy", "negative_log_likelihood", "brier_score", "calibration_error")
_SMALLEST = np.finfo("float32").tiny  # a probability that float32 has rounded to 0


class Scores:
    """Scores of predicted probabilities, batch by batch, over N pictures of C classes.

        accuracy                   share of pictures with argmax_c p_c = y
        negative_log_likelihood    -(1 / N) sum_n log p_ny
        brier_score                (1 / N) sum_n sum_c (p_nc - [c = y_n])^2
        calibration_error          as of `kr.evaluate`, 15 bins

    Reference:
        Brier, "Verification of forecasts expressed in terms of probability", 1950, Eq. 2.
    """

    def __init__(self):
        self._sums, self._count = np.zeros(3), 0
        self._calibration = Calibration()

    def add(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Adds probabilities and one-hot labels, `(n, classes)` each."""
        hits = probabilities.argmax(1) == labels.argmax(1)
        likelihood = np.maximum((probabilities * labels).sum(1), _SMALLEST)
        squares = np.square(probabilities - labels).sum()
        self._sums += [hits.sum(), -np.log(likelihood).sum(), squares]
        self._count += len(labels)
        self._calibration.add(probabilities.max(1), hits)

    def results(self) -> dict[str, float]:
        """Returns the scores of all that was added, by name."""
        values = [*(self._sums / self._count), self._calibration.error()]
        return {name: float(value) for name, value in zip(METRICS, values, strict=True)}


class CorruptedExamples:
    """Examples whose pictures are corrupted, each with random numbers of its own; an `Examples`.

    Args:
        examples: What `kr.data.load` returns.
        corruption: One of `kr.corruptions`, or another function of an image, a severity and a seed.
        severity: From 1 to 5.
    """

    def __init__(self, examples, corruption, severity):
        self.dataset, self.class_names = examples.dataset, examples.class_names
        self._examples, self._corruption, self._severity = examples, corruption, severity

    def __len__(self):
        return len(self._examples)

    def reader(self, transforms):
        """Returns what reads a batch, and the transforms that are left to apply to it: all."""
        read, _ = self._examples.reader([])

        def corrupt(pair):
            image, index = pair
            return self._corruption(image, self._severity, tf.stack([index, self._severity]))

        def read_batch(indices, rows):
            batch = read(indices, rows)
            images = tf.cast(batch["images"], "uint8")
            spec = tf.TensorSpec(images.shape[1:], "uint8")
            pair = (images, tf.cast(indices, "int32"))
            return {**batch, "images": map_images(corrupt, pair, spec)}

        return read_batch, transforms


def measure(
    members: Sequence[str | os.PathLike | keras.Model],
    dataset: data.Dataset | None = None,
    *,
    corruptions: Sequence[Callable] = (),
    severities: Sequence[int] = SEVERITIES,
    split: str = "test",
    data_dir: str | os.PathLike | None = None,
    batch_size: int = 128,
    views: Callable | None = None,
) -> list[dict[str, Any]]:
    """Measures the members of an ensemble, each by itself, and their mean.

    The ensemble's probabilities are the means of the members'. Of the ensemble there is the
    disagreement, too: the share of pictures that two members put into different classes, averaged
    over all pairs of members.

    Args:
        members: Models from normalized images to logits, or folders of finished runs.
        dataset: What to measure on. That of the first run by default; needed with models.
        corruptions: Functions of `kr.corruptions`: the pictures are also measured corrupted.
            Defaults to `()`, none.
        severities: Severities of the corruptions. Defaults to all, 1 to 5.
        split: `"test"` or `"train"`. Defaults to `"test"`.
        data_dir: Where the data are, as of `kr.evaluate` with the first run. Defaults to `None`.
        batch_size: Images per step. Defaults to 128.
        views: As of `kr.evaluate`. That of the first run's recipe by default.

    Returns:
        A row for each model of each condition: `corruption` (its name, `"none"` first), `severity`
        (0 where there is no corruption), `model` (`"member 0"`, ..., `"ensemble"`), `accuracy`,
        `negative_log_likelihood`, `brier_score`, `calibration_error` and `disagreement` (`None` of
        a member). `write_csv` and `table` take the rows.

    Raises:
        Mistake: If there are no such members, data or corruptions, or their classes differ.

    Example:

    >>> def member(seed):
    ...     start = keras.initializers.GlorotUniform(seed)
    ...     layers = [keras.layers.Flatten(), keras.layers.Dense(10, kernel_initializer=start)]
    ...     return keras.Sequential([keras.Input((32, 32, 3)), *layers])
    >>> rows = kr.ensemble.measure([member(0), member(1)], kr.data.DIGITS)
    >>> [row["model"] for row in rows]
    ['member 0', 'member 1', 'ensemble']
    """
    chosen = list(corruptions) if isinstance(corruptions, Iterable) else [None]
    if not all(callable(each) and hasattr(each, "__name__") for each in chosen):
        raise Mistake(
            "`corruptions` must be a list of functions with names, such as "
            f"[kr.corruptions.contrast]. Received: corruptions={shorten(corruptions)}."
        )
    if not isinstance(severities, Iterable):
        raise Mistake(
            "`severities` must be a list of integers from 1 to 5. "
            f"Received: severities={shorten(severities)}."
        )
    models = load_members(members)
    folders = [member for member in members if isinstance(member, str | os.PathLike)]
    first = load_run(folders[0]) if folders else None
    if first is not None:
        views = first.views if views is None else views
        data_dir = first.place_of(dataset, data_dir)
        dataset = first.dataset if dataset is None else first.prepared(dataset)
    if not isinstance(dataset, data.Dataset):
        raise Mistake(
            "`dataset` must be a kr.data.Dataset, where the members are models. "
            f"Received: dataset={shorten(dataset)}."
        )
    examples = data.load(dataset, split, None if data_dir is None else str(data_dir))
    if first is not None:
        examples = first.as_tested(examples)
    if examples.dataset.multi_label:
        raise Mistake(
            "An ensemble is measured on pictures of one class each. "
            f"Received: {examples.dataset.name} with multi_label=True."
        )
    stack = stacked(models)
    check_fits(examples, stack, first.class_names if first is not None else ())
    conditions = [(CLEAN, 0, examples)]
    for corruption, severity in itertools.product(chosen, severities):
        corrupted = CorruptedExamples(examples, corruption, severity)
        conditions.append((corruption.__name__, severity, corrupted))
    return [
        {"corruption": name, "severity": severity, **row}
        for name, severity, pictures in conditions
        for row in _rows(stack, pictures, batch_size, views)
    ]


def _rows(stack, examples, batch_size, views):
    """Returns the scores of all members and of their ensemble on examples."""
    count = stack.output_shape[1]
    scores = [Scores() for _ in range(count + 1)]
    pairs = np.triu_indices(count, 1)
    different = 0.0
    for logits, labels in predictions(stack, examples, batch_size, views):
        powers = np.exp(logits.astype("float64") - logits.max(-1, keepdims=True))
        probabilities = powers / powers.sum(-1, keepdims=True)
        for i in range(count):
            scores[i].add(probabilities[:, i], labels)
        scores[-1].add(probabilities.mean(1), labels)
        classes = logits.argmax(-1)
        different += (classes[:, pairs[0]] != classes[:, pairs[1]]).sum()
    shares = [None] * count + [float(different / max(1, len(pairs[0])) / len(examples))]
    names = [f"member {i}" for i in range(count)] + ["ensemble"]
    return [
        {"model": name, **score.results(), "disagreement": share}
        for name, score, share in zip(names, scores, shares, strict=True)
    ]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the scores of `measure` as text: means over members, and over corruptions.

    Args:
        rows: What `measure` returns.

    Returns:
        Lines of text: a head, and for each severity one of the members and one of their ensemble.

    Example:

    >>> names = "accuracy", "negative_log_likelihood", "brier_score", "calibration_error"
    >>> scores = dict.fromkeys(names, 0.25)
    >>> clean = {"corruption": "none", "severity": 0}
    >>> rows = [{**clean, "model": "member 0", **scores, "disagreement": None}]
    >>> rows += [{**clean, "model": "ensemble", **scores, "disagreement": 0.1}]
    >>> print(kr.ensemble.table(rows))
    pictures    model     accuracy     NLL   Brier     ECE  disagreement
    clean       members    25.00 %  0.2500  0.2500  0.2500
    clean       ensemble   25.00 %  0.2500  0.2500  0.2500       10.00 %
    """
    heads = ("pictures", "model", "accuracy", "NLL", "Brier", "ECE", "disagreement")
    lines = ["{:<11} {:<8} {:>9} {:>7} {:>7} {:>7} {:>13}".format(*heads)]
    for severity in sorted({row["severity"] for row in rows}):
        for name, single in (("members", True), ("ensemble", False)):
            chosen = [
                row
                for row in rows
                if row["severity"] == severity and (row["model"] != "ensemble") == single
            ]
            accuracy, *others = (np.mean([row[metric] for row in chosen]) for metric in METRICS)
            line = f"{f'severity {severity}' if severity else 'clean':<11} {name:<8}"
            line += f" {100 * accuracy:7.2f} %" + "".join(f" {value:7.4f}" for value in others)
            if not single:
                line += f" {100 * np.mean([row['disagreement'] for row in chosen]):11.2f} %"
            lines.append(line)
    return "\n".join(lines)


def write_csv(rows: Sequence[dict[str, Any]], path: str | os.PathLike) -> None:
    """Writes the rows of `measure` into a CSV file.

    Args:
        rows: What `measure` returns.
        path: The file.

    Raises:
        Mistake: If there are none.

    Example:

    >>> kr.ensemble.write_csv([{"model": "ensemble", "accuracy": 0.5}], "rows.csv")
    >>> open("rows.csv").read()
    'model,accuracy\\nensemble,0.5\\n'
    """
    if not rows:
        raise Mistake(f"`rows` must be what `measure` returns. Received: rows={rows!r}.")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write(path, text.getvalue())
