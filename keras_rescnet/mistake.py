"""What a user can put right."""


class Mistake(ValueError):
    """A mistake in what was asked for: its one line says what is wrong and what to do.

    Commands print the line and end with exit code 2; every other exception is a defect of this
    package or of what it calls, and keeps its traceback.
    """
