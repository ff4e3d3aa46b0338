"""What an epoch of `train` costs beyond its bare compiled steps.

    python benchmarks/trainer.py

Times, in alternating rounds in one process, the same number of steps of the same model on the same
batches: (a) a bare `tf.function` of one step, called in a Python loop over a prepared iterator;
(b) `train`, from its first step to its last, with log and checkpoints, evaluation left out;
(c) Keras's `fit`. Prints the medians over rounds and their ratios.
"""

import argparse
import functools
import tempfile
import time

import keras
import tensorflow as tf
from measurement import arguments_of, milliseconds, publish, ratio, table

import keras_rescnet as kr
from keras_rescnet import data
from keras_rescnet.training import metrics, setup
from keras_rescnet.training.engines import make_engine
from keras_rescnet.training.metrics import prefixed
from keras_rescnet.training.run import Run
from keras_rescnet.training.signals import StopRequest
from keras_rescnet.training.workdir import WorkDir


def recipe_of(steps):
    """Returns a recipe of two epochs of `steps` steps: ResNet-8 with GCLU on the digits."""
    return kr.Recipe(
        dataset=data.DIGITS,
        augment=lambda: [kr.augment.RandomCrop(padding=2)],
        model=functools.partial(kr.models.CifarResNet8, activation=kr.gclu),
        optimizer=functools.partial(kr.optimizers.SGD, momentum=0.9, weight_decay=5e-4),
        batch_size=128,
        epochs=2,
        steps_per_epoch=steps,
        learning_rate=0.01,
    )


def batches_of(recipe, stop):
    """Returns the batches of a recipe's first `stop` steps."""
    examples = data.load(recipe.dataset, "train")
    return data.train_batches(
        examples,
        recipe.augment(),
        batch_size=recipe.batch_size,
        seed=0,
        start=0,
        stop=stop,
        steps_per_epoch=recipe.steps_per_epoch,
    )


def bare_step(recipe):
    """Returns a compiled step, and the model it trains."""
    model = setup.build_model(recipe, 1)
    optimizer = setup.build_optimizer(recipe, model)
    variables = [variable.value for variable in model.trainable_variables]

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            rows = metrics.statistics(batch["labels"], model(batch["images"], training=True))
            loss = tf.reduce_mean(rows[:, 0])
        optimizer.apply(tape.gradient(loss, variables), model.trainable_variables)
        return tf.reduce_sum(rows, axis=0)

    return step


def main():
    """Measures and publishes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=11)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = arguments_of(parser)
    recipe, steps = recipe_of(arguments.steps), arguments.steps

    step = bare_step(recipe)
    step(next(iter(batches_of(recipe, 1))))
    fitted = setup.build_model(recipe, 1)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    fitted.compile(setup.build_optimizer(recipe, fitted), loss, metrics=["accuracy"])

    def pairs():
        return batches_of(recipe, 2 * steps).map(lambda batch: (batch["images"], batch["labels"]))

    fitted.fit(pairs().take(1), verbose=0)

    seconds = {}

    def measure(name, function):
        start = time.perf_counter()
        function()
        seconds.setdefault(name, []).append((time.perf_counter() - start) / (2 * steps))

    def bare():
        for batch in batches_of(recipe, 2 * steps):
            sums = step(batch)
        sums.numpy()

    for _ in range(arguments.rounds):
        measure("bare compiled step", bare)
        measure("fit", lambda: fitted.fit(pairs(), verbose=0))
        time_train(recipe, steps, seconds)
    base = "bare compiled step"
    rows = [
        (name, f"{milliseconds(seconds, name):.1f}", f"{ratio(seconds, name, base):.3f}")
        for name in seconds
    ]
    publish(
        arguments.json,
        table(("", "ms per step", f"x {base}"), rows)
        + f"\n\nResNet-8 with GCLU on the digits, batches of {recipe.batch_size}, {2 * steps} "
        f"steps per round, {arguments.rounds} rounds.",
        {"train / bare": ratio(seconds, "train", base), "fit / bare": ratio(seconds, "fit", base)},
    )


def time_train(recipe, steps, seconds):
    """Times `Run.fit` after its compilation; without the evaluation, which (a) has not either."""
    with tempfile.TemporaryDirectory() as folder, WorkDir(folder, recipe) as work:
        run = Run(recipe, work, make_engine(), None)
        run._evaluate = lambda name: prefixed(name, dict.fromkeys(metrics.METRICS, 0.0))
        run._feed()
        # Compiles; the run then starts from its own first step again
        run.engine.steps([recipe.learning_rate])
        start = time.perf_counter()
        with StopRequest() as stop:
            run.fit(stop)
        seconds.setdefault("train", []).append((time.perf_counter() - start) / (2 * steps))


if __name__ == "__main__":
    main()
