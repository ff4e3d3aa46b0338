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
