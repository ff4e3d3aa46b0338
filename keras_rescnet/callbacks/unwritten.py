"""What a run says when a logger cannot write."""

from keras_rescnet.console import say
from keras_rescnet.mistake import shorten


def say_unwritten(store: str, error: Exception) -> None:
    """Says that a store could not be written: a run of days does not end because a server is away.

    Args:
        store: Its name.
        error: What it answered.
    """
    reason = shorten(" ".join(str(error).split()), str, 150)
    say(f"{store} could not be written ({type(error).__name__}: {reason}). Training continues.")
