"""A run: a recipe being trained, from its first step or its last checkpoint to its results."""

import dataclasses
import functools
import time

import keras
import numpy as np

from keras_rescnet import export
from keras_rescnet.analysis.plots import plot_run
from keras_rescnet.console import say
from keras_rescnet.schedules import learning_rate_at
from keras_rescnet.training.checkpoint import Checkpoints, check_arrays
from keras_rescnet.training.data import RunData
from keras_rescnet.training.events import Events
from keras_rescnet.training.metrics import best_row, means, not_measured, results_of, statistics
from keras_rescnet.training.progress import Progress
from keras_rescnet.training.setup import (
    build_model,
    build_optimizer,
    check_batch,
    count_parameters,
)


class Run:
    """A recipe being trained: model, data, and how far it is.

    Args:
        recipe: What to train.
        folder: The `WorkDir` of the run.
        engine: What runs its steps.
        data_dir: Where TensorFlow Datasets keeps its data.
    """

    def __init__(self, recipe, folder, engine, data_dir):
        check_batch(recipe, engine.replicas)
        self.folder, self.engine = folder, engine
        self.data = RunData(recipe, data_dir)
        folder.check_data(self.data.facts())
        self.recipe = recipe = dataclasses.replace(recipe, dataset=self.data.dataset)
        self.steps_per_epoch = self.data.steps_per_epoch
        self.total_steps = recipe.epochs * self.steps_per_epoch

        keras.utils.set_random_seed(recipe.seed)
        policy = keras.dtype_policies.get(keras.config.dtype_policy())
        keras.config.set_dtype_policy(recipe.precision)
        try:
            with engine.scope():
                self.model = build_model(recipe, engine.replicas)
                self.optimizer = build_optimizer(recipe, self.model, engine.replicas)
        finally:
            keras.config.set_dtype_policy(policy)
        engine.build(
            self.model,
            self.optimizer,
            functools.partial(statistics, label_smoothing=recipe.label_smoothing),
            statistics,
            batch_size=recipe.batch_size,
            accumulation_steps=recipe.gradient_accumulation_steps,
        )
        self.checkpoints = Checkpoints(folder.checkpoints, writes=engine.chief)
        self.splits = ["test"] if recipe.ema_momentum is None else ["test", "test_ema"]
        self.step, self.history, self.sums = 0, [], np.zeros(3)
        self.rollbacks = 0
        self._describe()

    def _describe(self):
        recipe = self.recipe
        stateful = self.data.stateful_transforms()
        self.folder.update_run(
            name=recipe.name,
            parameters=count_parameters(self.model),
            data=self.data.facts(),
            steps_per_epoch=self.steps_per_epoch,
            reproducible=not stateful,
        )
        self._say(
            f"{self.model.name}: {count_parameters(self.model):,} parameters, {recipe.precision}, "
            f"on {', '.join(self.engine.devices)}.\n"
            f"{recipe.dataset.name}: {len(self.data.train):,} training and "
            f"{len(self.data.test):,} test images; {recipe.epochs} epochs of "
            f"{self.steps_per_epoch} steps of {recipe.batch_size} images."
        )
        if stateful:
            self._say(
                f"Not reproducible to the bit: {', '.join(stateful)} draw from a generator whose "
                "state depends on timing and is not saved."
            )

    def _say(self, text):
        if self.engine.chief:
            say(text)

    def fit(self, stop):
        """Trains up to the last step, from the last checkpoint if there is one."""
        self._begin()
        started = saved = time.monotonic()
        count = 1
        try:
            while self.step < self.total_steps:
                epoch, done = divmod(self.step, self.steps_per_epoch)
                self.optimizer.learning_rate = learning_rate_at(epoch, self.recipe)
                count = min(count, self.steps_per_epoch - done)
                start = time.monotonic()
                rows = self.engine.steps(count)
                seconds = (time.monotonic() - start) / count
                finite = np.all(np.isfinite(rows), axis=1)
                if not np.all(finite):
                    self._handle_not_finite("loss", self.step + 1 + int(np.argmin(finite)))
                    continue
                for row in rows:  # one by one: the sum must not depend on `count`
                    self.sums += row
                self.step += count
                self.progress.update(self.step, self.sums)
                count = self._next_count(seconds)
                ended = self.step % self.steps_per_epoch == 0
                if ended:
                    self._end_epoch(epoch)
                    self.progress.end_epoch(self.history[-1])
                    self.events.add(self.history[-1])
                minutes = (time.monotonic() - saved) / 60.0
                late = self.engine.any(minutes > self.recipe.checkpoint_minutes)
                stopping = self.engine.any(bool(stop.requested))
                if ended or late or stopping:
                    self._save()
                    saved = time.monotonic()
                    self.folder.note_progress(self.step, saved - started)
                if stopping and self.step < self.total_steps:
                    self.checkpoints.wait()
                    stop.leave(f"Stopped after step {self.step} of {self.total_steps}, and saved.")
        finally:
            self.checkpoints.close()
            self.folder.note_progress(self.step, time.monotonic() - started)

    def _begin(self, rollbacks=0):
        """Goes to the last checkpoint if there is one, and on with its batches from there."""
        self._restore()
        self.rollbacks += rollbacks
        self._feed()
        chief = self.engine.chief
        self.events = Events(self.folder.path / "tensorboard", self.history, chief)
        self.progress = Progress(self.recipe, self.steps_per_epoch, self.step, chief)

    def finish(self):
        """Writes results, model and SavedModel."""
        results = {**results_of(self.history), "parameters": count_parameters(self.model)}
        if self.recipe.ema_momentum is not None:
            self._average()
        if self.engine.chief:
            self._export()
            self.folder.results = results  # last: it says that all the rest is there
        self.engine.any(False)  # the others wait: who serves their collectives must not leave
        return results

    def _export(self):
        with self.folder.write_aside("model.keras") as path:
            self.engine.save(self.model, path)
        if keras.backend.backend() == "tensorflow":
            dataset = self.recipe.dataset
            with self.folder.write_aside("saved_model") as path:
                export.saved_model(
                    self.model,
                    path,
                    mean=dataset.mean,
                    std=dataset.std,
                    class_names=self.data.train.class_names,
                )
        plot_run(self.folder.path)

    def _next_count(self, seconds):
        """Returns how many steps to run until the next look at signals and numbers."""
        if self.recipe.steps_per_execution is not None:
            return self.recipe.steps_per_execution
        if self.engine.processes > 1:
            return 16  # clocks differ, and all must look at the same step
        return int(np.clip(1.0 / seconds, 1, 256))

    def _feed(self):
        steps = (self.step, self.total_steps, self.rollbacks)
        self.engine.feed(functools.partial(self.data.train_batches, *steps))

    def _end_epoch(self, epoch):
        recipe = self.recipe
        images = self.steps_per_epoch * recipe.batch_size
        row = {
            "epoch": epoch + 1,
            "learning_rate": learning_rate_at(epoch, recipe),
            **means("train", self.sums, images),
        }
        if (epoch + 1) % recipe.evaluate_every == 0 or epoch + 1 == recipe.epochs:
            row.update(self._evaluate("test"))
            if recipe.ema_momentum is not None:
                weights = self.engine.variables()
                self._average()
                row.update(self._evaluate("test_ema"))
                self.engine.assign(weights)
        else:
            row.update(not_measured(*self.splits))
        self.history.append(row)
        self.sums = np.zeros(3)
        self.folder.write_log(self.history)

    def _evaluate(self, name):
        sums = self.engine.evaluate(self.data.test_batches)
        return means(name, sums, len(self.data.test))

    def _average(self):
        """Gives the weights the values of their averages."""
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        optimizer.finalize_variable_values(self.model.trainable_variables)

    def _save(self):
        arrays = self.engine.variables()
        if not all(np.all(np.isfinite(array)) for array in arrays):
            self._handle_not_finite("weight", self.step)
            return
        best = best_row(self.history) or {"epoch": 0}
        facts = {"history": self.history, "sums": list(self.sums), "rollbacks": self.rollbacks}
        self.checkpoints.save(self.step, arrays, facts, best["epoch"] * self.steps_per_epoch)

    def _last_checkpoint(self):
        """The chief sets damaged ones aside, then the others look."""
        found = self.checkpoints.last() if self.engine.chief else None
        self.engine.any(False)
        return found if self.engine.chief else self.checkpoints.last()

    def _restore(self):
        found = self._last_checkpoint()
        if found is None:
            return
        facts, arrays = found
        check_arrays(arrays, self.engine.variables(), facts["step"])
        self.engine.assign(arrays)
        self.step, self.history = facts["step"], facts["history"]
        self.sums, self.rollbacks = np.array(facts["sums"]), facts["rollbacks"]
        if self.history:
            self.folder.write_log(self.history)
        self._say(f"Goes on after step {self.step} of {self.total_steps}.")

    def _handle_not_finite(self, what, step):
        """Goes back to the last checkpoint if the recipe allows and there is one; else raises."""
        message = (
            f"The {what} is not finite at step {step}, learning rate "
            f"{float(self.optimizer.learning_rate):g}"
        )
        if hasattr(self.optimizer, "dynamic_scale"):
            message += f", loss scale {float(self.optimizer.dynamic_scale):g}"
        self.checkpoints.wait()
        found = self._last_checkpoint()
        if self.recipe.nan_policy == "rollback" and not self.rollbacks and found:
            self._say(f"{message}. Goes back to the last checkpoint, with another order.")
            self._begin(rollbacks=1)
            return
        where = f"that of step {found[0]['step']}" if found else "none"
        raise FloatingPointError(f"{message}. The last good checkpoint is {where}.")
