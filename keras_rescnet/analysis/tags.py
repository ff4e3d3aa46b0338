"""How well a model finds tags, of which a picture has any number."""

import keras
import numpy as np

THRESHOLD = 0.5  # probability at or above which a tag is assigned, where nothing else was chosen


def sigmoid(logits) -> np.ndarray:
    """Returns probabilities in float64."""
    logits = np.asarray(logits, "float64")
    return np.exp(-np.logaddexp(0.0, -logits))


def tag_metrics(labels, logits, loss) -> dict[str, float]:
    """Returns what is measured of all pictures together.

    Args:
        labels: 0 and 1, `(N, tags)`.
        logits: `(N, tags)`.
        loss: Function of labels and logits that returns the loss of each picture.

    Returns:
        A dict of `loss`, its mean; `f1`, of all tags of all pictures together, and `macro_f1`, the
        mean over tags, both at probabilities of `THRESHOLD`; and `mean_average_precision`, the
        mean over the tags that some picture has.
    """
    logits = np.asarray(logits, "float32")
    losses = loss(*map(keras.ops.convert_to_tensor, (np.asarray(labels, "float32"), logits)))
    given = sigmoid(logits) >= THRESHOLD
    precisions = average_precision(labels, logits)
    known = precisions[~np.isnan(precisions)]
    return {
        "loss": float(np.mean(keras.ops.convert_to_numpy(losses).astype("float64"))),
        "f1": float(f1(labels, given, axis=None)),
        "macro_f1": float(np.mean(f1(labels, given))),
        "mean_average_precision": float(np.mean(known)) if len(known) else 0.0,
    }


def f1(labels, given, axis=0):
    """Returns the harmonic mean of precision and recall, 0 where nothing is true or given.

        F1 = 2 found / (given + true)

    Args:
        labels: 0 and 1, `(N, tags)`.
        given: Which tags are given, `(N, tags)`.
        axis: 0 for one number per tag; `None` for all tags together.
    """
    labels, given = np.asarray(labels, "float64"), np.asarray(given, "float64")
    total = given.sum(axis) + labels.sum(axis)
    return 2.0 * (labels * given).sum(axis) / np.where(total > 0, total, 1.0)


def average_precision(labels, scores) -> np.ndarray:
    """Returns the average precision of each tag, `(tags,)`; NaN of a tag that no picture has.

        AP = sum_k (recall_k - recall_(k-1)) precision_k

    over the distinct scores from the highest to the lowest, as scikit-learn defines it: pictures
    of one score are ranked together.

    Args:
        labels: 0 and 1, `(N, tags)`.
        scores: Logits or probabilities, `(N, tags)`.
    """
    found = []
    for label, score in zip(np.transpose(labels), np.transpose(scores), strict=True):
        _, hits, ranks = _cuts(label, score)
        if hits[-1] == 0:
            found.append(np.nan)
            continue
        recall = hits / hits[-1]
        found.append(np.sum(np.diff(recall, prepend=0.0) * hits / ranks))
    return np.array(found)


def best_thresholds(labels, logits) -> np.ndarray:
    """Returns the probabilities at or above which to assign each tag, for the highest F1 of each.

    A threshold lies in the middle between the probabilities of two pictures, or between the lowest
    one and 0. A tag that no picture has gets `THRESHOLD`.

    Args:
        labels: 0 and 1, `(N, tags)`.
        logits: `(N, tags)`.

    Returns:
        float64 `(tags,)`.
    """
    thresholds = []
    for label, score in zip(np.transpose(labels), np.transpose(sigmoid(logits)), strict=True):
        scores, hits, ranks = _cuts(label, score)
        cut = int(np.argmax(2.0 * hits / (ranks + hits[-1])))
        below = scores[cut + 1] if cut + 1 < len(scores) else 0.0
        thresholds.append((scores[cut] + below) / 2.0 if hits[-1] else THRESHOLD)
    return np.array(thresholds)


def _cuts(label, score):
    """Returns the distinct scores, falling, and how many pictures with the tag, and in all, have
    at least each."""
    order = np.argsort(-score, kind="stable")
    score, hits = np.asarray(score)[order], np.cumsum(np.asarray(label, "float64")[order])
    last = np.flatnonzero(np.append(np.diff(score) != 0, True))
    return score[last], hits[last], last + 1.0
