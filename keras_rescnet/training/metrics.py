"""What a run measures, and the rows of its log, one per epoch."""

import keras
from keras import ops

METRICS = ("loss", "accuracy", "top5_accuracy")  # the columns of `statistics`


def statistics(labels, logits, label_smoothing=0.0):
    """Returns the metrics of each row, a tensor `(rows, len(METRICS))` of float32.

    The columns are the cross-entropy, and 1 or 0 for whether the true class has the highest logit
    and for whether it is among the five highest. Of equal highest logits the first class counts as
    the answer; a class is among the five highest if fewer than five have a higher logit.

    Args:
        labels: Probabilities `(rows, classes)`; the true class has the highest.
        logits: `(rows, classes)`.
        label_smoothing: Share of every label that is spread over all classes.

    Example:

    >>> from keras_rescnet.training.metrics import statistics
    >>> rows = statistics(np.eye(2, 3, dtype="float32"), np.eye(3, dtype="float32")[[0, 2]])
    >>> keras.ops.convert_to_numpy(rows).round(4)
    array([[0.5514, 1.    , 1.    ],
           [1.5514, 0.    , 1.    ]], dtype=float32)
    """
    logits = ops.cast(logits, "float32")
    losses = keras.losses.categorical_crossentropy(
        labels, logits, from_logits=True, label_smoothing=label_smoothing
    )
    truth = ops.argmax(labels, axis=-1)
    return ops.stack(
        [
            losses,
            ops.cast(ops.equal(ops.argmax(logits, axis=-1), truth), "float32"),
            ops.cast(ops.in_top_k(truth, logits, k=min(5, logits.shape[-1])), "float32"),
        ],
        axis=-1,
    )


def means(split, sums, count):
    """Returns summed statistics as named means: `{"test_loss": ..., "test_accuracy": ..., ...}`."""
    values = [float(value) / count for value in sums]
    return {f"{split}_{name}": value for name, value in zip(METRICS, values, strict=True)}


def not_measured(*splits):
    """Returns the same columns of the splits, with `None` for every value."""
    return {f"{split}_{name}": None for split in splits for name in METRICS}


def best_row(rows):
    """Returns the first row with the highest test accuracy, or `None` if nothing was tested."""
    tested = [row for row in rows if row["test_accuracy"] is not None]
    return max(tested, key=lambda row: row["test_accuracy"], default=None)


def results_of(rows):
    """Returns the results of a run: the measurements of its last epoch, and the best epoch's."""
    best = best_row(rows)
    return {
        **{name: value for name, value in rows[-1].items() if name != "learning_rate"},
        "best_test_accuracy": best["test_accuracy"],
        "best_epoch": best["epoch"],
    }
