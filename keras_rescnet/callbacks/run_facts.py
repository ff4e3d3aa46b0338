"""What callbacks know of their run."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What a callback is told of its run when training begins.

    Args:
        folder: The folder of the run.
        id: Letters and digits that no other run has, the same in all starts of the run.
        name: Name of the folder.
        recipe: `Recipe.describe()`.
        epochs: Number of epochs, unless a callback ends the run before.
        columns: Names of the numbers in a row of the log.
        history: The rows of the epochs that have ended, of a run that continues.

    Example:

    >>> import pathlib
    >>> run = kr.callbacks.RunFacts(
    ...     folder=pathlib.Path("runs/digits"), id="5f0c", name="digits", recipe={"seed": 0},
    ...     epochs=20, columns=("epoch", "test_loss"), history=[],
    ... )
    >>> run.columns
    ('epoch', 'test_loss')
    """

    folder: pathlib.Path
    id: str
    name: str
    recipe: dict
    epochs: int
    columns: tuple[str, ...]
    history: list[dict]
