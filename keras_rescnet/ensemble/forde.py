"""FoRDE: members that are trained together, and differ in what they look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_rescnet import data
from keras_rescnet.analysis.derivatives import twice_differentiable
from keras_rescnet.ensemble.members import load_members, log_mean, stacked
from keras_rescnet.losses import categorical_crossentropy, check_labels
from keras_rescnet.mistake import Mistake, shorten

_EPSILON = 1e-12
_PARTS = ("cross_entropy", "repulsion")


class FoRDE(keras.Model):
    """An ensemble whose members repel each other by their first-order input gradients.

    With `f_i(x)_y` the logit of the true class and `C` and `B` the cross-entropy and the size of a
    batch, a step minimizes

        sum_i C_i + (1 / B) sum_i log( (1 / B) sum_b sum_j kappa(s_ib, stop(s_jb)) )
        s_ib        = g / sqrt(|g|^2 + 1e-12^2),    g = d f_i(x_b)_y / d x_b
        kappa(s, t) = exp(-|d|^2 / (2 h)),          d = sqrt(Lambda) U^T (s - t)
        h           = median_i |d_ijb|^2 / (2 log M)

    over M members, where `U Lambda U^T` is the covariance of the training images (`basis`), or the
    identity. The bandwidth `h` adapts to every picture and every `j`, and has no gradient. In
    training batch normalization mixes the pictures of a batch; the gradient is that of the sum over
    the batch, as in the authors' code.

    It is a model of the mean, as `kr.ensemble.mean` returns it, with a `fit` of its own, which
    takes `(images, labels)`, one-hot; it is compiled without a loss. `members` are the trained
    models: `kr.ensemble.mean(model.members)` is what to save. The authors' steps cost three of a
    plain ensemble. It needs Keras on TensorFlow.

    Reference:
        Trinh et al., "Input-gradient space particle inference for neural network ensembles", ICLR
        2024, Eqs. 8, 11, 14, 16 and 17; `train_forde.py` of github.com/AaltoPML/FoRDE.

    Args:
        members: At least two models from normalized images to logits, with weights of their own.
        basis: What `principal_components` returns, FoRDE-PCA; `None`, FoRDE-Identity, by default.

    Raises:
        Mistake: If members differ in images or classes, or the basis is of other images.

    Example:

    >>> def member(seed):
    ...     keras.utils.set_random_seed(seed)
    ...     layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(2)]
    ...     return keras.Sequential([keras.Input((4,)), *layers])
    >>> model = kr.ensemble.FoRDE([member(0), member(1), member(2)])
    >>> model.compile("sgd", run_eagerly=True)  # one step is not worth a compilation
    >>> images, labels = np.ones((6, 4), "float32"), np.eye(2, dtype="float32")[[0, 1] * 3]
    >>> history = model.fit(images, labels, batch_size=6, verbose=0)
    >>> sorted(history.history)
    ['cross_entropy', 'loss', 'repulsion']
    """

    def __init__(
        self,
        members: Sequence[keras.Model],
        basis: tuple[np.ndarray, np.ndarray] | None = None,
    ):
        if keras.backend.backend() != "tensorflow":
            raise Mistake(
                "FoRDE trains with Keras on TensorFlow. "
                f"Received: KERAS_BACKEND={keras.backend.backend()}."
            )
        models = load_members(members)
        weights = [id(variable) for model in models for variable in model.variables]
        if len(models) < 2 or len(set(weights)) < len(weights):
            raise Mistake(
                "FoRDE needs at least two members, with weights of their own. "
                f"Received: {len(models)} members, {len(weights)} weights of which "
                f"{len(set(weights))} differ."
            )
        stack = stacked(models)
        super().__init__(stack.inputs[0], log_mean(stack.outputs[0]), name="forde")
        self._scales = None if basis is None else _checked(basis, math.prod(self.input_shape[1:]))
        self._parts = [keras.metrics.Mean(name) for name in _PARTS]  # which Keras finds and resets

    @property
    def members(self) -> list[keras.Model]:
        """The models of the members."""
        return [layer for layer in self.layers if isinstance(layer, keras.Model)]

    def compile(self, optimizer: Any = "sgd", **options: Any) -> None:
        """Takes what Keras's `compile` takes, but the loss: that of tests is the cross-entropy."""
        super().compile(
            optimizer, keras.losses.CategoricalCrossentropy(from_logits=True), **options
        )

    def objective(self, images: Any, labels: Any) -> tuple[Any, Any, Any]:
        """Returns cross-entropy and repulsion of a batch, and the logits of all members.

        Args:
            images: `(B, ...)`.
            labels: One-hot, or shares of classes, `(B, classes)`.

        Returns:
            Two scalars, and logits `(B, members, classes)`.
        """
        import tensorflow as tf

        logits, slopes = [], []
        for member in self.members:
            with tf.GradientTape() as tape, twice_differentiable():
                tape.watch(images)
                logits.append(member(images, training=True))
                check_labels(labels, logits[-1])
                true = tf.reduce_sum(logits[-1] * tf.cast(labels, logits[-1].dtype))
            slopes.append(tape.gradient(true, images))
        losses = [tf.reduce_mean(categorical_crossentropy(labels, each)) for each in logits]
        return tf.add_n(losses), repulsion(tf.stack(slopes), self._scales), tf.stack(logits, axis=1)

    def train_step(self, batch: tuple[Any, ...]) -> dict[str, Any]:
        """Trains all members on a batch; see the class."""
        import tensorflow as tf

        images, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
        if weights is not None:
            raise Mistake(
                "FoRDE weighs all pictures alike: leave out `sample_weight` and `class_weight`. "
                f"Received: weights of shape {tuple(weights.shape)}."
            )
        with tf.GradientTape() as tape:
            cross_entropy, repelled, logits = self.objective(tf.convert_to_tensor(images), labels)
            loss = tf.add_n([cross_entropy, repelled, *self.losses])
            scaled = self.optimizer.scale_loss(loss)  # in mixed_float16 gradients would vanish
        gradients = tape.gradient(scaled, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        values = dict(zip(("loss", *_PARTS), (loss, cross_entropy, repelled), strict=True))
        for metric in self.metrics:
            if metric.name in values:
                metric.update_state(values[metric.name])
        return self.compute_metrics(images, labels, log_mean(logits))

    def test_step(self, batch: tuple[Any, Any]) -> dict[str, Any]:
        """Tests the mean, as of any model: the parts of the training loss are not computed."""
        logs = super().test_step(batch)
        return {name: value for name, value in logs.items() if name not in _PARTS}


def repulsion(slopes: Any, scales: tuple[Any, Any] | None = None) -> Any:
    """Returns the repulsion of `FoRDE`, a scalar.

    Args:
        slopes: Input gradients `(members, B, ...)`.
        scales: Square roots of eigenvalues, `(D,)`, and eigenvectors, `(D, D)`; `None` for the
            identity.
    """
    count, batch = slopes.shape[0], ops.shape(slopes)[1]
    slopes = ops.reshape(slopes, (count, batch, -1))
    s = slopes / ops.sqrt(ops.sum(ops.square(slopes), -1, keepdims=True) + _EPSILON**2)
    if scales is not None:
        s = ops.matmul(s, ops.cast(scales[1], s.dtype)) * ops.cast(scales[0], s.dtype)
    distances = ops.sum(ops.square(s[:, None] - ops.stop_gradient(s)[None]), axis=-1)  # i, j, b
    median = ops.stop_gradient(ops.median(distances, axis=0))
    kernel = -distances * math.log(count) / (median + _EPSILON)
    batch = ops.cast(batch, s.dtype)
    return ops.sum(ops.logsumexp(kernel, axis=(1, 2)) - ops.log(batch)) / batch


def principal_components(
    dataset: data.Dataset, data_dir: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns eigenvalues and eigenvectors of the covariance of the normalized training images.

        X^T X / (N - 1) = U Lambda U^T,     X centred, (N, D), D = H W C

    The covariance is D x D: it is meant for images of 32 pixels, where D is 3,072.

    Args:
        dataset: The dataset.
        data_dir: Where TensorFlow Datasets keeps its data; its own default if `None`.

    Returns:
        The `basis` of `FoRDE`: float64 `(D,)`, falling, and `(D, D)`, an eigenvector per column.

    Raises:
        Mistake: If the set is not there and cannot be downloaded.

    Example:

    >>> def read(dataset, split, data_dir):
    ...     images = np.zeros((6, 1, 2, 1), "uint8")
    ...     images[::2, 0, 1] = 255
    ...     return kr.data.ArrayExamples(dataset, images, np.arange(6) % 2, ("bright", "dark"))
    >>> half = {"mean": (0.5,), "std": (0.5,)}
    >>> pair = kr.data.Dataset(name="pair", read=read, image_shape=(1, 2, 1), classes=2, **half)
    >>> values, vectors = kr.ensemble.principal_components(pair)
    >>> values.round(4), abs(vectors[:, 0])
    (array([1.2, 0. ]), array([0., 1.]))
    """
    examples = data.load(dataset, "train", data_dir)
    dimensions = math.prod(examples.dataset.image_shape)
    total, squares = np.zeros(dimensions), np.zeros((dimensions, dimensions))
    for batch in data.evaluation_batches(examples, batch_size=500).as_numpy_iterator():
        kept = batch["images"][batch["weights"] > 0].reshape(-1, dimensions).astype("float64")
        total += kept.sum(0)
        squares += kept.T @ kept
    count = len(examples)
    values, vectors = np.linalg.eigh((squares - np.outer(total, total) / count) / (count - 1))
    return np.maximum(values[::-1], 0.0), vectors[:, ::-1]


def _checked(basis, dimensions):
    """Returns square roots of the eigenvalues, and eigenvectors, of a basis that fits."""
    shapes = [np.shape(part) for part in basis] if isinstance(basis, tuple | list) else None
    if shapes != [(dimensions,), (dimensions, dimensions)]:
        raise Mistake(
            "`basis` must be what kr.ensemble.principal_components returns for the members' "
            f"images, of {dimensions} dimensions. Received: {shorten(shapes or basis)}."
        )
    return ops.sqrt(ops.convert_to_tensor(basis[0])), ops.convert_to_tensor(basis[1])
