"""A run: a recipe being trained, from its first step or its last checkpoint to its results."""

import dataclasses
import functools
import hashlib
import time

import keras
import numpy as np

from keras_rescnet import export
from keras_rescnet.analysis.model_file import scaled
from keras_rescnet.analysis.plots import plot_run
from keras_rescnet.callbacks import RunFacts
from keras_rescnet.console import counted, say
from keras_rescnet.models.complexity import count_parameters
from keras_rescnet.recipe import calling, check_decay
from keras_rescnet.schedules import learning_rate_at_step
from keras_rescnet.training.callbacks import Callbacks
from keras_rescnet.training.checkpoint import Checkpoints, match
from keras_rescnet.training.data import RunData
from keras_rescnet.training.engines import Task
from keras_rescnet.training.events import Events
from keras_rescnet.training.losses import build_losses, build_teacher
from keras_rescnet.training.metrics import (
    ClassMetrics,
    TagMetrics,
    best_row,
    prefixed,
    results_of,
)
from keras_rescnet.training.progress import Progress
from keras_rescnet.training.setup import (
    build_model,
    build_optimizer,
    check_batch,
    check_same,
    check_views,
)
from keras_rescnet.training.state import RunState

# Steps between two looks at signals and numbers. Several processes must look at the same step,
# while their clocks differ: a number that is small enough for steps of seconds. One process looks
# about once per second, at most every so many steps, so that a step of a millisecond or less is
# not run by the thousand on the strength of one measurement.
_STEPS_OF_SEVERAL_PROCESSES = 16
_MOST_STEPS = 256
_SHOWN_SECONDS = 10.0  # between two notes in `run.json` of how far the run is
_RANDOM = "keras/global_seed_generator"  # its state in a checkpoint, if there is one


class Run:
    """A recipe being trained: model, data, and how far it is.

    Args:
        recipe: What to train.
        folder: The `WorkDir` of the run.
        engine: The `Engine` that runs its steps.
        data_dir: Where TensorFlow Datasets keeps its data.
    """

    def __init__(self, recipe, folder, engine, data_dir=None):
        check_batch(recipe, engine.replicas)
        check_decay(recipe, range(recipe.epochs - recipe.warmup_epochs))  # not after hours
        self.folder, self.engine = folder, engine
        self.digest = recipe.digest()
        self.checkpoints = Checkpoints(folder.checkpoints, engine.chief, self.digest)
        self.data = RunData(recipe, data_dir)
        folder.check_data(self.data.facts())
        if engine.processes > 1:
            check_same(engine, data=[self.data.facts(), self.data.digest()])
        self.recipe = recipe = dataclasses.replace(recipe, dataset=self.data.dataset)
        self.steps_per_epoch = self.data.steps_per_epoch
        self.total_steps = recipe.epochs * self.steps_per_epoch
        if recipe.schedule_per_step:
            first = recipe.warmup_epochs * self.steps_per_epoch
            steps = range(self.total_steps - first)
            check_decay(recipe, (step / self.steps_per_epoch for step in steps))
        self.splits = ["test"] if recipe.ema_momentum is None else ["test", "test_ema"]
        self.callbacks = Callbacks(recipe, engine)
        self.state = RunState()
        self._build()
        self._describe(data_dir)

    def _build(self):
        """Makes model and optimizer, in the order that decides their random numbers."""
        recipe, engine = self.recipe, self.engine
        losses = build_losses(recipe, self.data.train.class_names)
        self.metrics = (TagMetrics if recipe.dataset.multi_label else ClassMetrics)(losses)
        fresh = self._last_checkpoint() is None
        keras.utils.set_random_seed(recipe.seed)
        policy = keras.dtype_policies.get(keras.config.dtype_policy())
        keras.config.set_dtype_policy(recipe.precision)
        try:
            with engine.scope():
                self.model = build_model(recipe, engine.replicas, initialize=fresh)
                if fresh and recipe.adapt is not None:
                    with calling("adapt", recipe.adapt):
                        recipe.adapt(self.model, self.data.images())
                self.parameters = count_parameters(self.model)
                self.optimizer = build_optimizer(recipe, self.model)
                teacher = build_teacher(recipe)
                check_views(recipe)
        finally:
            keras.config.set_dtype_policy(policy)
        if fresh and recipe.adapt is not None and engine.processes > 1:
            # Every process computes them, and unlike processors round in other ways
            arrays = self.model.get_weights()
            check_same(engine, weights=[hashlib.sha256(array).hexdigest() for array in arrays])
        engine.build(
            Task(
                self.model,
                self.optimizer,
                self.metrics.train_statistics,
                self.metrics.test_statistics,
                recipe.batch_size,
                recipe.gradient_accumulation_steps,
                teacher,
                recipe.test_views,
            )
        )

    def fit(self, stop):
        """Trains to the last step or a callback's stop, from the last checkpoint if there is one.

        Args:
            stop: The `StopRequest` to look at between steps.
        """
        self._started, self._status, count = time.monotonic(), "training", 1
        self._begin()
        try:
            self._note_progress()
            self.callbacks.begin(self._facts())
            while self.state.step < self.total_steps and self.state.stopped_by is None:
                if self.engine.any(bool(stop.requested)):
                    self._leave(stop)
                step = self.state.step
                epoch, done = divmod(step, self.steps_per_epoch)
                count = min(count, self.steps_per_epoch - done)
                start = time.monotonic()
                rows = self.engine.steps(list(map(self._learning_rate, range(step, step + count))))
                seconds = (time.monotonic() - start) / count
                if not np.all(np.isfinite(rows)):
                    self._handle_not_finite("loss", rows)
                    continue
                self.state.add_steps(rows)
                self.progress.update(self.state.step, self._train_metrics())
                if time.monotonic() - self._noted > _SHOWN_SECONDS:
                    self._note_progress()
                count = self._next_count(seconds)
                ended = self.state.step % self.steps_per_epoch == 0
                if ended:
                    self._end_epoch(epoch)
                if ended or self.engine.any(self._is_late()):
                    self._save()
            if self.state.stopped_by is not None:
                self._say(
                    f"{self.state.stopped_by} ended the run after epoch "
                    f"{self.state.history[-1]['epoch']} of {self.recipe.epochs}."
                )
        except BaseException as error:
            asked = isinstance(error, SystemExit | KeyboardInterrupt)
            self._status = "stopped" if asked else "failed"
            raise
        else:
            self._status = "exporting"
        finally:
            self.checkpoints.close()
            self._note_progress()

    def _learning_rate(self, step):
        return learning_rate_at_step(step, self.steps_per_epoch, self.recipe)

    def _begin(self, rollbacks=0):
        """Goes to the last checkpoint if there is one, and on with its batches from there."""
        found = self._last_checkpoint()
        if found is not None:
            self.state, arrays = found
            arrays = self.callbacks.restore(self.state.callbacks, arrays)
            if _RANDOM in arrays:
                with self.engine.scope():
                    keras.random.uniform(())  # makes the generator, where nothing has drawn yet
                    _global_generator().state.assign(arrays.pop(_RANDOM))
            self.engine.assign(match(arrays, self.engine.variables(), self.state.step))
            if self.state.history:
                self.folder.write_log(self.state.history)
            self._say(f"Continues after step {self.state.step} of {self.total_steps}.")
        self.state.rollbacks += rollbacks
        self._feed()
        step, chief = self.state.step, self.engine.chief
        self.events = Events(self.folder.path / "tensorboard", self.state.history, chief)
        shown = self.metrics.shown
        self.progress = Progress(self.recipe, self.steps_per_epoch, step, chief, shown)
        self._saved = time.monotonic()
        self._saved_step = step

    def _feed(self):
        steps = (self.state.step, self.total_steps, self.state.rollbacks)
        self.engine.feed(functools.partial(self.data.train_batches, *steps))

    def _next_count(self, seconds):
        """Returns how many steps to run until the next look at signals and numbers."""
        if self.recipe.steps_per_execution is not None:
            return self.recipe.steps_per_execution
        if self.engine.processes > 1:
            return _STEPS_OF_SEVERAL_PROCESSES
        return int(np.clip(1.0 / seconds, 1, _MOST_STEPS))

    def _end_epoch(self, epoch):
        recipe = self.recipe
        row = {
            "epoch": epoch + 1,
            "learning_rate": self._learning_rate(self.state.step - 1),
            **prefixed("train", self._train_metrics()),
        }
        tested = (epoch + 1) % recipe.evaluate_every == 0 or epoch + 1 == recipe.epochs
        if tested:
            self.progress.test(epoch)
            row.update(self._evaluate("test"))
            if recipe.ema_momentum is not None:
                weights = self.engine.variables()
                self.engine.average_weights()
                row.update(self._evaluate("test_ema"))
                self.engine.assign(weights)
        else:
            for split in self.splits:
                row.update(prefixed(split, dict.fromkeys(self.metrics.names)))
        self.state.end_epoch(row)
        self.folder.write_log(self.state.history)
        self.progress.end_epoch(row)
        self.events.add(row)
        stopped_by = self.callbacks.end_epoch(dict(row))
        if tested:  # the last epoch always is
            self.state.stopped_by = stopped_by

    def _evaluate(self, split):
        batches, count = self.data.test_batches, len(self.data.test)
        return prefixed(split, self.metrics.of_test(self.engine, batches, count))

    def _train_metrics(self):
        """Returns the metrics of the steps of the running epoch, at least one."""
        steps = (self.state.step - 1) % self.steps_per_epoch + 1
        return self.metrics.of_sums(self.state.sums, steps * self.recipe.batch_size)

    def _is_late(self):
        return time.monotonic() - self._saved > 60.0 * self.recipe.checkpoint_minutes

    def _save(self):
        arrays = self.engine.variables()
        if not all(np.all(np.isfinite(array)) for array in arrays.values()):
            self._handle_not_finite("weight")
            return
        if _global_generator() is not None:
            arrays[_RANDOM] = np.array(_global_generator().state.value)
        self.state.callbacks = self.callbacks.pack(arrays)
        best = best_row(self.state.history, self.metrics.best) or {"epoch": 0}
        self.checkpoints.save(self.state, arrays, keep=best["epoch"] * self.steps_per_epoch)
        self._saved, self._saved_step = time.monotonic(), self.state.step
        self._note_progress()

    def _note_progress(self):
        seconds = time.monotonic() - self._started
        self.folder.note_progress(
            self.state.step, seconds, status=self._status, **self.progress.facts()
        )
        self._noted = time.monotonic()

    def _facts(self):
        columns = ["epoch", "learning_rate"]
        for split in ("train", *self.splits):
            columns += prefixed(split, dict.fromkeys(self.metrics.names))
        return RunFacts(
            folder=self.folder.path,
            id=self.folder.run.get("id", ""),
            name=self.folder.path.resolve().name,
            recipe=self.recipe.describe(),
            epochs=self.recipe.epochs,
            columns=tuple(columns),
            history=[dict(row) for row in self.state.history],
        )

    def _leave(self, stop):
        """Saves and ends as the signal says that was received."""
        if self.state.step != self._saved_step:
            self._save()
        step = self.state.step
        where = f"Stopped after step {step} of {self.total_steps}" if step else "Stopped at once"
        saved = self.checkpoints.wait()
        stop.leave(f"{where}, and saved." if saved else f"{where}, but that could not be saved.")

    def _last_checkpoint(self):
        """The chief sets damaged ones aside, then the others look."""
        found = self.checkpoints.last() if self.engine.chief else None
        self.engine.wait_for_all()
        return found if self.engine.chief else self.checkpoints.last()

    def _handle_not_finite(self, what, rows=None):
        """Goes back to the last checkpoint if the recipe allows and there is one; else raises.

        Args:
            what: What is not finite.
            rows: Statistics of the steps after `state.step`, of which the first is looked for
                that is not finite.
        """
        step = self.state.step
        if rows is not None:
            step += 1 + int(np.argmin(np.all(np.isfinite(rows), axis=1)))
        message = (
            f"The {what} is not finite at step {step}, learning rate "
            f"{self._learning_rate(step - 1):g}"
        )
        if self.engine.loss_scale() is not None:
            message += f", loss scale {self.engine.loss_scale():g}"
        self.checkpoints.wait()
        found = self._last_checkpoint()
        if self.recipe.nan_policy == "rollback" and not self.state.rollbacks and found:
            self._say(f"{message}. Goes back to the last checkpoint, with another order.")
            self._begin(rollbacks=1)
            return
        where = f"that of step {found[0].step}" if found else "none"
        raise FloatingPointError(f"{message}. The last good checkpoint is {where}.")

    def finish(self):
        """Writes model, SavedModel and results, and tells the callbacks; returns the results."""
        if self.recipe.ema_momentum is not None:
            self.engine.average_weights()
        if self.recipe.dataset.multi_label:
            self._say(f"Chooses thresholds on the {len(self.data.train):,} training images.")
        results = {
            **results_of(self.state.history, self.metrics.best),
            "parameters": self.parameters,
            "recipe_digest": self.digest,
            **self.metrics.at_end(self.engine, self.data),
        }
        if self.state.stopped_by is not None:
            results["stopped_by"] = self.state.stopped_by
        if self.engine.chief:
            self._export(results.get("thresholds", {}))
            self.callbacks.end(results)
            self.folder.results = results  # last: it says that all the rest is there
        self.engine.wait_for_all()  # who serves the others' collectives must not leave before
        return results

    def _export(self, thresholds):
        with self.folder.write_aside("model.keras") as path:
            self.engine.save(path)
        if keras.backend.backend() == "tensorflow":
            dataset = self.recipe.dataset
            with self.folder.write_aside("saved_model") as path:
                export.saved_model(
                    scaled(self.model, self.folder.run.get("temperature")),
                    path,
                    mean=dataset.mean,
                    std=dataset.std,
                    class_names=self.data.train.class_names,
                    crop_fraction=self.data.facts()["crop_fraction"],
                    multi_label=dataset.multi_label,
                    thresholds=list(thresholds.values()),
                )
        plot_run(self.folder.path)

    def _describe(self, data_dir):
        recipe, data = self.recipe, self.data
        stateful = data.stateful_transforms()
        self.folder.update_run(
            name=recipe.name,
            parameters=self.parameters,
            data=data.facts(),
            data_dir=None if data_dir is None else str(data_dir),
            steps_per_epoch=self.steps_per_epoch,
            reproducible=not stateful,
        )
        trained = count_parameters(self.model)
        frozen = f"{trained:,} trainable of " if trained != self.parameters else ""
        self._say(
            f"{self.model.name}: {frozen}{self.parameters:,} parameters, {recipe.precision}, "
            f"on {', '.join(self.engine.devices)}.\n"
            f"{recipe.dataset.name}: {len(data.train):,} training and "
            f"{counted(len(data.test), 'test image')}; {counted(recipe.epochs, 'epoch')} of "
            f"{counted(self.steps_per_epoch, 'step')} of {counted(recipe.batch_size, 'image')}."
        )
        if stateful:
            self._say(
                f"Not reproducible to the bit: {', '.join(stateful)} draw from a generator whose "
                "state depends on timing and is not saved."
            )

    def _say(self, text):
        if self.engine.chief:
            say(text)


def _global_generator():
    """Returns the generator of random numbers without a seed, or `None` if nothing has drawn any.

    Keras has no public way to it: what makes one when asked would change the numbers of a run.
    """
    from keras.src.backend.common import global_state

    return global_state.get_global_attribute("global_seed_generator")
