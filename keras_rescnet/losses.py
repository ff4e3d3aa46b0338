"""Losses of a recipe: functions of labels and logits that return one number per picture.

Labels and logits are `(N, classes)`, float32: labels are one-hot or multi-hot, or shares of
classes once they are mixed. Those below are a recipe's `loss` as they are, or with
`functools.partial`; so is any function of your own, and any `keras.losses.Loss`.
"""

import functools
import hashlib
import inspect
import os
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_rescnet.arguments import check_number, check_positive, check_share
from keras_rescnet.mistake import Mistake, shorten

__all__ = [
    "Distillation",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
]


# Those of Keras that have no argument `from_logits`
_OF_PROBABILITIES = (
    keras.losses.KLDivergence,
    keras.losses.Poisson,
    keras.losses.kl_divergence,
    keras.losses.poisson,
)


@keras.saving.register_keras_serializable(package="keras_rescnet")
def categorical_crossentropy(labels, logits, *, label_smoothing=0.0, class_weights=None):
    """Cross-entropy of one class per picture: a recipe's loss where it names no other.

        loss = -sum_c w_c y_c log softmax(x)_c

    It is linear in the labels, so that of mixed labels is the mixture of the losses.

    Args:
        labels: `(N, classes)`, each row sums to 1.
        logits: `(N, classes)`.
        label_smoothing: Share of every label that is spread over all classes. Defaults to 0.
        class_weights: Weight of each class, `(classes,)`. Defaults to `None`, 1 each.

    Returns:
        `(N,)`.

    Raises:
        Mistake: If labels and logits differ in shape, `label_smoothing` is not at least 0 and below
            1, or `class_weights` are not one number per class.

    Example:

    >>> labels = np.eye(2, dtype="float32")
    >>> logits = np.array([[3.0, 0.0], [3.0, 0.0]], "float32")
    >>> losses = kr.losses.categorical_crossentropy(labels, logits, class_weights=[1.0, 2.0])
    >>> keras.ops.convert_to_numpy(losses).round(4)
    array([0.0486, 6.0972], dtype=float32)
    """
    check_labels(labels, logits)
    check_share("label_smoothing", label_smoothing)
    if class_weights is None:
        return keras.losses.categorical_crossentropy(
            labels, logits, from_logits=True, label_smoothing=label_smoothing
        )
    labels = _smoothed(labels, label_smoothing, logits.shape[-1])
    return -ops.sum(_row(class_weights, logits) * labels * ops.log_softmax(logits), axis=-1)


@keras.saving.register_keras_serializable(package="keras_rescnet")
def binary_crossentropy(labels, logits, *, label_smoothing=0.0, class_weights=None):
    """Cross-entropy of tags, of which a picture has any number: the loss of multi-label data.

        loss = -mean_c (w_c y_c log p_c + (1 - y_c) log(1 - p_c)),    p = sigmoid(x)

    A tag's weight counts where the tag is there, as PyTorch's `pos_weight` does: above 1 it makes
    a rare tag be found more often. The loss is linear in the labels, so that of mixed labels is
    the mixture of the losses.

    Args:
        labels: `(N, tags)` in [0, 1].
        logits: `(N, tags)`.
        label_smoothing: Share by which every label moves to 1/2. Defaults to 0.
        class_weights: Weight of each tag, `(tags,)`. Defaults to `None`, 1 each.

    Returns:
        `(N,)`.

    Raises:
        Mistake: If labels and logits differ in shape, `label_smoothing` is not at least 0 and below
            1, or `class_weights` are not one number per tag.

    Example:

    >>> labels = np.array([[1, 0, 1]], "float32")
    >>> logits = np.array([[2.0, -1.0, -3.0]], "float32")
    >>> losses = kr.losses.binary_crossentropy(labels, logits)
    >>> keras.ops.convert_to_numpy(losses).round(4)
    array([1.1629], dtype=float32)
    """
    check_labels(labels, logits)
    labels = _smoothed(labels, label_smoothing, 2)
    present = labels * ops.softplus(-logits)
    if class_weights is not None:
        present = _row(class_weights, logits) * present
    return ops.mean(present + (1.0 - labels) * ops.softplus(logits), axis=-1)


@keras.saving.register_keras_serializable(package="keras_rescnet")
def categorical_focal_crossentropy(labels, logits, *, gamma=2.0, class_weights=None):
    """Cross-entropy in which pictures that are classified well count less.

        loss = -sum_c w_c y_c (1 - p_c)^gamma log p_c,    p = softmax(x)

    Keras's own, which can be a recipe's loss too, has a factor `alpha` for all classes in place of
    `w`, and clips `p` at 1e-7, where the gradient of what is most wrong becomes 0.

    Reference:
        Lin et al., "Focal loss for dense object detection" (ICCV 2017), Eq. 5.

    Args:
        labels: `(N, classes)`, each row sums to 1.
        logits: `(N, classes)`.
        gamma: Exponent, at least 0; 0 gives the cross-entropy. Defaults to 2.
        class_weights: Weight of each class, `(classes,)`. Defaults to `None`, 1 each.

    Returns:
        `(N,)`.

    Raises:
        Mistake: If labels and logits differ in shape, `gamma` is not a number of at least 0, or
            `class_weights` are not one number per class.

    Example:

    >>> labels = np.eye(2, dtype="float32")
    >>> logits = np.array([[1.0, 0.0], [1.0, 0.0]], "float32")
    >>> losses = kr.losses.categorical_focal_crossentropy(labels, logits)
    >>> keras.ops.convert_to_numpy(losses).round(4)
    array([0.0227, 0.7019], dtype=float32)
    """
    check_labels(labels, logits)
    terms = _modulation(1.0 - ops.softmax(logits), gamma) * labels * ops.log_softmax(logits)
    if class_weights is not None:
        terms = _row(class_weights, logits) * terms
    return -ops.sum(terms, axis=-1)


@keras.saving.register_keras_serializable(package="keras_rescnet")
def binary_focal_crossentropy(labels, logits, *, gamma=2.0, class_weights=None):
    """Cross-entropy of tags in which tags that are predicted well count less.

        q = y p + (1 - y) (1 - p),    p = sigmoid(x)
        loss = -mean_c (w_c y_c + 1 - y_c) (1 - q_c)^gamma (y_c log p_c + (1 - y_c) log(1 - p_c))

    Keras's own, which can be a recipe's loss too, clips `p` at 1e-7, where the gradient of what is
    most wrong becomes 0.

    Reference:
        Lin et al., "Focal loss for dense object detection" (ICCV 2017), Eq. 4 and 5.

    Args:
        labels: `(N, tags)` in [0, 1].
        logits: `(N, tags)`.
        gamma: Exponent, at least 0; 0 gives the cross-entropy. Defaults to 2.
        class_weights: Weight of each tag where it is there, `(tags,)`. Defaults to `None`, 1 each.

    Returns:
        `(N,)`.

    Raises:
        Mistake: If labels and logits differ in shape, `gamma` is not a number of at least 0, or
            `class_weights` are not one number per tag.

    Example:

    >>> labels = np.array([[1, 0, 1]], "float32")
    >>> logits = np.array([[2.0, -1.0, -3.0]], "float32")
    >>> losses = kr.losses.binary_focal_crossentropy(labels, logits)
    >>> keras.ops.convert_to_numpy(losses).round(4)
    array([0.9302], dtype=float32)
    """
    check_labels(labels, logits)
    # 1 - q without the cancellation of 1 - (y p + (1 - y) (1 - p))
    wrong = labels * ops.sigmoid(-logits) + (1.0 - labels) * ops.sigmoid(logits)
    terms = labels * ops.softplus(-logits) + (1.0 - labels) * ops.softplus(logits)
    terms = _modulation(wrong, gamma) * terms
    if class_weights is not None:
        terms = (_row(class_weights, logits) * labels + (1.0 - labels)) * terms
    return ops.mean(terms, axis=-1)


class Distillation:
    """Learns from the labels, and from what a teacher answers to the same pictures.

        loss = (1 - alpha) L(y, s) + alpha T^2 KL(softmax(t / T) || softmax(s / T))

    where `s` are the logits of the model and `t` those of the teacher, which is given the same
    augmented pictures, in inference mode. In tests the loss is `L(y, s)` alone, and so it is in a
    model's own `fit`, where the teacher is not called: this is the loss of a recipe. The teacher's
    weights are not trained and not in checkpoints; the digest of a recipe has the checksum of its
    file.

    A loss of your own with an attribute `teacher` is called in the same way: in training as
    `loss(labels, logits, teacher_logits)`, in tests as `loss(labels, logits)`.

    Reference:
        Hinton et al., "Distilling the knowledge in a neural network" (2015), section 2.

    Args:
        teacher: A `.keras` file of a model from images to logits, such as `model.keras` of a
            finished run with the same mean, standard deviation and classes; or a function that
            makes such a model of `input_shape` and `classes`, as the `model` of a recipe does.
        temperature: `T`. Defaults to 2.
        alpha: Share of the teacher, from 0 to 1. Defaults to 0.5.
        loss: `L`, the loss of the labels. Defaults to `categorical_crossentropy`.

    Raises:
        Mistake: If `teacher` is neither a path nor a function, `temperature` is not a positive
            number, or `alpha` is not a number from 0 to 1; when called, if `loss` takes
            probabilities.

    Example:

    >>> loss = kr.losses.Distillation("runs/teacher/model.keras", temperature=4.0)
    >>> labels, logits = np.eye(2, dtype="float32"), np.zeros((2, 2), "float32")
    >>> keras.ops.convert_to_numpy(loss(labels, logits)).round(4)
    array([0.6931, 0.6931], dtype=float32)
    >>> keras.ops.convert_to_numpy(loss(labels, logits, 4 * labels)).round(4)
    array([1.2341, 1.2341], dtype=float32)
    """

    def __init__(
        self,
        teacher: str | os.PathLike | Callable[..., keras.Model],
        *,
        temperature: float = 2.0,
        alpha: float = 0.5,
        loss: Callable = categorical_crossentropy,
    ):
        if isinstance(teacher, keras.Model) or not (
            callable(teacher) or (isinstance(teacher, str | os.PathLike) and str(teacher))
        ):
            raise Mistake(
                "`teacher` must be a .keras file, or a function that makes a model. "
                f"Received: teacher={shorten(teacher)}."
            )
        check_positive("temperature", temperature)
        check_number("alpha", alpha, 0, 1)
        self.teacher = teacher
        self.temperature = temperature
        self.alpha = alpha
        self.loss = loss

    def __call__(self, labels, logits, teacher_logits=None):
        """Returns the losses `(N,)`; without `teacher_logits` those of the labels alone."""
        of_labels = per_example(self.loss)(labels, logits)
        if teacher_logits is None:
            return of_labels
        ours = ops.log_softmax(logits / self.temperature)
        theirs = ops.log_softmax(teacher_logits / self.temperature)
        divergence = ops.sum(ops.exp(theirs) * (theirs - ours), axis=-1)
        return (1.0 - self.alpha) * of_labels + self.alpha * self.temperature**2 * divergence

    def get_config(self) -> dict[str, Any]:
        """Returns what decides the loss: what the digest of a recipe is made of.

        Raises:
            Mistake: If the teacher's file is not there.
        """
        teacher: Any = self.teacher
        if isinstance(teacher, str | os.PathLike):
            try:
                with open(teacher, "rb") as file:
                    teacher = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise Mistake(
                    "`teacher` must be a .keras file that can be read. "
                    f"Received: teacher={shorten(str(teacher))} ({error.strerror})."
                ) from None
        return {
            "teacher": teacher,
            "temperature": self.temperature,
            "alpha": self.alpha,
            "loss": self.loss,
        }


def per_example(loss: Callable) -> Callable:
    """Returns a loss as a function of labels and logits: of a `keras.losses.Loss`, its `call`.

    Raises:
        Mistake: If it is one that takes probabilities.
    """
    is_object = isinstance(loss, keras.losses.Loss)
    function = loss.func if isinstance(loss, functools.partial) else loss
    name = type(loss).__name__ if is_object else getattr(function, "__name__", shorten(function))
    if function in _OF_PROBABILITIES or isinstance(loss, _OF_PROBABILITIES[:2]):
        raise Mistake(f"`loss` must take logits, not probabilities. Received: loss={name}.")
    if _from_logits(loss) is False:
        raise Mistake(
            "`loss` must take logits: give it from_logits=True, a function by functools.partial. "
            f"Received: loss={name}(from_logits=False)."
        )
    return loss.call if isinstance(loss, keras.losses.Loss) else loss


def _from_logits(loss):
    if isinstance(loss, keras.losses.Loss):
        return loss.get_config().get("from_logits")
    try:
        parameter = inspect.signature(loss).parameters.get("from_logits")
    except (TypeError, ValueError):  # what is not written in Python has none
        return None
    return parameter and parameter.default


def _smoothed(labels, share, count):
    check_share("label_smoothing", share)
    return labels * (1.0 - share) + share / count if share else labels


def _modulation(wrong, gamma):
    """Returns `wrong ** gamma`, with a gradient that is finite where `wrong` is 0."""
    check_number("gamma", gamma, 0)
    return ops.power(ops.maximum(wrong, 1e-12), gamma)


def _row(weights, logits):
    weights = ops.convert_to_tensor(weights, logits.dtype)
    if weights.shape != logits.shape[-1:]:
        raise Mistake(
            "`class_weights` must be one number for each class, "
            f"{logits.shape[-1]}. Received: class_weights of shape {tuple(weights.shape)}."
        )
    return weights


def check_labels(labels, logits):
    """Raises a `Mistake` where labels would be broadcast, as `(N, 1)` of class numbers would."""
    one, other = (tuple(ops.shape(values)) for values in (labels, logits))
    pairs = zip(one, other, strict=False)
    known = [pair for pair in pairs if all(isinstance(length, int) for length in pair)]
    if len(one) != len(other) or any(length != expected for length, expected in known):
        raise Mistake(
            "Labels must be of the shape of the logits, (N, classes): keras.ops.one_hot makes them "
            f"of class numbers. Received: labels of shape {one}, logits of shape {other}."
        )
