"""Recipes of random fields, of which other tests vary one or a few that belong together."""

import dataclasses
import pathlib
import random
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_rescnet as kr
from keras_rescnet import augment, losses, models, optimizers, schedules, views
from support import noise, tagged

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"

# All values of a field are taken with all of the others; `None` is its default.
MODELS = (
    partial(noise.model, dropout=0.3),
    partial(models.Airbench94, widths=(4, 8), activation=kr.gclu),
    partial(
        models.ResNet,
        (1,),
        widths=(16,),
        small_images=True,
        calibration=partial(kr.layers.RCLayer, reduction=4, gated=True),
    ),
    partial(models.ViT, patch_size=8, width=16, depth=2, heads=2),
    partial(models.CaiT, patch_size=8, width=16, depth=2, heads=2),
)
FIELDS = {
    "optimizer": (
        partial(optimizers.SGD, momentum=0.9, weight_decay=5e-4),
        partial(optimizers.AdamW, weight_decay=0.05),
        partial(optimizers.Muon, weight_decay=0.01),
        keras.optimizers.Nadam,
        keras.optimizers.Lion,
        keras.optimizers.Adafactor,
    ),
    "augment": (
        None,
        noise.transforms,
        noise.alternating,
        lambda: [augment.RandomChoice([augment.MixUp(), augment.CutMix()])],
        lambda: [augment.RandAugment(), augment.RandomErasing()],
    ),
    "batch_size": (4, 8, 12),
    "schedule_per_step": (None, True),
    "decay": (None, schedules.linear_decay, partial(schedules.step_decay, every=1)),
    "exclude_from_weight_decay": (None, ("bias",)),
    "global_clipnorm": (None, 0.1),
    "gradient_accumulation_steps": (None, 2),
    "ema_momentum": (None, 0.9),
    "precision": (None, "mixed_bfloat16", "mixed_float16"),
    "synchronized_bn": (None, True),
    "evaluate_every": (None, 2),
    "test_views": (None, views.mirrored, views.mirrored_and_shifted),
    "trainable": (None, ("kernel",)),
    "callbacks": (None, lambda: [kr.callbacks.EarlyStopping(patience=1)]),
}
OF_CLASSES = {"loss": (None, losses.categorical_focal_crossentropy), "class_weights": (None, "7")}
OF_TAGS = {
    "loss": (losses.binary_crossentropy, losses.binary_focal_crossentropy),
    "class_weights": (None, "rare"),
}


def draw(seed):
    """Returns a recipe."""
    generator = random.Random(seed)
    base = generator.choice([noise.recipe, tagged.recipe])
    fields = FIELDS | (OF_TAGS if base.dataset.multi_label else OF_CLASSES)
    drawn = {name: generator.choice(values) for name, values in fields.items()}
    drawn = {name: value for name, value in drawn.items() if value is not None}
    if "class_weights" in drawn:
        drawn["class_weights"] = {drawn["class_weights"]: 3.0}
    return kr.Recipe(
        dataset=base.dataset,
        model=generator.choice(MODELS),
        epochs=3,
        warmup_epochs=generator.choice([0, 1]),
        learning_rate=0.01,
        **drawn,
    )


def files_of(folder):
    return [(pathlib.Path(folder) / name).read_text() for name in ("log.csv", "results.json")]


def network_of(folder):
    return keras.models.load_model(pathlib.Path(folder) / "model.keras")


@pytest.mark.release
@pytest.mark.parametrize("seed", range(24))
def test_a_random_recipe(seed, tmp_path, stop_after):
    recipe = draw(seed)
    results = kr.train(recipe, tmp_path / "whole")
    for _ in range(2):
        stop_after(2)
        with pytest.raises(SystemExit):
            kr.train(dataclasses.replace(recipe, steps_per_execution=1), tmp_path / "parts")
    kr.train(recipe, tmp_path / "parts")
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")
    network, resumed = network_of(tmp_path / "whole"), network_of(tmp_path / "parts")
    for ours, theirs in zip(resumed.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)

    options = {"views": recipe.test_views} | ({"loss": recipe.loss} if recipe.loss else {})
    found = kr.evaluate(tmp_path / "whole", recipe.dataset, **options)
    split = "test_ema" if recipe.ema_momentum else "test"
    exact = recipe.precision == "float32"
    rel = 1e-5 if exact else 2e-3
    assert found["loss"] == pytest.approx(results[f"{split}_loss"], rel=rel)
    if exact and not recipe.dataset.multi_label:
        assert found["accuracy"] == results[f"{split}_accuracy"]

    if ON_TENSORFLOW and exact:
        shape = (5, *recipe.dataset.image_shape)
        pixels = np.random.default_rng(seed).integers(0, 256, shape, "uint8")
        images = recipe.dataset.normalize(pixels).astype("float32")
        logits = network(images, training=False)
        link = keras.ops.sigmoid if recipe.dataset.multi_label else keras.ops.softmax
        served = tf.saved_model.load(str(tmp_path / "whole" / "saved_model"))
        np.testing.assert_allclose(served.serve(pixels), link(logits), atol=1e-5)
