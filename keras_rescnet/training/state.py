"""How far a run is."""

import dataclasses

import numpy as np


@dataclasses.dataclass
class RunState:
    """How far a run is: what a checkpoint keeps beside the weights, and what the log shows.

    Args:
        step: Number of steps done.
        history: The rows of the log, one dict per epoch that has ended; `None` in a row stands
            for what was not measured.
        sums: Sums of the statistics over the steps of the running epoch, one per statistic; one
            0 before the first step.
        rollbacks: How often the run went back to a checkpoint because of a number that was not
            finite; each time the batches come in another order.
        callbacks: What the callbacks remember, as `Callbacks.pack` returns it.
        stopped_by: Class name of the callback that has ended the run, if one has.
    """

    step: int = 0
    history: list[dict] = dataclasses.field(default_factory=list)
    sums: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1))
    rollbacks: int = 0
    callbacks: dict = dataclasses.field(default_factory=dict)
    stopped_by: str | None = None

    def add_steps(self, rows):
        """Counts steps whose sums of the statistics are `rows`, `(steps, statistics)`."""
        for row in rows:  # one by one: the sums must not depend on how many come at once
            self.sums = self.sums + row
        self.step += len(rows)

    def end_epoch(self, row):
        """Adds an epoch's row to the log, and begins the sums of the next."""
        self.history.append(row)
        self.sums = np.zeros_like(self.sums)

    def to_json(self) -> dict:
        """Returns the state as JSON can hold it."""
        return {**dataclasses.asdict(self), "sums": self.sums.tolist()}

    @classmethod
    def from_json(cls, facts: dict):
        """Returns the state that `to_json` gave."""
        history = [  # older checkpoints have "" for what was not measured
            {name: None if value == "" else value for name, value in row.items()}
            for row in facts["history"]
        ]
        later = {name: facts[name] for name in ("callbacks", "stopped_by") if name in facts}
        return cls(facts["step"], history, np.array(facts["sums"]), facts["rollbacks"], **later)
