"""Sizes of a family of networks, as functions of their own."""

import functools
import inspect
import re
from collections.abc import Callable

import keras

from keras_rescnet.models.weights import takes_weights


def variant(
    builder: Callable[..., keras.Model], *arguments: object, **changes: object
) -> Callable[[Callable[[], None]], Callable[..., keras.Model]]:
    """Makes the decorated function a builder with some arguments given and other defaults.

    The function has a name and a docstring and nothing else. Its signature becomes the builder's,
    with the new defaults and with `weights`, and its docstring continues with its arguments.

    Args:
        builder: A function that returns a `keras.Model`.
        *arguments: Its positional arguments, which the new function does not take.
        **changes: New defaults of keyword arguments.
    """
    build = functools.partial(builder, *arguments, **changes)

    def decorate(documented):
        @functools.wraps(documented)
        def size(**options):
            if unknown := [name for name in options if name not in signature.parameters]:
                raise TypeError(
                    f"{documented.__name__}() got an unexpected keyword argument {unknown[0]!r}"
                )
            return build(**options)

        signature = inspect.signature(build).replace(return_annotation=keras.Model)
        size.__signature__ = signature  # type: ignore[attr-defined]
        given = list(inspect.signature(builder).parameters)[: len(arguments)]
        size.__doc__ = f"{inspect.getdoc(documented)}\n\n{_argument_section(builder, given)}"
        return takes_weights(size)

    return decorate


def _argument_section(builder, left_out):
    """Returns what the docstring of a builder says from `Args:` up to its example."""
    _, head, rest = (inspect.getdoc(builder) or "").partition("Args:")
    section = head + rest.partition("Example:")[0].rstrip()
    for name in left_out:
        section = re.sub(rf"\n    {name}: .*(\n {{5,}}.*)*", "", section)
    return section
