"""A recipe: everything that decides a run."""

import collections.abc
import dataclasses
import hashlib
import json
import math
import numbers
import pathlib
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping

from keras_rescnet.arguments import is_number
from keras_rescnet.data import Dataset
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.recipe.checks import callbacks_of, check_decay, check_loss
from keras_rescnet.recipe.description import describe, with_lasting_names
from keras_rescnet.schedules import cosine_decay

if typing.TYPE_CHECKING:  # what reads recipes to list them need not wait for Keras
    import keras

# Fields that do not affect results: they may change between a stop and the next start.
# `evaluate_every` is none of them: it decides which epochs the log and the best epoch are made of.
FREE_FIELDS = frozenset(
    {
        "checkpoint_minutes",
        "nan_policy",
        "reference",
        "reference_hours",
        "reference_top5",
        "steps_per_execution",
    }
)

# Fields of later versions. At their default a description leaves them out, so that recipes from
# before keep their digests.
LATER_FIELDS = frozenset(
    {
        "adapt",
        "callbacks",
        "class_weights",
        "learning_rate_multipliers",
        "loss",
        "schedule_per_step",
        "test_views",
        "trainable",
        "weight_decay_multipliers",
    }
)

_MULTIPLIERS = ("learning_rate_multipliers", "weight_decay_multipliers")
_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_POLICIES = ("stop", "rollback")
_LARGEST = 2**31 - 1  # of what is counted: products of two still fit into 64 bits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a run: data, model, optimizer and numbers.

    Model, optimizer and transforms are given as functions that make them, not as objects
    (`partial(VGG16, activation=gclu)`, not a model), because seed, precision and devices must be
    set before anything is made.

    Args:
        dataset: The `Dataset` to train and test on.
        model: Function that is called with `input_shape` and `classes`, and returns a
            `keras.Model` from normalized images to logits.
        optimizer: Function that is called with options that every Keras optimizer takes
            (`learning_rate`, `global_clipnorm`, `use_ema`, `ema_momentum`), and returns a Keras
            optimizer.
        augment: Function without arguments that returns the list of transforms of the training
            batches. Defaults to `None`, no transforms.
        batch_size: Images per step, over all devices.
        epochs: Number of epochs.
        learning_rate: Learning rate after the warm-up.
        minimum_learning_rate: Learning rate at which the decay ends. Defaults to 0.
        warmup_epochs: Number of epochs over which the learning rate rises linearly from 1 % of
            `learning_rate`. Defaults to 0.
        decay: Function of `(epoch, epochs)`, both counted after the warm-up, that returns the
            factor by which the learning rate is multiplied in that epoch; it is tried with epoch
            0. Defaults to `cosine_decay`.
        schedule_per_step: Whether the learning rate changes with every step, not with every epoch:
            warm-up and `decay` then count fractions of epochs. Defaults to `False`.
        loss: Function of labels and logits, `(N, classes)` each, that returns the loss of every
            picture, `(N,)`: one of `kr.losses`, one of your own, or a `keras.losses.Loss`. A test
            has the same. Defaults to `None`, the softmax cross-entropy.
        label_smoothing: Share of every label that is spread over all classes, at least 0 and below
            1; for the default loss. Defaults to 0.
        class_weights: Weights of classes in the training loss, by name; others have 1. Defaults to
            `None`, 1 for all.
        drop_path: Share of the residual branches that are dropped, for a model that takes
            `drop_path`, at least 0 and below 1. Defaults to `None`, the model's own.
        exclude_from_weight_decay: Regular expressions; a weight whose name has a match, such as
            `"bias"` or `"gamma"`, has no weight decay. Defaults to `()`.
        learning_rate_multipliers: Factors of the learning rate by regular expressions; a weight
            whose `path` has a match has the factor of the first one, all others 1. Needs an
            optimizer of `kr.optimizers`. Defaults to `None`, 1 for all.
        weight_decay_multipliers: Factors of the weight decay, likewise. Defaults to `None`, 1 for
            all.
        global_clipnorm: Largest norm of all gradients together; larger ones are scaled down to it.
            Defaults to `None`, no clipping.
        gradient_accumulation_steps: Number of parts into which a batch is divided to go through
            the model one after another. Defaults to 1.
        ema_momentum: Momentum of an exponential moving average of the weights, which is evaluated
            beside the weights and exported in their place. Defaults to `None`, no average.
        precision: `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"`. Defaults to `"float32"`.
        synchronized_bn: Whether batch normalization has the statistics of the batch over all
            devices, not of each device's part. Defaults to `False`.
        seed: Seed of initialization, dropout, the order of the images and augmentation, at least 0
            and below 2**31. Defaults to 0.
        steps_per_epoch: Number of steps per epoch, for short runs. Defaults to `None`, all of the
            training set.
        steps_per_execution: Number of steps between two checks of the loss and of signals;
            does not affect results. Defaults to `None`, as many as take about a second.
        evaluate_every: Number of epochs from one evaluation to the next; the last epoch is always
            evaluated. Defaults to 1.
        test_views: Function from test images to pairs of a weight and images, whose logits are
            averaged in tests: `kr.views.mirrored`, ... Exports answer without it. Defaults to
            `None`, the images as they are.
        checkpoint_minutes: Largest number of minutes between two checkpoints, of which every
            epoch ends with one anyway; does not affect results. Defaults to 10.
        nan_policy: What a loss or weight that is not finite does to the run: `"stop"`, or
            `"rollback"`, which goes back to the last checkpoint, once, and on with another order
            of the images. Defaults to `"stop"`.
        initial_weights: Where to take weights from before training: the folder of a finished run,
            or a `.keras`, `.weights.h5`, `.npz`, `.safetensors` or `.pth` file, with Keras's or
            PyTorch's names. A last layer of other classes keeps its own. Defaults to `None`,
            random weights.
        trainable: Regular expressions; weights whose `variable.path` has a match, such as
            `"^logits/"` or `"stage4_"`, are trained, and all others are frozen. Or a function
            from a path to whether it is trained. A layer of frozen weights alone keeps its batch
            statistics, too, and normalizes by them. Defaults to `None`, all.
        adapt: Function that is called once, before the first step, with the model and a
            `tf.data.Dataset` of batches of training images, normalized and not augmented: for
            weights that follow from the data, as those of `WhiteningConv2D` and
            `keras.layers.Normalization`. Defaults to `None`.
        callbacks: Function without arguments that returns the list of callbacks of the run, which
            follow the epochs and may end the run: `kr.callbacks.EarlyStopping`, loggers, or your
            own. Those that do not change the training are not part of the digest. Defaults to
            `None`, none.
        reference: The paper's top-1 accuracy in %, to report beside what was measured; does not
            affect results. Defaults to `None`.
        reference_top5: The paper's top-5 accuracy in %, likewise. Defaults to `None`.
        reference_hours: The paper's hours of training, likewise. Defaults to `None`.
        file: The file that `load_recipe` found the recipe in, which `load_recipe` sets. Defaults to
            `None`.
        name: The recipe's name among several of that file, which `load_recipe` sets. Defaults to
            `None`.

    Raises:
        Mistake: If a field has a value of a wrong type, or one that cannot be trained with.

    Example:

    >>> from functools import partial
    >>> recipe = kr.Recipe(
    ...     dataset=kr.data.DIGITS,
    ...     model=partial(kr.models.CifarResNet8, activation=kr.gclu),
    ...     optimizer=partial(kr.optimizers.SGD, momentum=0.9, weight_decay=5e-4),
    ...     batch_size=32,
    ...     epochs=20,
    ...     learning_rate=0.05,
    ... )
    >>> recipe.precision
    'float32'
    >>> import dataclasses
    >>> dataclasses.replace(recipe, epochs=0)
    Traceback (most recent call last):
    ...
    keras_rescnet.mistake.Mistake: `epochs` must be at least 1. Received: epochs=0.
    """

    dataset: Dataset
    model: Callable[..., "keras.Model"]
    optimizer: Callable[..., "keras.optimizers.Optimizer"]
    augment: Callable[[], Iterable] | None = None

    batch_size: int
    epochs: int
    learning_rate: float
    minimum_learning_rate: float = 0.0
    warmup_epochs: int = 0
    decay: Callable[[float, float], float] = cosine_decay
    schedule_per_step: bool = False
    loss: Callable[..., typing.Any] | None = None
    label_smoothing: float = 0.0
    class_weights: Mapping[str, float] | None = None
    drop_path: float | None = None
    exclude_from_weight_decay: tuple[str, ...] = ()
    learning_rate_multipliers: Mapping[str, float] | None = None
    weight_decay_multipliers: Mapping[str, float] | None = None
    global_clipnorm: float | None = None
    gradient_accumulation_steps: int = 1
    ema_momentum: float | None = None

    precision: str = "float32"
    synchronized_bn: bool = False
    seed: int = 0

    steps_per_epoch: int | None = None
    steps_per_execution: int | None = None
    evaluate_every: int = 1
    test_views: Callable[[typing.Any], Iterable] | None = None
    checkpoint_minutes: float = 10.0
    nan_policy: str = "stop"
    initial_weights: str | None = None
    trainable: tuple[str, ...] | Callable[[str], bool] | None = None
    adapt: Callable[["keras.Model", typing.Any], None] | None = None
    callbacks: Callable[[], Iterable] | None = None

    reference: float | None = None
    reference_top5: float | None = None
    reference_hours: float | None = None
    file: pathlib.Path | None = dataclasses.field(default=None, repr=False, compare=False)
    name: str | None = dataclasses.field(default=None, repr=False, compare=False)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            self._check_type(field)
        if "keras" in sys.modules and isinstance(self.model, sys.modules["keras"].layers.Layer):
            raise Mistake(
                "`model` must be what makes a model, such as CifarResNet8 or "
                "partial(CifarResNet8, activation=gclu). "
                f"Received: model={shorten(self.model)}, a model."
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
            self._check(name, lambda value: value <= _LARGEST, "be below 2**31")
        self._check("seed", lambda value: 0 <= value <= _LARGEST, "be at least 0 and below 2**31")
        for name in ("learning_rate", "global_clipnorm"):
            self._check(name, lambda value: 0 < value < math.inf, "be positive and finite")
        self._check("checkpoint_minutes", lambda value: value > 0, "be positive")
        self._check("warmup_epochs", lambda value: value >= 0, "be at least 0")
        self._check(
            "minimum_learning_rate",
            lambda value: 0 <= value <= self.learning_rate,
            f"be at least 0 and at most `learning_rate`, {self.learning_rate}",
        )
        self._check("label_smoothing", lambda value: 0 <= value < 1, "be at least 0 and below 1")
        self._check("drop_path", lambda value: 0 <= value < 1, "be at least 0 and below 1")
        self._check("ema_momentum", lambda value: 0 < value < 1, "lie between 0 and 1")
        self._check("precision", lambda value: value in _PRECISIONS, f"be one of {_PRECISIONS}")
        self._check("nan_policy", lambda value: value in _POLICIES, f"be one of {_POLICIES}")
        for name in ("reference", "reference_top5"):
            self._check(name, lambda value: 0 <= value <= 100, "be a percentage")
        self._check("reference_hours", lambda value: 0 < value < math.inf, "be positive and finite")
        check_loss(self)
        for name in ("exclude_from_weight_decay", "trainable", *_MULTIPLIERS):
            self._check_patterns(name)
        for name in _MULTIPLIERS:
            self._check_multipliers(name)
        if self.warmup_epochs >= self.epochs:
            raise Mistake(
                "`warmup_epochs` must be smaller than `epochs`. "
                f"Received: warmup_epochs={self.warmup_epochs}, epochs={self.epochs}."
            )
        check_decay(self, [0])
        if self.batch_size % self.gradient_accumulation_steps:
            raise Mistake(
                "`gradient_accumulation_steps` must divide `batch_size`. Received: "
                f"gradient_accumulation_steps={self.gradient_accumulation_steps}, "
                f"batch_size={self.batch_size}."
            )

    def _check_type(self, field):
        value, expected = getattr(self, field.name), field.type
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if number and expected in (float, float | None):
            try:  # an int in its place, as in learning_rate=1, which Keras would refuse
                object.__setattr__(self, field.name, float(value))
                return
            except OverflowError:
                pass
        options = typing.get_args(expected) if _is_union(expected) else (expected,)
        accepted = tuple(typing.get_origin(option) or option for option in options)
        if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
            names = " or ".join(_NAMES.get(kind, kind.__name__) for kind in accepted)
            received = f"{field.name}={shorten(value)}"
            raise Mistake(f"`{field.name}` must be {names}. Received: {received}.")

    def _check(self, name, holds, what):
        value = getattr(self, name)
        if value is not None and not holds(value):
            raise Mistake(f"`{name}` must {what}. Received: {name}={shorten(value)}.")

    def _check_patterns(self, name):
        patterns = getattr(self, name)
        for part in patterns if isinstance(patterns, tuple | Mapping) else ():
            try:
                re.compile(part)
            except (TypeError, re.error, OverflowError, RecursionError) as error:
                kind = "a tuple of" if isinstance(patterns, tuple) else "a dict by"
                raise Mistake(
                    f"`{name}` must be {kind} regular expressions. "
                    f"Received: {shorten(part)} ({error})."
                ) from None

    def _check_multipliers(self, name):
        for factor in (getattr(self, name) or {}).values():
            if not is_number(factor) or factor < 0:
                raise Mistake(
                    f"`{name}` must be a dict of numbers, at least 0. "
                    f"Received: {name}={shorten(dict(getattr(self, name)))}."
                )

    def describe(self) -> dict:
        """Returns the fields as what JSON can hold.

        What was written by the user, functions and classes of the recipe file above all, is
        described by its code and by the constants that the code refers to, without comments and
        formatting; what is part of an installed package by its name.

        Example:

        >>> recipe = kr.Recipe(
        ...     dataset=kr.data.DIGITS,
        ...     model=kr.models.CifarResNet8,
        ...     optimizer=kr.optimizers.SGD,
        ...     batch_size=32,
        ...     epochs=20,
        ...     learning_rate=0.05,
        ... )
        >>> recipe.describe()["learning_rate"], recipe.describe()["precision"]
        (0.05, 'float32')
        """
        fields = {field.name: field.default for field in dataclasses.fields(self) if field.repr}
        described = {
            name: describe(getattr(self, name))
            for name, default in fields.items()
            if name not in LATER_FIELDS or getattr(self, name) != default
        }
        for name in _MULTIPLIERS:  # as pairs: the first pattern with a match wins
            if name in described:
                described[name] = list(map(list, described[name].items()))
        described.pop("callbacks", None)
        decisive = [callback for callback in callbacks_of(self) if callback.changes_training]
        if decisive:
            described["callbacks"] = describe(decisive)
        return with_lasting_names(described)

    def digest(self) -> str:
        """Returns 32 hexadecimal digits, the same for recipes that give the same numbers.

        Fields that do not affect results, such as `checkpoint_minutes`, are left out.

        Example:

        >>> import dataclasses
        >>> recipe = kr.Recipe(
        ...     dataset=kr.data.DIGITS,
        ...     model=kr.models.CifarResNet8,
        ...     optimizer=kr.optimizers.SGD,
        ...     batch_size=32,
        ...     epochs=20,
        ...     learning_rate=0.05,
        ... )
        >>> dataclasses.replace(recipe, checkpoint_minutes=1.0).digest() == recipe.digest()
        True
        >>> dataclasses.replace(recipe, seed=1).digest() == recipe.digest()
        False
        """
        fields = self.describe()
        decisive = {name: fields[name] for name in fields if name not in FREE_FIELDS}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:32]


_NAMES = {
    collections.abc.Callable: "a function",
    collections.abc.Mapping: "a dict",
    Dataset: "a Dataset",
    types.NoneType: "None",
}


def _is_union(annotation):
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def field_names() -> list[str]:
    """Returns the names of the fields that a recipe file sets."""
    return [field.name for field in dataclasses.fields(Recipe) if field.repr]
