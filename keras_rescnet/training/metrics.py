"""What a run has measured: rows of its log, one an epoch."""

import keras
from keras import ops

_NAMES = ("loss", "accuracy", "top5_accuracy")


def means(split, sums, count):
    """Returns named means of summed statistics: `{"test_loss": ..., "test_accuracy": ..., ...}`."""
    values = [float(value) / count for value in sums]
    return {f"{split}_{name}": value for name, value in zip(_NAMES, values, strict=True)}


def not_measured(*splits):
    """Returns the same columns, empty."""
    return {f"{split}_{name}": "" for split in splits for name in _NAMES}


def best_row(rows):
    """Returns the first row of the highest test accuracy, or `None` if nothing was tested."""
    tested = [row for row in rows if row["test_accuracy"] != ""]
    return max(tested, key=lambda row: row["test_accuracy"], default=None)


def results_of(rows):
    """Returns the last epoch's measurements, which are the result, and beside them the best's."""
    best = best_row(rows)
    return {
        **{name: value for name, value in rows[-1].items() if name != "learning_rate"},
        "best_test_accuracy": best["test_accuracy"],
        "best_epoch": best["epoch"],
    }


def statistics(labels, logits, label_smoothing=0.0):
    """Returns `(rows, 3)` float32: cross-entropy, hit by the first guess, by the first five.

    Args:
        labels: Probabilities `(rows, classes)`.
        logits: `(rows, classes)`.
        label_smoothing: Share of every label that is spread over all classes.
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
