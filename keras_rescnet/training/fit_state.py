"""How far a `fit` is."""

import dataclasses


@dataclasses.dataclass
class FitState:
    """How far a `fit` is: what a checkpoint of `ExactResume` keeps beside the variables.

    Args:
        step: Number of steps done.
        epoch: The epoch to continue in, counted from 0.
        batch: Number of its steps that are done.
        finished: Whether `fit` had reached its end.
        stopped: Whether a callback ended it before its last epoch.
        callbacks: Class name and state of every callback that has one, as `callback_state.pack`
            returns it.
    """

    step: int
    epoch: int
    batch: int
    finished: bool
    stopped: bool
    callbacks: list[list]

    def to_json(self) -> dict:
        """Returns the state as JSON can hold it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, facts: dict):
        """Returns the state that `to_json` gave."""
        return cls(**{field.name: facts[field.name] for field in dataclasses.fields(cls)})
