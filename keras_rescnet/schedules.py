"""The learning rate of every epoch, as functions of numbers."""

import math

__all__ = ["cosine_decay", "learning_rate_at", "step_decay"]


def cosine_decay(epoch, epochs):
    """Returns `(1 + cos(pi epoch / epochs)) / 2`, which falls from 1 towards 0."""
    return (1.0 + math.cos(math.pi * epoch / epochs)) / 2.0


def step_decay(epoch, epochs, *, every, factor=0.1):
    """Returns `factor ** (epoch // every)`."""
    return factor ** (epoch // every)


def learning_rate_at(epoch, recipe):
    """Returns the learning rate of an epoch, counted from 0.

        rate (0.01 + 0.99 epoch / warmup_epochs)             while epoch < warmup_epochs
        minimum + (rate - minimum) decay(epoch - warmup_epochs, epochs - warmup_epochs)

    Reference:
        PyTorch's `LinearLR(start_factor=0.01)` followed by `CosineAnnealingLR` or `StepLR`, as in
        `src/classification/train.py` of github.com/tcmyxc/CV-Tutorial.
    """
    rate, warmup = recipe.learning_rate, recipe.warmup_epochs
    if epoch < warmup:
        return rate * (0.01 + 0.99 * epoch / warmup)
    minimum = recipe.minimum_learning_rate
    return minimum + (rate - minimum) * recipe.decay(epoch - warmup, recipe.epochs - warmup)
