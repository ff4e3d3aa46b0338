"""Random numbers of the rows of a batch, or of a part of it."""

import contextlib

import tensorflow as tf

_parts = []


@contextlib.contextmanager
def part_of(batch_size, positions):
    """A context in which transforms change a part of a batch as they would change the whole.

    Args:
        batch_size: Rows of the whole batch.
        positions: Which of them the part has, int `(n,)`.
    """
    _parts.append((batch_size, positions))
    try:
        yield
    finally:
        _parts.pop()


def draw(shape, seed, *arguments, rows=0, **options):
    """Draws uniform numbers for every row, as `tf.random.stateless_uniform` does for the batch.

    Args:
        shape: Shape of the numbers; its axis `rows` counts the images.
        seed: int64 `(2,)`.
        *arguments: Of `tf.random.stateless_uniform`.
        rows: Axis of the images. Defaults to 0.
        **options: Of `tf.random.stateless_uniform`.
    """
    if not _parts:
        return tf.random.stateless_uniform(shape, seed, *arguments, **options)
    batch_size, positions = _parts[-1]
    shape = (*shape[:rows], batch_size, *shape[rows + 1 :])
    numbers = tf.random.stateless_uniform(shape, seed, *arguments, **options)
    return tf.gather(numbers, positions, axis=rows)


def reach(transforms):
    """Returns how many of the rows before its own a row depends on, or `None` if on any.

    A transform says so in its attribute `reach`; one without it may look at the whole batch.
    """
    each = [getattr(transform, "reach", None) for transform in transforms]
    return None if None in each else sum(each)
