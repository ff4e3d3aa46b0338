"""Recipes from files."""

import ast
import contextlib
import dataclasses
import importlib.util
import linecache
import os
import pathlib
import re
import sys
import traceback
import types
from collections.abc import Sequence

from keras_rescnet.mistake import Mistake, nearest, shorten
from keras_rescnet.recipe.recipe import Recipe, field_names

# What other trainers call a field, and what people ask for that is no field
_ALIASES = {"lr": "learning_rate", "bs": "batch_size", "min_lr": "minimum_learning_rate"}
_ARGUMENTS = {"weight_decay": "optimizer", "wd": "optimizer", "momentum": "optimizer"}
_ARGUMENTS |= {"activation": "model", "calibration": "model"}

# The recipes that come with this package: inside it in a wheel, beside it in a checkout
_PACKAGE = pathlib.Path(__file__).parents[1]
_SHIPPED = (_PACKAGE / "recipes", _PACKAGE.parent / "recipes")


def load_recipe(path, overrides: Sequence[str] = ()) -> Recipe:
    """Loads a recipe from a Python file, which is executed.

    The file assigns `recipe`, or `recipes`, a dict of named ones.

    Args:
        path: `FILE` or `FILE:NAME`. A recipe that comes with this package needs neither folder
            nor suffix: `digits_gclu_resnet8`, `table5:cifar10-resnet8-gclu`.
        overrides: `"field=value"` strings that replace fields; values are Python literals, or text.
            Defaults to `()`.

    Returns:
        A `Recipe`.

    Raises:
        Mistake: If the file is missing, fails, or has no such recipe, or a field does not exist
            or has a value that it cannot have.

    Example:

    >>> with open("digits.py", "w") as file:
    ...     length = file.write(
    ...         "from keras_rescnet import Recipe, data, models, optimizers\\n"
    ...         "recipe = Recipe(dataset=data.DIGITS, model=models.CifarResNet8,"
    ...         " optimizer=optimizers.SGD, batch_size=32, epochs=20, learning_rate=0.05)"
    ...     )
    >>> recipe = kr.load_recipe("digits.py", ["epochs=5", "seed=1"])
    >>> recipe.epochs, recipe.seed, recipe.batch_size
    (5, 1, 32)
    """
    if isinstance(overrides, str):
        raise Mistake(
            "`overrides` must be a list of 'field=value' strings. "
            f"Received: overrides={shorten(overrides)}, a string."
        )
    file, name = _split(str(path))
    recipe = _choose(execute(file), file, name)
    # all at once: epochs=5 may be unfit without the warmup_epochs=1 that follows it
    return dataclasses.replace(
        recipe,
        file=file.resolve(),
        name=name,
        **dict(_parse(override) for override in overrides),
    )


def recipe_name(path) -> str:
    """Returns the name of a run of `FILE` or `FILE:NAME`: `stem` or `stem-NAME`."""
    file, name = _split(str(path))
    return file.stem if name is None else f"{file.stem}-{name}"


def execute(file: pathlib.Path) -> dict:
    """Executes a recipe file, and returns the names that it assigns.

    Raises:
        Mistake: If there is no such file, or it fails: with its line and what went wrong.
    """
    if not os.path.isfile(file):  # which answers names that are too long, too
        near = ", ".join(sorted(str(other) for other in _neighbours(file)))
        others = f" There are: {shorten(near, str, 200)}." if near else ""
        raise Mistake(
            f"A recipe must be a Python file. Received: {shorten(file, str)}, which is no "
            f"file.{others}"
        )
    module = types.ModuleType(file.stem)
    namespace = vars(module)
    namespace["__file__"] = str(file)
    try:
        data = file.read_bytes()
        code = compile(data, str(file), "exec")
        # So that a description of its functions has the text that was executed
        lines = data.decode(errors="replace").splitlines(keepends=True)
        linecache.cache[str(file)] = (len(data), None, lines, str(file))
        with _findable(module, file):
            exec(code, namespace)  # noqa: S102
    except OSError as error:
        raise Mistake(f"A recipe must be a file that can be read. Received: {error}.") from error
    except (Exception, SystemExit) as error:  # whatever the user's own code does wrong
        raise Mistake(_where(error, file)) from error
    return namespace


@contextlib.contextmanager
def _findable(module, file):
    """Puts a module where `dataclasses` looks for it, unless that would hide one of its name."""
    name = module.__name__
    free = name not in sys.modules
    with contextlib.suppress(ImportError, ValueError):  # "a.b", where there is no package a
        known = importlib.util.find_spec(name)
        free &= known is None or known.origin in (None, str(file.resolve()))
    if free:
        sys.modules[name] = module
    try:
        yield
    finally:
        if free:
            sys.modules.pop(name, None)


def _neighbours(file):
    try:
        return list(file.parent.glob("*.py"))
    except (OSError, ValueError):
        return []


def _split(path):
    file, separator, name = path.partition(".py:")
    if separator:
        return pathlib.Path(file + ".py"), name
    stem, _, name = path.partition(":")
    if re.fullmatch(r"\w+", stem) and not os.path.exists(path):
        for folder in _SHIPPED:
            if os.path.isfile(folder / f"{stem}.py"):
                return folder / f"{stem}.py", name or None
    return pathlib.Path(path), None


def _where(error, file):
    """Returns file, line and message of what a recipe file raised, and that line."""
    if isinstance(error, SyntaxError):
        file, line, text = error.filename or file, error.lineno or 0, error.text
        message = error.msg or "invalid syntax"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame.lineno for frame in frames if frame.filename == str(file)]
        line = (own[-1] if own else None) or 0
        message, text = " ".join(str(error).split()), linecache.getline(str(file), line)
        unknown = re.search(r"Recipe.*unexpected keyword argument '(\w+)'", message)
        if unknown:
            message = _unknown_field(unknown.group(1))
        elif not isinstance(error, ValueError | TypeError):
            message = f"{type(error).__name__}: {message}"
        if isinstance(error, ModuleNotFoundError):
            message += "; install it, or put the folder it is in on PYTHONPATH"
    message = shorten(message.rstrip("."), str, 300)
    received = "" if "Received: " in message else f" Received: {shorten((text or '').strip(), str)}"
    return f"{file}:{line}: {message}.{received}"


def _choose(namespace, file, name):
    named = namespace.get("recipes", {})
    if not isinstance(named, dict) or not all(isinstance(r, Recipe) for r in named.values()):
        named = {}
    if name is not None:
        if name not in named:
            hint = f" Nearest: {nearest(name, named)!r}." if named else ""
            raise Mistake(
                f"{file} has no recipe of this name. Received: {shorten(name)}.{hint} "
                f"There are: {shorten(', '.join(map(str, named)) or 'none', str, 300)}."
            )
        return named[name]
    if isinstance(namespace.get("recipe"), Recipe):
        return namespace["recipe"]
    if named:
        width = max(len(str(key)) for key in named)
        lines = "\n".join(  # the one answer of many lines: what one may have meant, to choose from
            f"  {key:<{width}}  "
            + ("" if value.reference is None else f"{value.reference:5.2f} % in the paper")
            for key, value in named.items()
        )
        raise Mistake(
            f"{file} has several recipes. Received: none of their names. "
            f"Name one as {file}:NAME.\n{lines}"
        )
    raise Mistake(
        f"{file} must assign `recipe = Recipe(...)` or `recipes = {{name: Recipe(...)}}`. "
        f"Received: {_received(namespace)}."
    )


def _received(namespace):
    for name in ("recipe", "recipes"):
        if name in namespace:
            return f"{name}={shorten(namespace[name])}"
    return "a file that assigns neither"


def _parse(override):
    name, separator, text = str(override).partition("=")
    if not separator:
        raise Mistake(
            f"An override must read field=value. Received: {shorten(override)}. "
            f"Example: --set epochs=5"
        )
    if name not in field_names():
        raise Mistake(_unknown_field(name))
    try:
        return name, ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return name, text  # precision=float32, without quotes


def _unknown_field(name):
    message = f"A recipe has no field of this name. Received: {shorten(name)}."
    if name in _ARGUMENTS:
        return f"{message} It is an argument of the recipe's `{_ARGUMENTS[name]}`, in its file."
    return f"{message} Nearest: {_ALIASES.get(name) or nearest(name, field_names())!r}."
