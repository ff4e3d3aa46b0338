"""What a classifier does on examples: accuracy, calibration error, confusion."""

import numpy as np

from keras_rescnet import data


def evaluate(model, examples, batch_size=128):
    """Returns what a classifier does on examples.

    Args:
        model: Normalized images to logits.
        examples: What `keras_rescnet.data.load` returns.
        batch_size: Images at a time.

    Returns:
        A dict of `loss`, `accuracy`, `top5_accuracy`, `calibration_error`, all in [0, 1] but the
        loss, `class_accuracy` (a dict by class name; `None` for a class without examples), and
        `confusion`, `(true class, guessed class)` counts.
    """
    probabilities, labels = guess(model, examples, batch_size)
    classes = probabilities.shape[1]
    guesses = probabilities.argmax(1)
    own = probabilities[np.arange(len(labels)), labels]
    better = (probabilities > own[:, None]).sum(1)
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels, guesses), 1)
    counts = confusion.sum(1)
    return {
        "images": len(labels),
        "loss": float(-np.log(np.maximum(own, np.finfo("float64").tiny)).mean()),
        "accuracy": float((guesses == labels).mean()),
        "top5_accuracy": float((better < min(5, classes)).mean()),
        "calibration_error": calibration_error(probabilities.max(1), guesses == labels),
        "class_accuracy": {
            name: float(confusion[i, i] / counts[i]) if counts[i] else None
            for i, name in enumerate(examples.class_names)
        },
        "confusion": confusion.tolist(),
    }


def guess(model, examples, batch_size):
    """Returns probabilities `(N, classes)` in float64 and true classes `(N,)`."""
    probabilities, labels = [], []
    for batch in data.evaluation_batches(examples, batch_size=batch_size).as_numpy_iterator():
        logits = model.predict_on_batch(batch["images"])
        kept = batch["weights"] > 0
        scores = logits[kept].astype("float64")
        scores = np.exp(scores - scores.max(1, keepdims=True))
        probabilities.append(scores / scores.sum(1, keepdims=True))
        labels.append(batch["labels"][kept].argmax(1))
    return np.concatenate(probabilities), np.concatenate(labels)


def calibration_error(confidences, hits, bins=15):
    """Returns the expected calibration error.

        sum over bins of (share of examples) |mean confidence - accuracy|

    Reference:
        Guo et al., "On calibration of modern neural networks", ICML 2017, Eq. 3.

    Args:
        confidences: Probability of each guess, `(N,)`.
        hits: Whether each guess is right, `(N,)`.
        bins: Number of equal bins over (0, 1].
    """
    index = np.clip(np.ceil(np.asarray(confidences) * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(index, weights=np.asarray(confidences) - np.asarray(hits), minlength=bins)
    return float(np.abs(gaps).sum() / len(index))
