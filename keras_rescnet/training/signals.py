"""Signals that ask a run to save and leave."""

import signal
import types

from keras_rescnet.console import say

# Ctrl-C; what a batch system or `kill` sends; what a terminal sends that is closed
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Notes the first SIGINT, SIGTERM or SIGHUP; a second one acts at once.

    A signal that the process was started to ignore, such as SIGHUP under `nohup`, is ignored. One
    within another, as those of the runs of an ensemble, passes on what it notes.
    Outside of the main thread, where Python takes no signals, it does nothing.

    Attributes:
        requested: The number of the signal, or `None`.
    """

    def __init__(self):
        self.requested: int | None = None
        self._handlers = {}

    def __enter__(self):
        for number in _SIGNALS:
            if signal.getsignal(number) == signal.SIG_IGN:
                continue
            try:
                self._handlers[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread
                break
        return self

    def __exit__(self, *_):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: types.FrameType | None):
        self.requested = number
        before = self._handlers[number]
        signal.signal(number, before)
        if isinstance(getattr(before, "__self__", None), StopRequest):
            before(number, frame)

    def leave(self, message: str) -> None:
        """Prints `message`, and raises what the signal would have raised.

        A process that stops because another of its run was signalled ends as after SIGTERM.

        Raises:
            KeyboardInterrupt: After SIGINT.
            SystemExit: With 143 after SIGTERM, 129 after SIGHUP.
        """
        say(f"{message} The same command continues from there.")
        if self.requested == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + (self.requested or signal.SIGTERM))
