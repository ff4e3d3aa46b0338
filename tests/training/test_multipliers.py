"""Learning rates and weight decays of single weights, against equations in float64."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_rescnet.mistake import Mistake
from keras_rescnet.optimizers import SGD, AdamW
from keras_rescnet.training import setup
from support import noise

RATES = {"first/kernel": 0.5, "/bias$": 4.0, "kernel": 1.0}  # the first match counts
DECAYS = {"bias": 0.0, "second/kernel": 3.0}
FACTORS = {  # of the learning rate and the weight decay
    "first/kernel": (0.5, 1.0),
    "first/bias": (4.0, 0.0),
    "second/kernel": (1.0, 3.0),
    "second/bias": (4.0, 0.0),
}
GRADIENTS = {
    name: np.random.default_rng(i).normal(size=(3, *shape))
    for i, (name, shape) in enumerate(
        {
            "first/kernel": (3, 4),
            "first/bias": (4,),
            "second/kernel": (4, 2),
            "second/bias": (2,),
        }.items()
    )
}


def two_layers():
    keras.utils.set_random_seed(1)
    layers = [
        keras.layers.Dense(4, name="first", bias_initializer="normal"),
        keras.layers.Dense(2, name="second", bias_initializer="normal"),
    ]
    inputs = x = keras.Input((3,))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def recipe_with(optimizer, **changes):
    multipliers = {"learning_rate_multipliers": RATES, "weight_decay_multipliers": DECAYS}
    return dataclasses.replace(noise.recipe, optimizer=optimizer, **{**multipliers, **changes})


def values(model):
    return {v.path: keras.ops.convert_to_numpy(v).astype("float64") for v in model.weights}


def steps(optimizer, model):
    """Makes three steps, at learning rates that fall."""
    for i, rate in enumerate((0.1, 0.05, 0.02)):
        optimizer.learning_rate = rate
        gradients = [GRADIENTS[v.path][i].astype("float32") for v in model.trainable_variables]
        optimizer.apply(
            [keras.ops.convert_to_tensor(gradient) for gradient in gradients],
            model.trainable_variables,
        )
        yield rate, {name: array[i] for name, array in GRADIENTS.items()}


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_moves_every_weight_by_its_own_rate(nesterov):
    def make(**options):
        return SGD(momentum=0.8, weight_decay=0.3, nesterov=nesterov, **options)

    model = two_layers()
    optimizer = setup.build_optimizer(recipe_with(make), model)
    expected, velocity = values(model), dict.fromkeys(FACTORS, 0.0)
    for rate, gradients in steps(optimizer, model):
        for name, (of_rate, of_decay) in FACTORS.items():
            g = gradients[name] + 0.3 * of_decay * expected[name]
            velocity[name] = 0.8 * velocity[name] + g
            step = g + 0.8 * velocity[name] if nesterov else velocity[name]
            expected[name] = expected[name] - rate * of_rate * step
    for name, found in values(model).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "precision",
    [
        "float32",
        pytest.param(
            "mixed_float16",
            marks=pytest.mark.skipif(
                keras.backend.backend() != "tensorflow",
                reason="with JAX, Keras scales losses within compiled steps only",
            ),
        ),
    ],
)
def test_adamw_moves_and_decays_every_weight_by_its_own_rate(precision):
    def make(**options):
        return AdamW(beta_1=0.8, beta_2=0.9, weight_decay=0.3, **options)

    model = two_layers()
    optimizer = setup.build_optimizer(recipe_with(make, precision=precision), model)
    if precision == "mixed_float16":
        optimizer.dynamic_scale.assign(1.0)
    expected, m, v = values(model), dict.fromkeys(FACTORS, 0.0), dict.fromkeys(FACTORS, 0.0)
    for step, (rate, gradients) in enumerate(steps(optimizer, model), start=1):
        for name, (of_rate, of_decay) in FACTORS.items():
            weight = expected[name] * (1 - rate * of_rate * 0.3 * of_decay)
            m[name] = 0.8 * m[name] + 0.2 * gradients[name]
            v[name] = 0.9 * v[name] + 0.1 * gradients[name] ** 2
            first, second = m[name] / (1 - 0.8**step), v[name] / (1 - 0.9**step)
            expected[name] = weight - rate * of_rate * first / (np.sqrt(second) + 1e-8)
    for name, found in values(model).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


REFUSED = {
    "no match": (
        {"learning_rate_multipliers": {"third": 2.0}},
        "`learning_rate_multipliers` must have parts of paths of weights, but none has 'third'. "
        "There are: first/kernel, first/bias.*Received: learning_rate_multipliers={'third': 2.0}",
    ),
    "Keras's": (
        {"optimizer": keras.optimizers.SGD},
        "`learning_rate_multipliers` needs an optimizer of kr.optimizers. Received: .*SGD",
    ),
    "Keras's, decay": (
        {"optimizer": keras.optimizers.AdamW, "learning_rate_multipliers": {}},
        "`weight_decay_multipliers` needs an optimizer of kr.optimizers",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_multipliers_that_do_not_fit_are_refused(case):
    changes, message = REFUSED[case]
    with pytest.raises(Mistake, match=message) as caught:
        setup.build_optimizer(recipe_with(**{"optimizer": SGD, **changes}), two_layers())
    assert "\n" not in str(caught.value)
