"""recipes/alexnet_slopes.py: what docs/reproduction.md says of the arms without training them."""

import keras
import numpy as np
import pytest

from keras_rescnet.recipe import execute
from keras_rescnet.schedules import learning_rate_at
from support import ROOT

RECIPES = execute(ROOT / "recipes" / "alexnet_slopes.py")["recipes"]


def spread_of_logits(name):
    """Returns how much the logits of different images differ before the training."""
    recipe = RECIPES[name]
    keras.utils.set_random_seed(0)
    model = recipe.model(input_shape=(32, 32, 3), classes=100)
    if recipe.adapt:
        recipe.adapt(model, None)
    images = np.random.default_rng(0).normal(size=(64, 32, 32, 3)).astype("float32")
    logits = keras.ops.convert_to_numpy(model(images, training=False))
    return np.std(logits - logits.mean(0))


@pytest.mark.parametrize(
    "arm, like", [("relu-larger", "gclu"), ("gelu-larger", "gclu"), ("gclu-smaller", "gelu")]
)
def test_arms_start_like_another(arm, like):
    assert spread_of_logits(arm) == pytest.approx(spread_of_logits(like), rel=0.05)


@pytest.mark.parametrize("activation, ratio", [("relu", 10), ("gelu", 70)])
def test_logits_differ_more_with_gclu(activation, ratio):
    measured = spread_of_logits("gclu") / spread_of_logits(activation)
    assert measured == pytest.approx(ratio, rel=0.1)


def test_what_weight_decay_alone_leaves():
    recipe = RECIPES["gelu"]
    optimizer = recipe.optimizer()
    weight, velocity = 1.0, 0.0
    for epoch in range(recipe.epochs):
        for _ in range(390):
            velocity = optimizer.momentum * velocity + optimizer.weight_decay * weight
            weight -= learning_rate_at(epoch, recipe) * velocity
    assert weight == pytest.approx(0.1405, abs=5e-5)
