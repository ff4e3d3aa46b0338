"""The share of a training step in which the model waits for data.

    python benchmarks/waiting.py [--rounds 7]

ResNet-8, the fastest consumer, in the engine that `train` uses, on 10,000 pictures of 32x32: fed by
the pipeline (crop, flip, normalize), and fed with one batch of it over and over. What the first
takes longer is everything that the data costs: waiting, and cores taken away from the model.
"""

import argparse
from functools import partial

from measurement import alternate, arguments_of, milliseconds, publish, ratio, table
from pipeline import CROP_FLIP, small_images

from keras_rescnet import Recipe, data, models
from keras_rescnet.data import CIFAR100
from keras_rescnet.optimizers import SGD
from keras_rescnet.training import metrics, setup
from keras_rescnet.training.engines import Task, make_engine

STEPS = 40
RECIPE = Recipe(
    dataset=CIFAR100,
    model=models.CifarResNet8,
    optimizer=partial(SGD, momentum=0.9, weight_decay=5e-4),
    batch_size=128,
    epochs=1,
    learning_rate=0.01,
)


def stepping(batches):
    """Returns a function that trains for `STEPS` steps on endless batches."""
    engine = make_engine()
    model = setup.build_model(RECIPE, 1)
    optimizer = setup.build_optimizer(RECIPE, model)
    statistics = metrics.statistics
    engine.build(Task(model, optimizer, statistics, statistics, RECIPE.batch_size))
    engine.feed(lambda num_shards, shard_index: batches)
    return partial(engine.steps, [RECIPE.learning_rate] * STEPS)


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = arguments_of(parser)
    batches = data.train_batches(
        small_images(),
        CROP_FLIP["ours"](),
        batch_size=RECIPE.batch_size,
        seed=0,
        start=0,
        stop=10**9,
    )
    contestants = {
        "the pipeline": stepping(batches),
        "one batch, repeated": stepping(batches.take(1).cache().repeat()),
    }
    times = alternate(contestants, arguments.rounds)
    rows = [(name, f"{milliseconds(times, name) / STEPS:.2f}") for name in times]
    share = 1 - ratio(times, "one batch, repeated", "the pipeline")
    publish(
        arguments.json,
        table(("fed by", "ms per step"), rows)
        + f"\n\nResNet-8, batches of {RECIPE.batch_size}, {STEPS} steps per round, "
        f"{arguments.rounds} rounds: data costs {100 * share:.1f} % of a step.",
        {"share of a step that data costs": share},
    )


if __name__ == "__main__":
    main()
