"""What a run measures, and the rows of its log, one per epoch."""

import functools

from keras import ops

from keras_rescnet.analysis.tags import THRESHOLD, best_thresholds, f1, sigmoid, tag_metrics
from keras_rescnet.losses import categorical_crossentropy

METRICS = ("loss", "accuracy", "top5_accuracy")  # the columns of `statistics`
TAG_METRICS = ("loss", "f1", "mean_average_precision")  # of pictures with any number of tags


def statistics(labels, logits, *teacher_logits, loss=categorical_crossentropy):
    """Returns the metrics of each row, a tensor `(rows, len(METRICS))` of float32.

    The columns are the loss, and 1 or 0 for whether the true class has the highest logit and for
    whether it is among the five highest. Of equal highest logits the first class counts as the
    answer; a class is among the five highest if fewer than five have a higher logit.

    Args:
        labels: Probabilities `(rows, classes)`; the true class has the highest.
        logits: `(rows, classes)`.
        *teacher_logits: Those of the teacher, for a loss that has one.
        loss: Function of all of these that returns the loss of each row.

    Example:

    >>> from keras_rescnet.training.metrics import statistics
    >>> rows = statistics(np.eye(2, 3, dtype="float32"), np.eye(3, dtype="float32")[[0, 2]])
    >>> keras.ops.convert_to_numpy(rows).round(4)
    array([[0.5514, 1.    , 1.    ],
           [1.5514, 0.    , 1.    ]], dtype=float32)
    """
    logits = ops.cast(logits, "float32")
    losses = loss(labels, logits, *_as_float32(teacher_logits))
    truth = ops.argmax(labels, axis=-1)
    return ops.stack(
        [
            ops.cast(losses, "float32"),
            ops.cast(ops.equal(ops.argmax(logits, axis=-1), truth), "float32"),
            ops.cast(ops.in_top_k(truth, logits, k=min(5, logits.shape[-1])), "float32"),
        ],
        axis=-1,
    )


def tag_statistics(labels, logits, *teacher_logits, loss):
    """Returns of each row the loss, and how many tags are found, given and true, `(rows, 4)`.

    A tag is given where its probability is at least `THRESHOLD`, and found where it is also true.
    Mixed labels count by their shares.

    Args:
        labels: `(rows, tags)` in [0, 1].
        logits: `(rows, tags)`.
        *teacher_logits: Those of the teacher, for a loss that has one.
        loss: Function of all of these that returns the loss of each row.
    """
    logits = ops.cast(logits, "float32")
    labels = ops.cast(labels, "float32")
    losses = loss(labels, logits, *_as_float32(teacher_logits))
    given = ops.cast(ops.greater_equal(ops.sigmoid(logits), THRESHOLD), "float32")
    return ops.stack(
        [
            ops.cast(losses, "float32"),
            ops.sum(labels * given, axis=-1),
            ops.sum(given, axis=-1),
            ops.sum(labels, axis=-1),
        ],
        axis=-1,
    )


def _as_float32(tensors):
    return [ops.cast(tensor, "float32") for tensor in tensors]


class ClassMetrics:
    """The metrics of pictures of one class each: means over the pictures.

    Attributes:
        names: Names of the metrics.
        shown: Those that a person sees after every epoch.
        best: The one whose highest value makes an epoch the best one.

    Args:
        losses: The `Losses` of the run.
    """

    names = METRICS
    shown = METRICS[:2]
    best = "accuracy"

    def __init__(self, losses):
        self.train_statistics = functools.partial(statistics, loss=losses.train)
        self.test_statistics = functools.partial(statistics, loss=losses.test)

    def of_sums(self, sums, count) -> dict[str, float]:
        """Returns the metrics of `count` pictures, of the sums of their statistics."""
        values = [float(value) / count for value in sums]
        return dict(zip(METRICS, values, strict=True))

    def of_test(self, engine, batches, count) -> dict[str, float]:
        """Returns the metrics of batches of `count` pictures, which the engine evaluates."""
        return self.of_sums(engine.evaluate(batches), count)

    def at_end(self, engine, data) -> dict:
        """Returns results of the finished run that no epoch has: none."""
        return {}


class TagMetrics:
    """The metrics of pictures with any number of tags: the loss, F1 and mean average precision.

    In training they are made of sums, without average precision, which is of all pictures
    together. Attributes and arguments are those of `ClassMetrics`.
    """

    names = TAG_METRICS
    shown = TAG_METRICS
    best = "mean_average_precision"

    def __init__(self, losses):
        self.train_statistics = functools.partial(tag_statistics, loss=losses.train)
        self.test_statistics = functools.partial(tag_statistics, loss=losses.test)
        self.test_loss = losses.test

    def of_sums(self, sums, count) -> dict[str, float]:
        """See `ClassMetrics`; F1 is that of all tags of all pictures together."""
        loss, found, given, true = map(float, sums)
        return {"loss": loss / count, "f1": 2 * found / (given + true) if given + true else 0.0}

    def of_test(self, engine, batches, count) -> dict[str, float]:
        """See `ClassMetrics`."""
        labels, logits = engine.predict(batches)
        measured = tag_metrics(labels, logits, self.test_loss)
        return {name: measured[name] for name in TAG_METRICS}

    def at_end(self, engine, data) -> dict:
        """Returns thresholds for the tags, and the F1 that they give in the test.

        They are chosen on the training pictures, as the evaluation prepares them: what a test
        measures must not be chosen by it.

        Args:
            engine: The `Engine`.
            data: The `RunData`.
        """
        train = functools.partial(data.plain_batches, data.train)
        thresholds = best_thresholds(*engine.predict(train))
        labels, logits = engine.predict(data.test_batches)
        names = data.train.class_names
        return {
            "test_f1_at_thresholds": float(f1(labels, sigmoid(logits) >= thresholds, axis=None)),
            "thresholds": dict(zip(names, thresholds.tolist(), strict=True)),
        }


def prefixed(split, values) -> dict[str, float]:
    """Returns the metrics of a split as columns of the log: `{"test_loss": ..., ...}`."""
    return {f"{split}_{name}": value for name, value in values.items()}


def best_row(rows, name="accuracy"):
    """Returns the first row with the highest metric of the test, or `None` if there is none."""
    tested = [row for row in rows if row[f"test_{name}"] is not None]
    return max(tested, key=lambda row: row[f"test_{name}"], default=None)


def results_of(rows, name="accuracy"):
    """Returns the results of a run: the measurements of its last epoch, and the best epoch's.

    Args:
        rows: The rows of the log.
        name: The metric by which an epoch is the best.
    """
    best = best_row(rows, name)
    return {
        **{column: value for column, value in rows[-1].items() if column != "learning_rate"},
        f"best_test_{name}": best[f"test_{name}"],
        "best_epoch": best["epoch"],
    }
