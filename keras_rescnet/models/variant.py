"""Sizes of a family of networks, as functions of their own."""

import functools
import inspect
import re
import textwrap
from collections.abc import Callable

import keras

from keras_rescnet.models.weights import takes_weights


def variant(
    builder: Callable[..., keras.Model], *arguments: object, **changes: object
) -> Callable[[Callable[[], None]], Callable[..., keras.Model]]:
    """Makes the decorated function a builder with some arguments given and other defaults.

    The function has a name and a docstring and nothing else. Its signature becomes the builder's,
    with the new defaults and with `weights`, and its docstring continues with its arguments, whose
    last sentence, `Defaults to ...`, says the new default.

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
        size.__doc__ = (
            f"{inspect.getdoc(documented)}\n\n{_argument_section(builder, given, changes)}"
        )
        return takes_weights(size)

    return decorate


def _argument_section(builder, left_out, changes):
    """Returns what the docstring of a builder says from `Args:` up to its example."""
    _, head, rest = (inspect.getdoc(builder) or "").partition("Args:")
    section = head + rest.partition("Example:")[0].rstrip()
    for name in left_out:
        section = re.sub(_entry(name), "", section)
    for name, default in changes.items():
        section = re.sub(_entry(name), functools.partial(_with_default, default), section)
    return section


def _entry(name):
    """Returns the pattern of an argument in a docstring."""
    return rf"\n    {name}: .*(\n {{5,}}.*)*"


def _with_default(default, entry):
    """Returns the entry of an argument, a match, with another default."""
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    shown = f"{default:g}" if is_number else f"`{_code(default)}`"
    text = " ".join(entry[0].split()).partition(" Defaults to ")[0]
    text = f"{text} Defaults to {shown}."
    return "\n" + textwrap.fill(text, 96, initial_indent=" " * 4, subsequent_indent=" " * 8)


def _code(value):
    """Returns a value as Python writes it, by the names alone."""
    if isinstance(value, functools.partial):
        return f"partial({', '.join([_code(value.func), *_options(value.keywords)])})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_code, value))})"
    if isinstance(value, keras.initializers.Initializer):
        config = {key: item for key, item in value.get_config().items() if item is not None}
        return f"{type(value).__name__}({', '.join(_options(config))})"
    if isinstance(value, str):
        return f'"{value}"'
    return getattr(value, "__name__", repr(value))


def _options(options):
    return [f"{name}={_code(value)}" for name, value in options.items()]
