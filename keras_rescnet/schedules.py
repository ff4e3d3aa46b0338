"""The learning rate of every epoch or step, as functions of numbers."""

import math
from typing import TYPE_CHECKING

from keras_rescnet.arguments import check_number, check_positive

if TYPE_CHECKING:
    from keras_rescnet.recipe import Recipe

__all__ = [
    "cosine_decay",
    "learning_rate_at",
    "learning_rate_at_step",
    "linear_decay",
    "step_decay",
]


def cosine_decay(epoch: float, epochs: float) -> float:
    """Returns the factor of a cosine schedule, which falls from 1 towards 0.

        (1 + cos(pi epoch / epochs)) / 2

    Args:
        epoch: Epochs since the warm-up, counted from 0.
        epochs: How many there are.

    Returns:
        A float, 1 at epoch 0 and 0 at `epochs`.

    Raises:
        Mistake: If `epochs` is not positive.

    Example:

    >>> [round(kr.schedules.cosine_decay(epoch, 4), 3) for epoch in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    check_positive("epochs", epochs)
    return (1.0 + math.cos(math.pi * epoch / epochs)) / 2.0


def linear_decay(epoch: float, epochs: float) -> float:
    """Returns the factor of a linear schedule, which falls from 1 towards 0.

        1 - epoch / epochs

    Args:
        epoch: Epochs since the warm-up, counted from 0; with `schedule_per_step`, fractions too.
        epochs: How many there are.

    Returns:
        A float, 1 at epoch 0 and 0 at `epochs`.

    Raises:
        Mistake: If `epochs` is not positive.

    Example:

    >>> [kr.schedules.linear_decay(epoch, 4) for epoch in (0, 0.5, 3)]
    [1.0, 0.875, 0.25]
    """
    check_positive("epochs", epochs)
    return 1.0 - epoch / epochs


def step_decay(epoch: float, epochs: float, *, every: int, factor: float = 0.1) -> float:
    """Returns the factor of a schedule in steps.

        factor ** (epoch // every)

    Args:
        epoch: Epochs since the warm-up, counted from 0.
        epochs: How many there are. Not used: all schedules are called with it.
        every: Epochs per step.
        factor: Of every step. Defaults to 0.1.

    Returns:
        A float, 1 in the first `every` epochs.

    Raises:
        Mistake: If `every` is not a positive number, or `factor` is not a number of at least 0.

    Example:

    >>> [kr.schedules.step_decay(epoch, 90, every=30, factor=0.5) for epoch in (29, 30, 60)]
    [1.0, 0.5, 0.25]
    """
    check_positive("every", every)
    check_number("factor", factor, 0)
    return factor ** (epoch // every)


def learning_rate_at(epoch: float, recipe: "Recipe") -> float:
    """Returns the learning rate of an epoch, counted from 0.

        rate (0.01 + 0.99 epoch / warmup_epochs)             while epoch < warmup_epochs
        minimum + (rate - minimum) decay(epoch - warmup_epochs, epochs - warmup_epochs)

    Reference:
        PyTorch's `LinearLR(start_factor=0.01)` followed by `CosineAnnealingLR` or `StepLR`, as in
        `src/classification/train.py` of github.com/tcmyxc/CV-Tutorial.

    Args:
        epoch: The epoch; with `schedule_per_step`, a fraction too.
        recipe: A `Recipe`: its `epochs`, `warmup_epochs`, `learning_rate`,
            `minimum_learning_rate` and `decay` count.

    Returns:
        The learning rate, a float, before the multipliers of single weights.

    Example:

    >>> from types import SimpleNamespace
    >>> recipe = SimpleNamespace(
    ...     epochs=6,
    ...     warmup_epochs=2,
    ...     learning_rate=0.1,
    ...     minimum_learning_rate=0.0,
    ...     decay=kr.schedules.cosine_decay,
    ... )
    >>> [round(kr.schedules.learning_rate_at(epoch, recipe), 4) for epoch in range(6)]
    [0.001, 0.0505, 0.1, 0.0854, 0.05, 0.0146]
    """
    rate, warmup = recipe.learning_rate, recipe.warmup_epochs
    if epoch < warmup:
        return rate * (0.01 + 0.99 * epoch / warmup)
    minimum = recipe.minimum_learning_rate
    return minimum + (rate - minimum) * recipe.decay(epoch - warmup, recipe.epochs - warmup)


def learning_rate_at_step(step: int, steps_per_epoch: int, recipe: "Recipe") -> float:
    """Returns the learning rate of a step, counted from 0.

    It is `learning_rate_at` of the step's epoch; of `step / steps_per_epoch` if the recipe has
    `schedule_per_step`.

    Args:
        step: The step.
        steps_per_epoch: Steps per epoch.
        recipe: A `Recipe`.

    Returns:
        The learning rate, a float, before the multipliers of single weights.

    Example:

    >>> from types import SimpleNamespace
    >>> recipe = SimpleNamespace(
    ...     epochs=2,
    ...     warmup_epochs=0,
    ...     learning_rate=1.0,
    ...     minimum_learning_rate=0.0,
    ...     decay=kr.schedules.linear_decay,
    ...     schedule_per_step=True,
    ... )
    >>> [kr.schedules.learning_rate_at_step(step, 4, recipe) for step in range(8)]
    [1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    """
    if recipe.schedule_per_step:
        return learning_rate_at(step / steps_per_epoch, recipe)
    return learning_rate_at(step // steps_per_epoch, recipe)
