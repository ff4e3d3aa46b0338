"""What a classifier does on examples: accuracy, calibration error, confusion, or its tags."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_rescnet.mistake import Mistake, shorten

if TYPE_CHECKING:
    import keras

    from keras_rescnet.data import Dataset

CALIBRATION_BINS = 15


def evaluate(
    run: str | os.PathLike | keras.Model,
    dataset: Dataset | None = None,
    *,
    split: str = "test",
    data_dir: str | os.PathLike | None = None,
    batch_size: int = 128,
    loss: Callable | None = None,
    views: Callable | None = None,
) -> dict[str, Any]:
    """Measures a trained classifier on a split of a dataset.

    The pictures are prepared as they were for the tests of the training, and normalized with the
    statistics of the training set, also if `dataset` is another one.

    Args:
        run: The folder of a finished run, or a `keras.Model` from normalized images to logits. A
            folder that has a `recipe.py` is trusted: the recipe is executed.
        dataset: What to measure on; that of the run by default. Needed with a model.
        split: `"test"` or `"train"`. Defaults to `"test"`.
        data_dir: Where TensorFlow Datasets keeps its data, or the folder of an `image_folder()`.
            That of the run by default, unless `dataset` has a place of its own.
        batch_size: Images per step. Defaults to 128.
        loss: The loss to report, as the `loss` of a recipe. That of the run by default, or
            cross-entropy.
        views: Function of `kr.views` over whose views of an image the logits are averaged. That of
            the run's recipe by default, as in the tests of the training.

    Returns:
        A dict of `images` (their number), `loss`, `accuracy`, `top5_accuracy` and
        `calibration_error` (all three in [0, 1]), `class_accuracy` (a dict by class name; `None`
        for a class without images), and `confusion`, the counts by true and predicted class.

        Of a `multi_label` dataset a dict of `images`, `loss`, `f1` (of all tags together),
        `macro_f1` (the mean over tags), `mean_average_precision`, and dicts by tag:
        `class_average_precision` (`None` for a tag without images), `class_f1`, and `thresholds`.
        All F1 are at a probability of 0.5, but `f1_at_thresholds` is at those that the run chose
        on its training pictures; for a `keras.Model`, also 0.5.

    Raises:
        Mistake: If there is no finished run or no such data, or the model does not return logits of
            the data's classes.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(10)]
    ... )
    >>> measured = kr.evaluate(model, kr.data.DIGITS)
    >>> measured["images"], len(measured["confusion"])
    (355, 10)
    """
    from keras_rescnet import data
    from keras_rescnet.analysis.runs import load_run
    from keras_rescnet.models.parts import check_logits

    if not isinstance(dataset, data.Dataset | None):
        raise Mistake(f"`dataset` must be a kr.data.Dataset. Received: dataset={shorten(dataset)}.")
    thresholds = multi_label = finished = None
    if isinstance(run, str | os.PathLike):
        finished = load_run(run)
        model, names, thresholds = finished.model, finished.class_names, finished.thresholds
        multi_label = finished.multi_label
        loss = finished.loss if loss is None else loss
        views = finished.views if views is None else views
        chosen = finished.dataset if dataset is None else finished.prepared(dataset)
        data_dir = finished.place_of(dataset, data_dir)
    elif dataset is not None and hasattr(run, "predict_on_batch"):
        model, names, chosen = run, (), dataset
    else:
        raise Mistake(
            "`run` must be the folder of a finished run, or a keras.Model with a `dataset`. "
            f"Received: run={shorten(run)}, dataset={shorten(dataset)}."
        )
    check_logits(model, "the evaluation")
    examples = data.load(chosen, split, None if data_dir is None else str(data_dir))
    if finished is not None:
        examples = finished.as_tested(examples)
    if multi_label not in (None, examples.dataset.multi_label):
        kind = "any number of tags" if multi_label else "one class"
        raise Mistake(
            f"The data must have {kind} per picture, as those that the run was trained on. "
            f"Received: {examples.dataset.name} with multi_label={not multi_label}."
        )
    check_fits(examples, model, names)
    return measure(model, examples, batch_size, loss, thresholds, views)


def check_fits(examples, model, names=()):
    """Checks that examples have the model's size, and its classes, in the order of known `names`.

    Raises:
        Mistake: If they have not.
    """
    shape, size = getattr(model, "input_shape", None), examples.dataset.image_shape
    if isinstance(shape, tuple) and len(shape) == 4 and not _is_of_shape(size, shape[1:]):
        raise Mistake(
            f"The data must have the model's images, of shape {shape[1:]}: an image_folder or an "
            f"image_table has them with its `size`. Received: {examples.dataset.name} of {size}."
        )
    given, known = examples.class_names, getattr(model, "output_shape", None)
    if known is not None:  # as of all but subclassed models: `measure` looks again
        _check_count(examples, known[-1])
    if names and set(given) != set(names):
        different = sorted(set(given) ^ set(names))
        raise Mistake(
            f"The data must have the model's classes, {shorten(', '.join(names), str)}. Received: "
            f"{examples.dataset.name}, which differs in {shorten(', '.join(different), str)}."
        )
    if names and given != names:
        raise Mistake(
            f"The classes must be in the model's order, {shorten(', '.join(names), str)}. "
            f"Received: {shorten(', '.join(given), str)}. A file labels.txt in the "
            "folder gives an order."
        )


def _is_of_shape(size, shape):
    return all(side in (None, given) for given, side in zip(size, shape, strict=True))


def _check_count(examples, classes):
    if len(examples.class_names) != classes:
        raise Mistake(
            f"The data must have the model's {classes} classes. "
            f"Received: {examples.dataset.name} with {len(examples.class_names)}."
        )


def measure(
    model, examples, batch_size=128, loss=None, thresholds=None, views=None
) -> dict[str, Any]:
    """Returns what `evaluate` returns, of a model and examples, in one pass over them.

    Args:
        model: From normalized images to logits.
        examples: What `keras_rescnet.data.load` returns.
        batch_size: Images per step.
        loss: As the `loss` of a recipe.
        thresholds: Probabilities at or above which to assign each tag, by name; 0.5 if `None`.
        views: As the `test_views` of a recipe.
    """
    from keras_rescnet.losses import binary_crossentropy, categorical_crossentropy, per_example
    from keras_rescnet.training.metrics import METRICS, statistics

    if examples.dataset.multi_label:
        loss = per_example(binary_crossentropy if loss is None else loss)
        return _measure_tags(model, examples, batch_size, loss, thresholds, views)
    loss = per_example(categorical_crossentropy if loss is None else loss)
    classes = len(examples.class_names)
    sums = np.zeros(len(METRICS))
    confusion = np.zeros((classes, classes), int)
    calibration = Calibration()
    for logits, labels in predictions(model, examples, batch_size, views):
        _check_count(examples, logits.shape[-1])
        sums += np.asarray(statistics(labels, logits, loss=loss), "float64").sum(0)
        truth, predicted = labels.argmax(1), logits.argmax(1)
        np.add.at(confusion, (truth, predicted), 1)
        scores = np.exp(logits.astype("float64") - logits.max(1, keepdims=True))
        calibration.add(scores.max(1) / scores.sum(1), predicted == truth)
    counts = confusion.sum(1)
    return {
        "images": len(examples),
        **{name: float(value) for name, value in zip(METRICS, sums / len(examples), strict=True)},
        "calibration_error": calibration.error(),
        "class_accuracy": {
            name: float(confusion[i, i] / counts[i]) if counts[i] else None
            for i, name in enumerate(examples.class_names)
        },
        "confusion": confusion.tolist(),
    }


def _measure_tags(model, examples, batch_size, loss, thresholds, views):
    from keras_rescnet.analysis import tags

    found = predictions(model, examples, batch_size, views)
    logits, labels = map(np.concatenate, zip(*found, strict=True))
    _check_count(examples, logits.shape[-1])
    names = examples.class_names
    probabilities = tags.sigmoid(logits)
    chosen = list(thresholds.values()) if thresholds else [tags.THRESHOLD] * len(names)
    given = probabilities >= chosen
    by_tag = tags.f1(labels, probabilities >= tags.THRESHOLD)
    precisions = tags.average_precision(labels, logits)
    return {
        "images": len(examples),
        **tags.tag_metrics(labels, logits, loss),
        "f1_at_thresholds": float(tags.f1(labels, given, axis=None)),
        "class_average_precision": {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(names, precisions, strict=True)
        },
        "class_f1": dict(zip(names, by_tag.tolist(), strict=True)),
        "thresholds": dict(zip(names, chosen, strict=True)),
    }


def predictions(
    model, examples, batch_size=128, views=None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields a model's outputs `(n, ...)` and the labels `(n, classes)`, batch by batch.

    Every example is there once, in order; the copies that fill the last batch are left out. With
    `views`, outputs are means over them.
    """
    from keras_rescnet import data
    from keras_rescnet.gaussian import loops_in_graphs
    from keras_rescnet.views import averaged

    def predict(images):
        with loops_in_graphs():  # as in the tests of a run
            return np.asarray(model.predict_on_batch(np.asarray(images)))

    for batch in data.evaluation_batches(examples, batch_size=batch_size).as_numpy_iterator():
        kept = batch["weights"] > 0
        logits = averaged(predict, batch["images"], views)
        yield logits[kept], batch["labels"][kept]


@dataclasses.dataclass
class Calibration:
    """The expected calibration error of predictions, batch by batch.

        sum over bins of (share of examples) |mean confidence - accuracy|

    Reference:
        Guo et al., "On calibration of modern neural networks", ICML 2017, Eq. 3.

    Args:
        bins: Number of equal bins over (0, 1].
    """

    bins: int = CALIBRATION_BINS

    def __post_init__(self):
        self.count, self.gaps = 0, np.zeros(self.bins)

    def add(self, confidences, hits):
        """Adds the probabilities of predictions, `(n,)`, and whether each is right, `(n,)`."""
        confidences = np.asarray(confidences, "float64")
        index = np.clip(np.ceil(confidences * self.bins).astype(int) - 1, 0, self.bins - 1)
        self.gaps += np.bincount(index, weights=confidences - np.asarray(hits), minlength=self.bins)
        self.count += len(confidences)

    def error(self) -> float:
        """Returns the error of all that was added."""
        return float(np.abs(self.gaps).sum() / self.count)
