"""A recipe: everything that decides a run, as a Python file."""

import ast
import dataclasses
import difflib
import hashlib
import inspect
import json
import pathlib
import re
import traceback
from collections.abc import Callable, Sequence

import keras

from keras_rescnet.data import Dataset
from keras_rescnet.mistake import Mistake
from keras_rescnet.schedules import cosine_decay

# Fields that decide no number of a run: they may change between a stop and what goes on from it.
# `evaluate_every` is not among them, because it decides which epochs the log and the best one know.
FREE_FIELDS = frozenset({"checkpoint_minutes", "nan_policy", "reference", "steps_per_execution"})

_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a run: data, model, optimizer and numbers.

    Callables are stored uncalled (`partial(VGG16, activation=gclu)`), because seeds, precision
    and devices must be set before they make anything.

    Raises:
        Mistake: if a field has a value of a wrong type, or one that cannot be trained with.
    """

    dataset: Dataset  # what to train and test on
    model: Callable  # called with input_shape and classes; returns a keras.Model that gives logits
    optimizer: Callable  # called with Keras's optimizer options; returns a keras optimizer
    augment: Callable | None = None  # called without arguments; returns the list of transforms

    batch_size: int  # images a step, over all devices
    epochs: int
    learning_rate: float  # after the warm-up
    minimum_learning_rate: float = 0.0  # where a cosine ends
    warmup_epochs: int = 0  # linear, from 1 % of the learning rate
    decay: Callable = cosine_decay  # called with (epoch, epochs) after the warm-up: a factor
    label_smoothing: float = 0.0
    drop_path: float | None = None  # of a model that takes it; None: the model's own
    exclude_from_weight_decay: tuple = ()  # parts of variable names, such as "bias", "gamma"
    global_clipnorm: float | None = None  # largest norm of all gradients together
    gradient_accumulation_steps: int = 1  # parts that a batch goes through the model in
    ema_momentum: float | None = None  # of averaged weights, evaluated beside the raw ones

    precision: str = "float32"  # or "mixed_bfloat16", "mixed_float16"
    synchronized_bn: bool = False  # batch statistics over all devices, not per device
    seed: int = 0  # of initialisation, dropout, order and augmentation

    steps_per_epoch: int | None = None  # for short runs; None: all of the training set
    steps_per_execution: int | None = None  # between two looks at the loss; None: about a second
    evaluate_every: int = 1  # epochs; the last one is always evaluated
    checkpoint_minutes: float = 10.0  # at the latest; every epoch ends with one besides
    nan_policy: str = "stop"  # or "rollback": once to the last checkpoint, with another order
    initial_weights: str | None = None  # .keras, .weights.h5, or .npz of a PyTorch state dict

    reference: float | None = None  # % top-1 in the paper
    # where `load_recipe` found it, which decides nothing
    file: pathlib.Path | None = dataclasses.field(default=None, repr=False, compare=False)
    name: str | None = dataclasses.field(default=None, repr=False, compare=False)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check_type(field, getattr(self, field.name))
        if isinstance(self.model, keras.layers.Layer):
            raise Mistake(
                "`model` must be what makes a model, such as CifarResNet8 or "
                f"partial(CifarResNet8, activation=gclu). Received: {self.model!r}, a model."
            )
        for name in (
            "batch_size",
            "epochs",
            "gradient_accumulation_steps",
            "steps_per_epoch",
            "steps_per_execution",
            "evaluate_every",
        ):
            self._check(name, lambda value: value >= 1, "be at least 1")
        for name in ("learning_rate", "global_clipnorm", "checkpoint_minutes"):
            self._check(name, lambda value: value > 0, "be positive")
        self._check("warmup_epochs", lambda value: value >= 0, "be at least 0")
        self._check("minimum_learning_rate", lambda value: value >= 0, "be at least 0")
        self._check("label_smoothing", lambda value: 0 <= value < 1, "be at least 0 and below 1")
        self._check("drop_path", lambda value: 0 <= value < 1, "be at least 0 and below 1")
        self._check("ema_momentum", lambda value: 0 < value < 1, "lie between 0 and 1")
        self._check("precision", lambda value: value in _PRECISIONS, f"be one of {_PRECISIONS}")
        self._check("nan_policy", lambda v: v in ("stop", "rollback"), "be 'stop' or 'rollback'")
        if self.warmup_epochs >= self.epochs:
            raise Mistake(
                "`warmup_epochs` must be smaller than `epochs`. "
                f"Received: warmup_epochs={self.warmup_epochs}, epochs={self.epochs}."
            )
        if self.batch_size % self.gradient_accumulation_steps:
            raise Mistake(
                "`gradient_accumulation_steps` must divide `batch_size`. Received: "
                f"gradient_accumulation_steps={self.gradient_accumulation_steps}, "
                f"batch_size={self.batch_size}."
            )

    def _check(self, name, holds, what):
        value = getattr(self, name)
        if value is not None and not holds(value):
            raise Mistake(f"`{name}` must {what}. Received: {name}={value!r}.")

    def describe(self) -> dict:
        """Returns the fields as what JSON can hold; functions as their name or their source."""
        return {name: _describe(getattr(self, name), self.file) for name in _field_names()}

    def digest(self) -> str:
        """Returns 32 hexadecimal digits that are the same for recipes that give the same numbers.

        Fields that decide no number, such as `checkpoint_minutes`, are left out.
        """
        fields = self.describe()
        decisive = {name: fields[name] for name in fields if name not in FREE_FIELDS}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:32]


def load_recipe(path, overrides: Sequence[str] = ()) -> Recipe:
    """Loads a recipe from a Python file.

    The file assigns `recipe`, or `recipes`, a dict of named ones.

    Args:
        path: `FILE` or `FILE:NAME`.
        overrides: `field=value` strings that replace fields; values are Python literals.

    Returns:
        A `Recipe`.

    Raises:
        Mistake: if the file is missing, fails, or has no such recipe, or a field does not exist
            or has an unfit value.
    """
    file, name = _split(str(path))
    namespace = _execute(file)
    recipe = _choose(namespace, file, name)
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


def _split(path):
    file, separator, name = path.partition(".py:")
    return (pathlib.Path(file + ".py"), name) if separator else (pathlib.Path(path), None)


def _execute(file):
    if not file.is_file():
        near = sorted(str(other) for other in file.parent.glob("*.py"))
        there = f" There are: {', '.join(near)}." if near else ""
        raise Mistake(f"A recipe is a Python file. Received: {file}, which is no file.{there}")
    namespace = {"__name__": file.stem, "__file__": str(file)}
    try:
        exec(compile(file.read_text(), str(file), "exec"), namespace)  # noqa: S102
    except SyntaxError as error:
        raise Mistake(f"{error.filename}:{error.lineno}: {error.msg}.") from error
    except Exception as error:  # whatever the user's own code does wrong, said at its own line
        line = next(
            (
                frame.lineno
                for frame in reversed(traceback.extract_tb(error.__traceback__))
                if frame.filename == str(file)
            ),
            0,
        )
        raise Mistake(f"{file}:{line}: {_one_line(error)}") from error
    return namespace


def _one_line(error):
    message = " ".join(str(error).split())
    unknown = re.search(r"Recipe.*unexpected keyword argument '(\w+)'", message)
    if unknown:
        return _unknown_field(unknown.group(1))
    if isinstance(error, ValueError | TypeError):
        return message
    return f"{type(error).__name__}: {message}"


def _choose(namespace, file, name):
    named = namespace.get("recipes", {})
    if not isinstance(named, dict) or not all(isinstance(r, Recipe) for r in named.values()):
        named = {}
    if name is not None:
        if name not in named:
            near = difflib.get_close_matches(name, named, n=1)
            hint = f" Nearest: {near[0]}." if near else ""
            raise Mistake(
                f"{file} has no recipe of this name. Received: {name!r}.{hint} "
                f"There are: {', '.join(named) or 'none'}."
            )
        return named[name]
    if isinstance(namespace.get("recipe"), Recipe):
        return namespace["recipe"]
    if named:
        width = max(map(len, named))
        lines = "\n".join(
            f"  {key:<{width}}  "
            + ("" if value.reference is None else f"{value.reference:5.2f} % in the paper")
            for key, value in named.items()
        )
        raise Mistake(f"{file} has several recipes; name one as {file}:NAME.\n{lines}")
    raise Mistake(f"{file} must assign `recipe = Recipe(...)` or `recipes = {{name: ...}}`.")


def _parse(override):
    name, separator, text = override.partition("=")
    if not separator:
        raise Mistake(f"An override must read field=value. Received: {override!r}.")
    if name not in _field_names():
        raise Mistake(_unknown_field(name))
    try:
        return name, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return name, text  # precision=float32, without quotes


def _field_names():
    return [field.name for field in dataclasses.fields(Recipe) if field.repr]


def _unknown_field(name):
    near = difflib.get_close_matches(name, _field_names(), n=1, cutoff=0.0)[0]
    return f"A recipe has no field {name!r}. Nearest: {near!r}."


def _check_type(field, value):
    expected = field.type
    accepted = expected | int if expected in (float, float | None) else expected
    if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
        kind = expected.__name__ if isinstance(expected, type) else str(expected)
        raise Mistake(f"`{field.name}` must be {kind}. Received: {field.name}={value!r}.")


def _describe(value, file):
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_describe(item, file) for item in value]
    if isinstance(value, Dataset):
        return value.name
    if hasattr(value, "func"):  # functools.partial
        arguments = [_describe(item, file) for item in value.args]
        named = {key: _describe(item, file) for key, item in value.keywords.items()}
        return {"call": _describe(value.func, file), "args": arguments, **named}
    code = getattr(value, "__code__", None)
    if code is not None and file is not None and pathlib.Path(code.co_filename).name == file.name:
        return inspect.getsource(value)  # written in the recipe: its text is part of the run
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
