"""Runs that are stopped on the way."""

import contextlib
import os
import signal

import pytest


@contextlib.contextmanager
def stopping_after(count, number=signal.SIGTERM):
    """Sends this process a signal once the runs in the body have done so many steps, together."""
    from keras_rescnet.training.engines import make_engine

    engine = type(make_engine())
    steps, left = engine.steps, count

    def steps_and_signal(self, learning_rates):
        nonlocal left
        rows = steps(self, learning_rates)
        if left > 0 >= left - len(learning_rates):
            os.kill(os.getpid(), number)
        left -= len(learning_rates)
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "steps", steps_and_signal)
        yield


class Killed(BaseException):
    """Ends a run between two steps as SIGKILL does: nothing is saved that was not saved before."""


@contextlib.contextmanager
def killing_after(count):
    """Raises `Killed` before the step that follows so many steps of the runs in the body."""
    from keras_rescnet.training.claim import Claim
    from keras_rescnet.training.engines import make_engine

    engine = type(make_engine())
    steps, left = engine.steps, count

    def steps_or_end(self, learning_rates):
        nonlocal left
        if left <= 0:
            raise Killed
        left -= len(learning_rates)
        return steps(self, learning_rates)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "steps", steps_or_end)
        patch.setattr(Claim, "clear", lambda self: None)  # it tidies up after a start that failed
        yield
