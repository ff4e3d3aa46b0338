"""What a run has measured: rows of its log, one an epoch."""

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
