"""Calls of the functions that a recipe holds."""

import contextlib
import traceback
from collections.abc import Iterator

from keras_rescnet.mistake import Mistake, shorten


@contextlib.contextmanager
def calling(field: str, function: object) -> Iterator[None]:
    """Makes a `Mistake` of what a function of a recipe raises in the body of a `with`.

    The function is the user's, and so is what it does wrong: the answer is one line with the place
    where it failed; `--traceback` shows the rest.

    Args:
        field: The field of the recipe.
        function: Its value.
    """
    try:
        yield
    except Mistake:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise Mistake(
            f"The recipe's `{field}` failed in {shorten(frame.filename, str)}:{frame.lineno}: "
            f"{shorten(f'{type(error).__name__}: {error}', str, 150)}. "
            f"Received: {field}={shorten(function)}."
        ) from error
