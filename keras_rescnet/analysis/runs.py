"""Finished runs: their model, their data, their names."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import pathlib
from typing import TYPE_CHECKING

from keras_rescnet.analysis.model_file import NotRegistered, load_model, scaled
from keras_rescnet.arguments import is_number
from keras_rescnet.files import is_file
from keras_rescnet.mistake import Mistake, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

    from keras_rescnet.data import Dataset, Examples
    from keras_rescnet.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """What the folder of a finished run holds, read when it is asked for.

    Args:
        workdir: The folder.
        facts: What its `run.json` holds.
    """

    workdir: pathlib.Path
    facts: dict

    @functools.cached_property
    def model(self) -> keras.Model:
        """The model, from normalized images to logits, divided by the run's temperature."""
        return scaled(self.trained_model, self.facts.get("temperature"))

    @functools.cached_property
    def trained_model(self) -> keras.Model:
        """The model as it was trained: of `model.keras`."""
        file = self.workdir / "model.keras"
        try:
            return load_model(file)
        except NotRegistered:
            if not (self.workdir / "recipe.py").is_file():
                raise
        import keras

        from keras_rescnet.recipe.loading import execute

        names = execute(self.workdir / "recipe.py")
        with keras.saving.custom_object_scope({k: v for k, v in names.items() if callable(v)}):
            return load_model(file)

    @functools.cached_property
    def recipe(self) -> Recipe | None:
        """The recipe, which is executed; `None` of a run that was started from Python."""
        from keras_rescnet.recipe import load_recipe

        file, name = self.workdir / "recipe.py", self.facts.get("name")
        if not file.is_file():
            return None
        return load_recipe(f"{file}:{name}" if name else file)

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The dataset, with the statistics and class names that the run was trained with.

        Raises:
            Mistake: If the run has no recipe file, and its dataset is not one of this package.
        """
        dataset = _dataset_of_package(self.facts) if self.recipe is None else self.recipe.dataset
        if dataset is None:
            raise Mistake(
                "A run that was started from Python on a dataset of your own is measured from "
                "Python: kr.evaluate(workdir, dataset). "
                f"Received: {shorten(str(self.workdir), str)}, of dataset "
                f"{shorten(self._data.get('name'))}."
            )
        if self.class_names:
            dataset = dataclasses.replace(dataset, class_names=self.class_names)
        return self.prepared(dataset)

    @property
    def views(self) -> Callable | None:
        """The recipe's `test_views`.

        Raises:
            Mistake: of a run that has some but no recipe file.
        """
        if "test_views" not in (self.facts.get("recipe") or {}):
            return None
        if self.recipe is None:
            raise Mistake(
                "A run that was started from Python with `test_views` is measured with them: "
                "kr.evaluate(workdir, dataset, views=...). "
                f"Received: {shorten(str(self.workdir), str)}."
            )
        return self.recipe.test_views

    def prepared(self, dataset: Dataset) -> Dataset:
        """Returns a dataset with the mean and standard deviation that the run was trained with.

        One that finds its classes, such as a table, which may lack some, is given the run's too;
        not a folder, whose own are looked at.
        """
        mean, std = (self._data.get(name) for name in ("mean", "std"))
        names = () if dataset.classes is not None or _is_folder(dataset) else self.class_names
        return dataclasses.replace(
            dataset,
            mean=tuple(mean) if mean else dataset.mean,
            std=tuple(std) if std else dataset.std,
            class_names=dataset.class_names or names or None,
        )

    def as_tested(self, examples: Examples) -> Examples:
        """Returns examples that show as much of a picture as those of the run's tests."""
        from keras_rescnet import data

        if isinstance(examples, data.EncodedExamples):
            examples = copy.copy(examples)  # `load` keeps what it returns
            examples.crop_fraction = self.crop_fraction
        return examples

    @property
    def loss(self) -> Callable | None:
        """The loss of the recipe; `None` for cross-entropy.

        Raises:
            Mistake: If the run had another, and was started from Python.
        """
        described = (self.facts.get("recipe") or {}).get("loss")
        if described is None:
            return None
        if self.recipe is None:
            raise Mistake(
                "A run that was started from Python with a loss of its own is measured from "
                "Python: kr.evaluate(workdir, loss=...). "
                f"Received: {shorten(str(self.workdir), str)}, of loss {shorten(described)}."
            )
        return self.recipe.loss

    @property
    def multi_label(self) -> bool:
        """Whether a picture has any number of classes."""
        return self._data.get("multi_label", False)

    @functools.cached_property
    def thresholds(self) -> dict[str, float] | None:
        """Probabilities at or above which to assign each tag, by name; `None` without tags.

        Raises:
            Mistake: If the run has none of its tags in its `results.json`.
        """
        if not self.multi_label:
            return None
        file = self.workdir / "results.json"
        try:
            found = json.loads(file.read_text(encoding="utf-8"))["thresholds"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            found = None
        numbers = isinstance(found, dict) and _are_numbers(list(found.values()))
        if not numbers or set(found) != set(self.class_names):
            raise Mistake(
                "results.json must have the thresholds of the tags, as the run wrote it. "
                f"Received: {shorten(str(file), str)}, which has not. Run the recipe again."
            )
        return {name: found[name] for name in self.class_names}

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel, of pixels divided by 255."""
        return self._statistics("mean")

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, likewise."""
        return self._statistics("std")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the model's logits."""
        return tuple(self._data.get("class_names") or ())

    def check_data(self, other: FinishedRun | Dataset, words: str) -> None:
        """Refuses a run on other data than another's: its logits would look right and be wrong.

        Args:
            other: What has the right mean, standard deviation and, where known, class names.
            words: How the message begins, and whose they are.

        Raises:
            Mistake: If one of them differs.
        """
        for name in ("mean", "std", "class_names"):
            found, expected = (tuple(getattr(one, name) or ()) for one in (self, other))
            if found != expected and (name != "class_names" or found and expected):
                raise Mistake(
                    f"{words} `{name}`, {shorten(expected)}. "
                    f"Received: {shorten(str(self.workdir), str)} with {shorten(found)}."
                )

    @property
    def crop_fraction(self) -> float:
        """Share of a picture's shorter side that the evaluation looks at."""
        return self._data.get("crop_fraction", 1.0)

    @property
    def data_dir(self) -> str | None:
        """Where the data were when the run was trained."""
        return self.facts.get("data_dir")

    def place_of(self, dataset: Dataset | None, data_dir=None) -> str | None:
        """Returns the `data_dir` to load a dataset with; the run's own dataset if it is `None`.

        That of the run is not for another folder of pictures or table, which has its own place.
        """
        if data_dir is not None:
            return str(data_dir)
        return None if dataset is not None and _names_its_place(dataset) else self.data_dir

    @property
    def _data(self):
        return self.facts.get("data") or {}

    def _statistics(self, name):
        if name not in self._data:
            return getattr(self.dataset, name)  # of a run before they were recorded
        return tuple(self._data[name])


def _names_its_place(dataset):
    """Whether a dataset is an `image_folder` with a path, or an `image_table`."""
    from keras_rescnet.data import table

    if _is_folder(dataset):
        return dataset.read.keywords["path"] is not None
    return getattr(dataset.read, "func", None) is table.read


def _is_folder(dataset):
    from keras_rescnet.data import folder

    return getattr(dataset.read, "func", None) is folder.read


def load_run(workdir) -> FinishedRun:
    """Returns a finished run.

    Args:
        workdir: Its folder.

    Raises:
        Mistake: If the folder holds none, or its `run.json` is not as a run wrote it.
    """
    folder = pathlib.Path(workdir)
    for name in ("run.json", "model.keras"):
        if not is_file(folder / name):
            raise Mistake(
                "`workdir` must be the folder of a finished run. Received: "
                f"{shorten(str(workdir), str)}, which has no {name}."
            )
    try:
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        facts = None
    if not _is_as_written(facts):
        raise Mistake(
            "run.json must be as the run wrote it. Received: "
            f"{shorten(str(folder / 'run.json'), str)}, which is not. Run the recipe again."
        )
    return FinishedRun(folder, facts)


def run_names(workdirs) -> list[str]:
    """Returns the runs' names in a picture: their folders', or the paths if two are alike."""
    names = [pathlib.Path(workdir).resolve().name for workdir in workdirs]
    return names if len(set(names)) == len(names) else list(map(str, workdirs))


def _dataset_of_package(facts):
    """Returns the dataset of this package that a run's `run.json` describes, or `None`."""
    from keras_rescnet import data
    from keras_rescnet.recipe.description import describe

    shape = facts.get("data", {}).get("image_shape") or [0]
    known = [value for value in vars(data).values() if isinstance(value, data.Dataset)]
    if shape[0] >= 1 and facts.get("data_dir") is not None:
        known.append(data.image_folder(size=int(shape[0])))
    for dataset in known:
        description = json.loads(json.dumps(describe(dataset)))  # as it was stored
        if [description, list(dataset.image_shape)] == [
            facts.get("recipe", {}).get("dataset"),
            shape,
        ]:
            return dataset
    return None


def _is_as_written(facts):
    """Whether `run.json` has the types that the rest of this module relies on."""
    if not isinstance(facts, dict) or not isinstance(facts.get("data", {}), dict):
        return False
    data = facts.get("data", {})
    return (
        isinstance(facts.get("name"), str | None)
        and isinstance(facts.get("data_dir"), str | None)
        and isinstance(facts.get("recipe", {}), dict)
        and all(_are_numbers(data.get(name, [])) for name in ("mean", "std", "image_shape"))
        and _are_numbers([data.get("crop_fraction", 1.0), facts.get("temperature", 1.0)])
        and facts.get("temperature", 1.0) > 0
        and 0 < data.get("crop_fraction", 1.0) <= 1
        and isinstance(data.get("multi_label", False), bool)
        and isinstance(data.get("class_names", []), list)
        and all(isinstance(name, str) for name in data.get("class_names", []))
    )


def _are_numbers(values):
    return isinstance(values, list) and all(map(is_number, values))
