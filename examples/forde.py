"""Trains FoRDE, an ensemble whose members look at different things, from the parts of a recipe.

    python examples/forde.py digits_gclu_resnet8 runs/forde [FIELD=VALUE ...]

Stop it at any time and start it again. Fields of the recipe that are not named here do not count.
"""

import sys

import keras

import keras_rescnet as kr


def train(recipe, folder, members=5, basis=None):
    """Returns the trained `FoRDE`."""
    networks, data = [], recipe.dataset
    for seed in range(recipe.seed, recipe.seed + members):
        keras.utils.set_random_seed(seed)
        networks.append(recipe.model(input_shape=data.image_shape, classes=data.classes))
    model = kr.ensemble.FoRDE(networks, basis)
    model.compile(recipe.optimizer(learning_rate=recipe.learning_rate), metrics=["accuracy"])
    parts = kr.data.load(data, "train"), recipe.augment() if recipe.augment else []
    options = {"batch_size": recipe.batch_size, "seed": recipe.seed, "as_tuples": True}
    steps = recipe.steps_per_epoch or len(parts[0]) // recipe.batch_size
    batches = kr.data.resumable(
        lambda i: kr.data.train_batches(*parts, start=i * steps, stop=(i + 1) * steps, **options)
    )
    schedule = kr.schedules.learning_rate_at
    rates = keras.callbacks.LearningRateScheduler(lambda epoch: schedule(epoch, recipe))
    callbacks = [rates, kr.ExactResume(folder, batches)]
    model.fit(batches, epochs=recipe.epochs, callbacks=callbacks, shuffle=False)
    return model


if __name__ == "__main__":
    recipe = kr.load_recipe(sys.argv[1], sys.argv[3:])
    trained = train(recipe, sys.argv[2], basis=kr.ensemble.principal_components(recipe.dataset))
    print(kr.ensemble.table(kr.ensemble.measure(trained.members, recipe.dataset)))
    kr.ensemble.mean(trained.members).save(f"{sys.argv[2]}/model.keras")
