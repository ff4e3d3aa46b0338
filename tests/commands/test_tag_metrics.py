"""The numbers of tags beside scikit-learn's."""

import keras
import numpy as np
import pytest
from sklearn import metrics

from keras_rescnet.analysis import tags
from keras_rescnet.losses import binary_crossentropy


def draw(seed, pictures=200, count=6, levels=None):
    """Returns labels of rarer and rarer tags, and scores that know something of them."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((pictures, count)) < 1 / np.arange(2, count + 2)).astype("float32")
    logits = generator.normal(2 * labels - 1, 1.5).astype("float32")
    return labels, logits if levels is None else np.round(logits * levels) / levels


@pytest.mark.parametrize("levels", [None, 1], ids=["distinct", "many equal scores"])
def test_average_precision_is_that_of_scikit_learn(levels):
    labels, logits = draw(0, levels=levels)
    expected = metrics.average_precision_score(labels, logits, average=None)
    np.testing.assert_allclose(tags.average_precision(labels, logits), expected, rtol=1e-12)
    measured = tags.tag_metrics(labels, logits, binary_crossentropy)
    assert measured["mean_average_precision"] == pytest.approx(
        metrics.average_precision_score(labels, logits, average="macro"), rel=1e-12
    )


def test_f1_is_that_of_scikit_learn():
    labels, logits = draw(1)
    given = logits >= 0
    measured = tags.tag_metrics(labels, logits, binary_crossentropy)
    assert measured["f1"] == pytest.approx(metrics.f1_score(labels, given, average="micro"))
    assert measured["macro_f1"] == pytest.approx(metrics.f1_score(labels, given, average="macro"))
    by_tag = metrics.f1_score(labels, given, average=None)
    np.testing.assert_allclose(tags.f1(labels, given), by_tag, rtol=1e-12)
    expected = metrics.log_loss(labels.ravel(), tags.sigmoid(logits).ravel())
    assert measured["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_tag_that_no_picture_has_is_left_out_of_the_mean():
    labels, logits = draw(2)
    labels[:, 3] = 0
    measured = tags.tag_metrics(labels, logits, binary_crossentropy)
    kept = [0, 1, 2, 4, 5]
    expected = metrics.average_precision_score(labels[:, kept], logits[:, kept], average="macro")
    assert measured["mean_average_precision"] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(tags.average_precision(labels, logits)[3])
    assert tags.best_thresholds(labels, logits)[3] == tags.THRESHOLD
    nothing = tags.tag_metrics(0 * labels, logits - 99, binary_crossentropy)
    assert (nothing["mean_average_precision"], nothing["f1"], nothing["macro_f1"]) == (0, 0, 0)


@pytest.mark.parametrize("levels", [None, 1], ids=["distinct", "many equal scores"])
def test_no_threshold_gives_a_higher_f1(levels):
    labels, logits = draw(3, levels=levels)
    thresholds = tags.best_thresholds(labels, logits)
    probabilities = tags.sigmoid(logits)
    found = tags.f1(labels, probabilities >= thresholds)
    for column, best in enumerate(found):
        precision, recall, _ = metrics.precision_recall_curve(
            labels[:, column], probabilities[:, column]
        )
        curve = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        assert best == pytest.approx(curve.max(), rel=1e-12)


def test_thresholds_lie_between_the_probabilities_of_two_pictures():
    logits = np.array([[3.0], [-1.0], [-2.0], [-40.0]])
    probabilities = tags.sigmoid(logits)[:, 0]
    for count in (1, 2, 3):
        labels = (np.arange(4) < count).astype("float32")[:, None]
        expected = (probabilities[count - 1] + probabilities[count]) / 2
        assert tags.best_thresholds(labels, logits)[0] == pytest.approx(expected, rel=1e-12)
    assert tags.best_thresholds(np.ones((4, 1)), logits)[0] == pytest.approx(probabilities[3] / 2)


def test_probabilities_do_not_overflow():
    with np.errstate(all="raise", under="ignore"):
        found = tags.sigmoid(np.array([-1e4, -60.0, 0.0, 60.0, 1e4], "float32"))
    np.testing.assert_allclose(found, [0, np.exp(-60), 0.5, 1, 1], rtol=1e-12)


def test_the_loss_may_be_any_function():
    labels, logits = draw(4)
    measured = tags.tag_metrics(
        labels, logits, lambda labels, logits: keras.ops.sum(labels * logits, axis=-1)
    )
    assert measured["loss"] == pytest.approx(float((labels * logits).sum(1).mean()), rel=1e-5)
