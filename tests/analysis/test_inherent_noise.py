"""Inherent noise: against exact Hessians in float64 numpy, and what a Hessian's product is of."""

import math

import keras
import numpy as np
import pytest
from keras import layers

import keras_rescnet as kr
from keras_rescnet.analysis.inherent_noise import (
    ALL,
    Surface,
    change_of_loss,
    inherent_noise,
    mean_penalty,
)
from support.gradients import double_precision

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(5, 3))
Y = np.eye(2)[[0, 1, 1, 0, 1]]
ETA = math.sqrt(2.0)  # eta^2 / 2 = 1
OTHER = GENERATOR.normal(size=(5, 3))


def two_layers(dtype):
    model = keras.Sequential(
        [
            keras.Input((3,), dtype=dtype),
            layers.Dense(4, activation=kr.gclu, dtype=dtype, name="hidden"),
            layers.Dense(2, dtype=dtype, name="logits"),
        ]
    )
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def phi(x):
    return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def tail(x):
    """Phi(-|x|)."""
    return np.vectorize(math.erfc)(np.abs(x) / math.sqrt(2)) / 2


def gclu(x):
    return x * ((x > 0) + tail(x))


def exact_derivatives(weights, x, y):
    """The gradient and the Hessian of cross-entropy, from their closed forms.

    With the Jacobian J of the logits, p = softmax and c over the classes,

        g = mean J^T (p - y),  H = mean J^T (diag p - p p^T) J + sum_c (p_c - y_c) D^2 logit_c
    """
    (w1, b1, w2, b2), rows = weights, len(x)
    sizes = [w.size for w in weights]
    starts = np.cumsum([0, *sizes])
    inputs, hidden = w1.shape
    gradient, hessian = np.zeros(starts[-1]), np.zeros((starts[-1],) * 2)
    for row, label in zip(x, y, strict=True):
        a = row @ w1 + b1
        slope = (a > 0) + tail(a) - np.abs(a) * phi(a)
        bend = np.sign(a) * phi(a) * (a**2 - 2)
        scores = gclu(a) @ w2 + b2
        p = np.exp(scores - scores.max())
        p /= p.sum()
        by_a = w2.T * slope  # (classes, hidden)
        jacobian = np.concatenate(
            [
                np.einsum("ck,d->cdk", by_a, row).reshape(2, -1),
                by_a,
                np.einsum("k,cj->ckj", gclu(a), np.eye(2)).reshape(2, -1),
                np.eye(2),
            ],
            axis=1,
        )
        gradient += jacobian.T @ (p - label)
        hessian += jacobian.T @ (np.diag(p) - np.outer(p, p)) @ jacobian
        extended = np.append(row, 1.0)  # the bias is the weight of a 1

        def place(d, k):
            return d * hidden + k if d < inputs else starts[1] + k

        for k in range(hidden):
            for d in range(inputs + 1):
                i = place(d, k)
                for e in range(inputs + 1):
                    second = bend[k] * extended[d] * extended[e] * (w2[k] @ (p - label))
                    hessian[i, place(e, k)] += second
                for c in range(2):
                    j = starts[2] + 2 * k + c
                    mixed = slope[k] * extended[d] * (p - label)[c]
                    hessian[i, j] += mixed
                    hessian[j, i] += mixed
    return gradient / rows, hessian / rows


def crossentropy(labels, logits):
    return -keras.ops.sum(labels * keras.ops.log_softmax(logits), axis=-1)  # in float64 too


def split(vector, tensors):
    sizes = np.cumsum([math.prod(tensor.shape) for tensor in tensors])[:-1]
    return [
        part.reshape(tensor.shape).astype(keras.backend.standardize_dtype(tensor.dtype))
        for part, tensor in zip(np.split(vector, sizes), tensors, strict=True)
    ]


def joined(tensors):
    return np.concatenate([np.ravel(keras.ops.convert_to_numpy(t)) for t in tensors])


def penalties(hessian, step, eta, sizes):
    """The equation, layer by layer: rows of the Hessian without its diagonal."""
    off = hessian - np.diag(np.diag(hessian))
    parts = eta**2 / 2 * step * (off @ step)
    ends = np.cumsum(sizes)
    return [part.sum() for part in np.split(parts, ends[:-1])]


@pytest.mark.parametrize(("dtype", "accuracy"), [("float64", 1e-9), ("float32", 2e-5)])
def test_products_and_noise_are_those_of_the_exact_hessian(dtype, accuracy):
    """In float32 in a graph GCLU is another formula, and compiled; both are differentiated."""
    with double_precision():
        model = two_layers(dtype)
        surface = Surface(model, crossentropy)
        batch, held_out = (X.astype(dtype), Y.astype(dtype)), (OTHER.astype(dtype), Y.astype(dtype))
        weights = [weight.astype("float64") for weight in model.get_weights()]
        gradient, hessian = exact_derivatives(weights, X, Y)
        found = surface.gradient(surface.weights, batch)
        np.testing.assert_allclose(joined(found), gradient, atol=accuracy)
        vector = np.random.default_rng(2).normal(size=len(gradient))
        step = split(vector, surface.weights)
        product = surface.product(surface.weights, batch, step)
        np.testing.assert_allclose(joined(product), hessian @ vector, atol=20 * accuracy)
        _, other = exact_derivatives(weights, OTHER, Y)
        for data, matrix in ((batch, hessian), (held_out, other)):
            found = inherent_noise(surface, step, data, learning_rate=ETA, exact=1000)
            expected = penalties(matrix, vector, ETA, [16, 10])
            assert [noise.weights for noise in found] == [16, 10, 26]
            measured = [noise.penalty for noise in found]
            np.testing.assert_allclose(measured, [*expected, sum(expected)], atol=50 * accuracy)
            assert min(map(abs, expected)) > 0.05
            assert all(noise.standard_error == 0 for noise in found)
            slopes = exact_derivatives(weights, data[0].astype("float64"), Y)[0]
            assert found[-1].layer == ALL
            assert found[-1].first_order == pytest.approx(-ETA * vector @ slopes, abs=20 * accuracy)


def test_probes_are_unbiased_and_their_error_is_that_of_the_equation():
    model = two_layers("float32")
    surface = Surface(model, crossentropy)
    batch = (X.astype("float32"), Y.astype("float32"))
    step = surface.gradient(surface.weights, batch)
    g, hessian = exact_derivatives([w.astype("float64") for w in model.get_weights()], X, Y)
    weighed = g[:, None] * hessian * g
    off = weighed - np.diag(np.diag(weighed))
    count = 300
    options = {"learning_rate": ETA, "probes": count}
    *by_layer, whole = inherent_noise(surface, step, batch, **options)
    assert whole.standard_error == pytest.approx(math.sqrt(2 * (off**2).sum() / count), rel=0.2)
    ends = [slice(0, 16), slice(16, 26), slice(0, 26)]
    for noise, rows in zip([*by_layer, whole], ends, strict=True):
        exact = np.diag(weighed)[rows].sum()
        assert abs(noise.single - exact) < 4 * noise.standard_error
        assert noise.joint == pytest.approx(weighed[rows].sum(), abs=1e-5)
    assert whole.penalty == pytest.approx(sum(noise.penalty for noise in by_layer), abs=1e-6)
    # A layer that is exact has no error, and adds none to the others'
    hidden, logits, _ = inherent_noise(surface, step, batch, exact=10, **options)
    assert logits.standard_error == 0 < hidden.standard_error
    assert logits.single == pytest.approx(np.diag(weighed)[16:].sum(), abs=1e-5)
    alone = math.sqrt(2 * (off[:16, :16] ** 2).sum() / count)
    assert hidden.standard_error == pytest.approx(alone, rel=0.2)


def test_of_a_quadratic_loss_the_second_order_is_all():
    """Squares of a linear model: H = X^T X / N, the same for both outputs."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, use_bias=False)])
    surface = Surface(model, lambda y, x: 0.5 * keras.ops.sum((x - y) ** 2, axis=-1))
    batch = (X.astype("float32"), Y.astype("float32"))
    step = surface.gradient(surface.weights, batch)
    (noise, whole) = inherent_noise(surface, step, batch, learning_rate=0.3, exact=10)
    g = np.asarray(step[0], "float64")
    second = X.T @ X / len(X)
    expected = 0.3**2 / 2 * (np.sum(g * (second @ g)) - np.sum(np.diag(second)[:, None] * g**2))
    assert noise.penalty == whole.penalty == pytest.approx(expected, rel=1e-4)
    moved = change_of_loss(surface, step, batch, 0.3)
    assert moved == pytest.approx(whole.first_order + whole.joint, abs=1e-6)


def calibrated(dtype, normalization):
    """1 x 1 convolution, batch normalization, GCLU, RC Layer: all that has a written gradient."""
    keras.config.set_dtype_policy(dtype)
    try:
        model = keras.Sequential(
            [
                keras.Input((2, 3, 3), dtype=dtype),
                layers.Conv2D(4, 1, use_bias=False),
                normalization(epsilon=1e-5),
                kr.layers.GCLU(),
                kr.layers.RCLayer(reduction=2),
                layers.GlobalAveragePooling2D(),
                layers.Dense(2),
            ]
        )
    finally:
        keras.config.set_dtype_policy("float32")
    generator = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(generator.normal(size=variable.shape))
    return model


IMAGES = np.random.default_rng(4).normal(size=(5, 2, 3, 3))


def calibrated_loss(weights, images, labels):
    """The loss of `calibrated` in training, in numpy."""
    kernel, gamma, beta, w0, b0, w1, b1, w2, b2, w3, b3 = weights
    x = images @ kernel[0, 0]
    x = gamma * (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5) + beta
    x = gclu(x)
    hidden = x.mean((1, 2), keepdims=True) @ w0 + b0
    z = (x - hidden @ w1 - b1) / (np.exp((hidden @ w2 + b2) / 2) + 1e-5)
    x = x + x * tail(z)
    scores = x.mean((1, 2)) @ w3 + b3
    scores = scores - scores.max(1, keepdims=True)
    logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    return -np.mean(np.sum(labels * logs, 1))


@pytest.mark.parametrize(
    ("dtype", "normalization", "accuracy"),
    [
        ("float64", kr.layers.BatchNormalization, 1e-5),
        # TensorFlow's fused one
        pytest.param("float32", kr.layers.BatchNormalization, 2e-3, marks=pytest.mark.slow),
        ("float64", layers.BatchNormalization, 1e-5),
    ],
)
def test_second_derivatives_go_through_normalization_gclu_and_rc_layer(
    dtype, normalization, accuracy
):
    with double_precision():
        model = calibrated(dtype, normalization)
        surface = Surface(model, crossentropy)
        moving = [weight.copy() for weight in model.get_weights()]
        batch = (IMAGES.astype(dtype), Y.astype(dtype))
        weights = [keras.ops.convert_to_numpy(w).astype("float64") for w in surface.weights]
        assert [w.shape for w in weights][:3] == [(1, 1, 3, 4), (4,), (4,)]
        loss = calibrated_loss(weights, IMAGES, Y)
        assert float(surface.loss(surface.weights, batch)) == pytest.approx(loss, abs=1e-6)
        generator, h = np.random.default_rng(5), 1e-4
        for _ in range(4):
            vectors = [generator.normal(size=w.shape) for w in weights]
            near = [
                calibrated_loss(
                    [w + sign * h * v for w, v in zip(weights, vectors, strict=True)], IMAGES, Y
                )
                for sign in (2, 1, -1, -2)
            ]
            expected = (np.dot([-1, 16, 16, -1], near) - 30 * loss) / (12 * h**2)
            slope = np.dot([-1, 8, -8, 1], near) / (12 * h)
            vectors = [vector.astype(dtype) for vector in vectors]
            product = surface.product(surface.weights, batch, vectors)
            gradient = surface.gradient(surface.weights, batch)
            assert joined(vectors) @ joined(gradient) == pytest.approx(slope, rel=accuracy)
            assert joined(vectors) @ joined(product) == pytest.approx(expected, rel=accuracy)
        for before, after in zip(moving, model.get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)  # the moving statistics too


def test_dropout_has_one_mask_and_a_teacher_is_asked():
    model = keras.Sequential([keras.Input((3,)), layers.Dropout(0.5), layers.Dense(2)])
    teacher = keras.Sequential([keras.Input((3,)), layers.Dense(2)])

    def loss(labels, logits, theirs):
        return keras.ops.sum((logits - theirs) ** 2, axis=-1)

    surface = Surface(model, loss, teacher)
    batch = (X.astype("float32"), Y.astype("float32"))
    first, second = (float(surface.loss(surface.weights, batch)) for _ in range(2))
    assert first == second
    logits = X @ model.get_weights()[0] + model.get_weights()[1]
    theirs = keras.ops.convert_to_numpy(teacher(batch[0]))
    assert first != pytest.approx(np.mean(np.sum((logits - theirs) ** 2, 1)), rel=1e-3)
    plain = Surface(keras.Sequential([keras.Input((3,)), model.layers[1]]), loss, teacher)
    value = float(plain.loss(plain.weights, batch))
    assert value == pytest.approx(np.mean(np.sum((logits - theirs) ** 2, 1)), rel=1e-5)


def test_the_mean_of_batches_has_the_error_of_their_spread():
    model = two_layers("float32")
    surface = Surface(model, crossentropy)
    noises = []
    for images in (X, OTHER):
        batch = (images.astype("float32"), Y.astype("float32"))
        step = surface.gradient(surface.weights, batch)
        noises.append(inherent_noise(surface, step, batch, learning_rate=1.0, probes=2)[-1])
    mean, error = mean_penalty(noises)
    one, other = (noise.penalty for noise in noises)
    assert mean == pytest.approx((one + other) / 2)
    assert error == pytest.approx(abs(one - other) / 2)
    assert mean_penalty(noises[:1]) == (one, noises[0].standard_error)
