"""What a person sees of a run: a bar on a terminal, a line an epoch otherwise."""

import sys
import time


class Progress:
    """Prints how far a run is.

    Args:
        recipe: The `Recipe` of the run.
        steps_per_epoch: Steps of an epoch.
        step: Steps that were done before.
        speaks: Whether this process prints: one of a run does.
    """

    def __init__(self, recipe, steps_per_epoch, step, speaks=True):
        self.speaks = speaks
        self.epochs, self.batch_size = recipe.epochs, recipe.batch_size
        self.steps_per_epoch = steps_per_epoch
        self.terminal = speaks and sys.stdout.isatty()
        self._begin(step)

    def _begin(self, step):
        self._start, self._start_step = time.monotonic(), step

    def update(self, step, sums):
        """Draws the bar after `step` steps; `sums` are those of the running epoch."""
        self._step = step
        if not self.terminal:
            return
        epoch, done = divmod(step - 1, self.steps_per_epoch)
        done += 1
        rate = (step - self._start_step) / (time.monotonic() - self._start)
        left = (self.epochs * self.steps_per_epoch - step) / rate
        filled = 20 * done // self.steps_per_epoch
        images = done * self.batch_size
        print(
            f"\rEpoch {epoch + 1}/{self.epochs} [{'=' * filled:<20}] "
            f"{done}/{self.steps_per_epoch}  loss {sums[0] / images:.4f}  "
            f"accuracy {100 * sums[1] / images:.2f} %  {rate * self.batch_size:,.0f} images/s  "
            f"{_duration(left)} left ",
            end="",
            flush=True,
        )

    def end_epoch(self, row):
        """Prints an epoch's row of the log."""
        if not self.speaks:
            return
        seconds = time.monotonic() - self._start
        rate = (self._step - self._start_step) * self.batch_size / seconds
        left = (self.epochs - row["epoch"]) * self.steps_per_epoch * self.batch_size / rate
        text = (
            f"Epoch {row['epoch']}/{self.epochs}  loss {row['train_loss']:.4f}  "
            f"accuracy {100 * row['train_accuracy']:.2f} %"
        )
        if row["test_accuracy"] != "":
            text += (
                f"  test loss {row['test_loss']:.4f}  "
                f"test accuracy {100 * row['test_accuracy']:.2f} %"
            )
        text += f"  {rate:,.0f} images/s  {_duration(left)} left"
        print(f"\r\033[K{text}" if self.terminal else text, flush=True)
        self._begin(self._step)


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
