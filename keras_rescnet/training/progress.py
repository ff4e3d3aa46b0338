"""What a person sees of a run: a bar on a terminal, a line per epoch elsewhere."""

import shutil
import sys
import time
from collections.abc import Mapping, Sequence

from keras_rescnet.console import say
from keras_rescnet.training.metrics import METRICS

_BAR = 20  # characters, where the line has room for them


class Progress:
    """Prints how far a run is.

    Images per second are those of training, without tests and without the first steps, which wait
    for compilation.

    Args:
        recipe: The `Recipe` of the run.
        steps_per_epoch: Number of steps per epoch.
        step: Number of steps that were done before.
        chief: Whether this process prints. One process of a run does.
        shown: Names of the metrics to print, the loss first.
    """

    def __init__(
        self,
        recipe,
        steps_per_epoch: int,
        step: int,
        chief: bool = True,
        shown: Sequence[str] = METRICS[:2],
    ):
        self._chief, self._shown = chief, shown
        self._terminal = chief and _is_terminal()
        self._epochs, self._batch_size = recipe.epochs, recipe.batch_size
        self._evaluate_every = recipe.evaluate_every
        self._steps_per_epoch = steps_per_epoch
        self._test_seconds = 0.0
        self._known: tuple[float, float] | None = None  # images per second, and seconds left
        self._compiled: tuple[int, float] | None = None  # the first step that is worth timing
        self._begin(step)

    def _begin(self, step):
        self._first = self._last = (step, time.monotonic())

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Redraws the bar, on a terminal.

        Args:
            step: Number of steps of the run that are done.
            metrics: Those of the epoch so far.
        """
        self._last = (step, time.monotonic())
        if self._compiled is None:
            self._compiled = self._last
        elif self._first < self._compiled < self._last:
            self._first = self._compiled
        rate, left = self._rate(), self._seconds_left(step)
        self._known = (rate, left)
        if not self._terminal:
            return
        epoch, done = divmod(step - 1, self._steps_per_epoch)
        self._draw(
            f"Epoch {epoch + 1}/{self._epochs} ",
            (done + 1) / self._steps_per_epoch,
            f"{done + 1}/{self._steps_per_epoch}  {self._text(metrics)}  {rate:,.0f} images/s  "
            f"{_duration(left)} left",
        )

    def test(self, epoch: int) -> None:
        """Says that a test is going on, on a terminal.

        Args:
            epoch: The epoch after which it is, counted from 0.
        """
        if self._terminal:
            self._draw(f"Epoch {epoch + 1}/{self._epochs} ", 1.0, "testing")

    def end_epoch(self, row: dict) -> None:
        """Prints an epoch's row of the log, and begins the next one."""
        rate, (step, last) = self._rate(), self._last
        tested = row[f"test_{self._shown[-1]}"] is not None
        if tested:
            self._test_seconds = time.monotonic() - last
        left = self._seconds_left(step)
        self._known = (rate, left)
        self._begin(step)
        if not self._chief:
            return
        head = f"Epoch {row['epoch']}/{self._epochs}  "
        train, speed = self._text(row, "train"), f"{rate:,.0f} images/s  {_duration(left)} left"
        parts = [train, self._text(row, "test"), speed] if tested else [train, speed]
        text = head + "  ".join(parts)
        if not self._terminal:
            say(text)
            return
        if tested and len(text) >= shutil.get_terminal_size().columns:
            text = f"{head}{train}  {speed}\n{' ' * len(head)}{parts[1]}"
        say(f"\r\033[K{text}")

    def facts(self) -> dict:
        """Returns how far the run is, for other programs; `None` is what is not known yet."""
        step = self._last[0]
        rate, left = (round(value, 1) for value in self._known) if self._known else (None, None)
        return {
            "epoch": min(step // self._steps_per_epoch + 1, self._epochs),
            "epochs": self._epochs,
            "steps": self._epochs * self._steps_per_epoch,
            "images_per_second": rate,
            "seconds_left": left,
        }

    def _text(self, values, split=""):
        """Returns metrics in words; in a row of the log they have the name of a split."""
        texts = []
        for name in self._shown:
            value = values.get(f"{split}_{name}" if split else name)
            if value is not None:
                number = f"{value:.4f}" if name == "loss" else f"{100 * value:.2f} %"
                what = f"test {name}" if split == "test" else name
                texts.append(f"{what.replace('_', ' ')} {number}")
        return "  ".join(texts)

    def _rate(self):
        """Returns images per second."""
        (first, start), (last, now) = self._first, self._last
        return (last - first) * self._batch_size / max(now - start, 1e-9)

    def _seconds_left(self, step):
        steps = self._epochs * self._steps_per_epoch - step
        tests = -(-steps // (self._steps_per_epoch * self._evaluate_every))
        rate = self._rate()
        training = steps * self._batch_size / rate if rate else 0.0
        return training + tests * self._test_seconds

    def _draw(self, head, share, tail):
        """Draws one line, which must not be longer than the terminal is wide."""
        columns = shutil.get_terminal_size().columns - 1
        width = min(_BAR, columns - len(head) - len(tail) - 3)
        bar = f"[{'=' * int(width * share):<{width}}] " if width >= 4 else ""
        say(f"\r\033[K{(head + bar + tail)[:columns]}", end="")


def _is_terminal():
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # none, or closed
        return False


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
