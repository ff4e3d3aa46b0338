"""Ctrl-C and SIGTERM as a request to save and leave."""

import signal


class StopRequest:
    """Notes the first SIGINT or SIGTERM; a second one acts at once.

    Outside of the main thread, where Python takes no signals, it does nothing.
    """

    def __init__(self):
        self.requested = None
        self._handlers = {}

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._handlers[number] = signal.signal(number, self._note)
            except ValueError:
                break
        return self

    def __exit__(self, *_):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        self.requested = number
        signal.signal(number, self._handlers[number])

    def leave(self, message):
        """Prints `message`, and raises what the signal would have raised.

        A process that stops because another of its run was signalled ends as after SIGTERM.
        """
        print(f"{message} The same command goes on from there.", flush=True)
        if self.requested == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + (self.requested or signal.SIGTERM))
