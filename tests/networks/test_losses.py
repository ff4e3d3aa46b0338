"""Losses beside their closed forms in float64, Keras's own, and finite differences."""

import copy
import functools

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet import losses
from support.gradients import pull_back

generator = np.random.default_rng(0)
LOGITS = generator.normal(0, 3, (12, 5)).astype("float32")
TAGS = generator.integers(0, 2, (12, 5)).astype("float32")
CLASSES = np.eye(5, dtype="float32")[generator.integers(0, 5, 12)]
WEIGHTS = np.array([1.0, 4.0, 0.5, 0.0, 2.0], "float32")


def log_softmax(x):
    x = np.asarray(x, "float64")
    return (
        x
        - np.log(np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True))
        - x.max(1, keepdims=True)
    )


def log_sigmoid(x):
    return -np.logaddexp(0.0, -np.asarray(x, "float64"))


def by_class(labels, logits, weights, gamma=0.0):
    log_p = log_softmax(logits)
    return -(weights * labels * (1 - np.exp(log_p)) ** gamma * log_p).sum(1)


def by_tag(labels, logits, weights, gamma=0.0):
    """The closed form for labels of 0 and 1."""
    log_p = np.where(labels == 1, log_sigmoid(logits), log_sigmoid(-np.asarray(logits)))
    return -(np.where(labels == 1, weights, 1) * (1 - np.exp(log_p)) ** gamma * log_p).mean(1)


CLOSED_FORMS = {
    "categorical": (losses.categorical_crossentropy, CLASSES, by_class),
    "binary": (losses.binary_crossentropy, TAGS, by_tag),
    "categorical focal": (losses.categorical_focal_crossentropy, CLASSES, by_class),
    "binary focal": (losses.binary_focal_crossentropy, TAGS, by_tag),
}


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_losses_are_their_closed_forms(name, weights):
    loss, labels, closed_form = CLOSED_FORMS[name]
    for gamma in (0.0, 0.5, 2.0, 3.0) if "focal" in name else (0.0,):
        options = {"gamma": gamma} if "focal" in name else {}
        ours = loss(labels, LOGITS, class_weights=weights, **options)
        expected = closed_form(labels, LOGITS, 1.0 if weights is None else weights, gamma)
        assert ours.shape == (12,)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(ours), expected, rtol=3e-5, atol=1e-6)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_gradients_are_those_of_the_closed_forms(name):
    loss, labels, closed_form = CLOSED_FORMS[name]
    gamma = 2.0 if "focal" in name else 0.0
    function = functools.partial(loss, labels, class_weights=WEIGHTS)
    _, gradient = pull_back(function, LOGITS, np.ones(12, "float32"), compiled=True)
    expected = np.zeros((12, 5))
    for column in range(5):
        step = 1e-5 * np.eye(5)[column]
        above, below = (
            closed_form(labels, LOGITS + sign * step, WEIGHTS, gamma) for sign in (1, -1)
        )
        expected[:, column] = (above - below) / 2e-5
    np.testing.assert_allclose(gradient, expected, atol=2e-5)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_gradients_of_what_is_most_wrong_do_not_vanish(name):
    """Where Keras's own focal losses clip probabilities, at 1e-7, their gradient is 0."""
    loss, _, _ = CLOSED_FORMS[name]
    labels = np.array([[1.0, 0.0]], "float32")
    right, wrong = np.array([[60.0, -60.0]], "float32"), np.array([[-60.0, 60.0]], "float32")
    upstream = np.ones(1, "float32")
    value, gradient = pull_back(functools.partial(loss, labels), wrong, upstream)
    share = 2 if "binary" in name else 1
    np.testing.assert_allclose(value, 120 / share if share == 1 else 60, rtol=1e-6)
    np.testing.assert_allclose(gradient, np.array([[-1.0, 1.0]]) / share, rtol=1e-6)
    value, gradient = pull_back(functools.partial(loss, labels), right, upstream)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_focal_losses_agree_with_those_of_keras():
    ours = losses.binary_focal_crossentropy(TAGS, LOGITS, gamma=1.5)
    theirs = keras.losses.binary_focal_crossentropy(TAGS, LOGITS, gamma=1.5, from_logits=True)
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (ours, theirs)), rtol=1e-4)
    ours = losses.categorical_focal_crossentropy(CLASSES, LOGITS, gamma=1.5)
    theirs = keras.losses.categorical_focal_crossentropy(
        CLASSES, LOGITS, alpha=1.0, gamma=1.5, from_logits=True
    )
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (ours, theirs)), rtol=1e-4)


def test_the_loss_of_mixed_labels_is_the_mixture_of_the_losses():
    """Of MixUp and CutMix; with weights too."""
    for loss, labels in (
        (losses.categorical_crossentropy, CLASSES),
        (losses.binary_crossentropy, TAGS),
    ):
        other = np.roll(labels, 1, axis=0)
        for weights in (None, WEIGHTS):
            mixed = loss(0.3 * labels + 0.7 * other, LOGITS, class_weights=weights)
            apart = [loss(each, LOGITS, class_weights=weights) for each in (labels, other)]
            expected = 0.3 * apart[0] + 0.7 * apart[1]
            np.testing.assert_allclose(
                *map(keras.ops.convert_to_numpy, (mixed, expected)), rtol=2e-6, atol=1e-6
            )


def test_smoothed_labels_are_those_of_keras():
    smooth = {"label_smoothing": 0.1}
    ones = np.ones(5, "float32")
    for ours, theirs, labels in (
        (losses.categorical_crossentropy, keras.losses.categorical_crossentropy, CLASSES),
        (losses.binary_crossentropy, keras.losses.binary_crossentropy, TAGS),
    ):
        expected = keras.ops.convert_to_numpy(theirs(labels, LOGITS, from_logits=True, **smooth))
        for weights in (None, ones):
            found = keras.ops.convert_to_numpy(
                ours(labels, LOGITS, class_weights=weights, **smooth)
            )
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_distillation_is_its_closed_form():
    teacher = generator.normal(0, 2, (12, 5)).astype("float32")
    loss = losses.Distillation("teacher.keras", temperature=3.0, alpha=0.25)
    ours = keras.ops.convert_to_numpy(loss(CLASSES, LOGITS, teacher))
    theirs = log_softmax(teacher / 3)
    divergence = (np.exp(theirs) * (theirs - log_softmax(LOGITS / 3))).sum(1)
    expected = 0.75 * by_class(CLASSES, LOGITS, 1.0) + 0.25 * 9 * divergence
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    plain = keras.ops.convert_to_numpy(loss(CLASSES, LOGITS))
    np.testing.assert_allclose(plain, by_class(CLASSES, LOGITS, 1.0), rtol=1e-5)
    only = losses.Distillation("teacher.keras", alpha=1.0)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(only(CLASSES, teacher, teacher)), 0, atol=1e-6
    )


def test_the_teacher_of_a_recipe_is_identified_by_its_bytes(tmp_path):
    one, same, other = (tmp_path / f"{name}.keras" for name in ("one", "same", "other"))
    for file, data in ((one, b"weights"), (same, b"weights"), (other, b"others")):
        file.write_bytes(data)

    def digest(teacher, **options):
        loss = losses.Distillation(teacher, **options)
        recipe = kr.Recipe(
            dataset=kr.data.DIGITS,
            model=kr.models.CifarResNet8,
            optimizer=kr.optimizers.SGD,
            loss=loss,
            batch_size=32,
            epochs=2,
            learning_rate=0.1,
        )
        return recipe.digest()

    assert digest(one) == digest(same) == digest(str(one), temperature=2.0)
    others = [digest(other), digest(one, temperature=3.0), digest(kr.models.CifarResNet8)]
    others += [digest(one, alpha=0.9), digest(one, loss=losses.categorical_focal_crossentropy)]
    assert len({digest(one), *others}) == 6


def test_losses_of_keras_are_taken_before_their_mean():
    loss = losses.per_example(keras.losses.BinaryFocalCrossentropy(from_logits=True, gamma=1.5))
    options = {"from_logits": True, "gamma": 1.5}
    partial = functools.partial(keras.losses.binary_focal_crossentropy, **options)
    assert losses.per_example(partial) is partial
    expected = keras.losses.binary_focal_crossentropy(TAGS, LOGITS, gamma=1.5, from_logits=True)
    found = loss(TAGS, LOGITS)
    assert found.shape == (12,)
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (found, expected)))


FUNCTIONS = [getattr(losses, name) for name in losses.__all__ if name != "Distillation"]


@pytest.mark.parametrize("loss", FUNCTIONS)
def test_a_compiled_model_is_loaded_with_its_loss(loss, tmp_path):
    """And not with Keras's of the same name, which takes probabilities."""
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(5)])
    model.compile("sgd", loss)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss is loss and copy.deepcopy(model).loss is loss
    expected = np.mean(keras.ops.convert_to_numpy(loss(CLASSES, model(LOGITS))))
    found = loaded.evaluate(LOGITS, CLASSES, verbose=0)
    assert found == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("loss", FUNCTIONS)
def test_labels_are_not_broadcast(loss):
    square = LOGITS[:5]
    for labels in (np.arange(5.0), np.arange(5.0)[:, None]):
        with pytest.raises(kr.Mistake, match="keras.ops.one_hot .* Received: labels of shape .5,"):
            loss(labels.astype("float32"), square)
    with pytest.raises(
        kr.Mistake, match="Received: labels of shape .1, 5., logits of shape .5, 5."
    ):
        loss(CLASSES[:1], square)
    with pytest.raises(kr.Mistake, match="one number for each class, 5. Received: .*of shape .1,"):
        loss(CLASSES, LOGITS, class_weights=[3.0])


@pytest.mark.parametrize("loss", FUNCTIONS)
def test_weights_have_the_dtype_of_the_logits(loss):
    half = loss(CLASSES.astype("float16"), LOGITS.astype("float16"), class_weights=WEIGHTS)
    assert keras.backend.standardize_dtype(half.dtype) == "float16"
    whole = keras.ops.convert_to_numpy(loss(CLASSES, LOGITS, class_weights=WEIGHTS))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(half), whole, rtol=0.02, atol=0.02)
