"""Temperature scaling: probabilities as sure as they are right, on pictures held out."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable

import keras
import numpy as np

from keras_rescnet import data, export
from keras_rescnet.analysis.evaluation import check_fits, predictions
from keras_rescnet.analysis.model_file import scaled
from keras_rescnet.analysis.runs import load_run
from keras_rescnet.console import say
from keras_rescnet.mistake import Mistake, shorten
from keras_rescnet.training import finished


def fit_temperature(
    run: str | os.PathLike | keras.Model,
    dataset: data.Dataset,
    *,
    split: str = "test",
    data_dir: str | os.PathLike | None = None,
    batch_size: int = 128,
    views: Callable | None = None,
) -> float:
    """Returns the temperature T at which held-out pictures are likeliest; a run keeps it.

        probabilities = softmax(logits / T),     T = argmin -sum_n log p_ny

    Classes stay as they are, only how sure the model is changes. Of a finished run the temperature
    is kept in `run.json`, and its SavedModel is written again: from then on `kr.evaluate`,
    `predict` and what is exported answer with it, while `model.keras` has the logits of the
    training. ONNX and LiteRT files that are there already are named, to be exported again.
    Fit it on pictures that were neither trained on nor are measured on afterwards.

    Reference:
        Guo et al., "On calibration of modern neural networks", ICML 2017, Eq. 9.

    Args:
        run: The folder of a finished run, or a model from normalized images to logits, such as
            `kr.ensemble.mean` returns.
        dataset: The pictures held out.
        split: Which of its splits, `"test"` or `"train"`. Defaults to `"test"`.
        data_dir: Where the data are, as of `kr.evaluate`. Defaults to `None`.
        batch_size: Images per step. Defaults to 128.
        views: As of `kr.evaluate`. That of the run's recipe by default.

    Returns:
        The temperature: above 1 of a model that is too sure.

    Raises:
        Mistake: If there is no such run or data, or no temperature is best: the model classifies
            all of the pictures correctly, or no better than by chance; and on JAX, if the run has
            a SavedModel.

    Example:

    >>> def read(dataset, split, data_dir):
    ...     images = np.array([0, 0, 255, 255], "uint8").reshape(4, 1, 1, 1)
    ...     return kr.data.ArrayExamples(dataset, images, np.array([0, 0, 1, 0]), ("dark", "light"))
    >>> half = {"mean": (0.5,), "std": (0.5,)}
    >>> four = kr.data.Dataset(name="four", read=read, image_shape=(1, 1, 1), classes=2, **half)
    >>> dense = keras.layers.Dense(2, kernel_initializer=lambda *_, **__: np.array([[-1.0, 1.0]]))
    >>> model = keras.Sequential([keras.Input((1, 1, 1)), keras.layers.Flatten(), dense])
    >>> round(kr.ensemble.fit_temperature(model, four), 4)  # of 2 / T, 3 of 4 are right: 2 / log 3
    1.8205
    """
    found = load_run(run) if isinstance(run, str | os.PathLike) else None
    if found is not None and _serves(found) and keras.backend.backend() != "tensorflow":
        raise Mistake(
            "The SavedModel of a run is written again with its temperature, which needs Keras on "
            f"TensorFlow. Received: KERAS_BACKEND={keras.backend.backend()}."
        )
    if not isinstance(dataset, data.Dataset):
        raise Mistake(f"`dataset` must be a kr.data.Dataset. Received: dataset={shorten(dataset)}.")
    names: tuple[str, ...] = ()
    if found is not None:
        model, names, dataset = found.trained_model, found.class_names, found.prepared(dataset)
        data_dir = found.place_of(dataset, data_dir)
        views = found.views if views is None else views
    elif isinstance(run, keras.Model):
        model = run
    else:
        raise Mistake(
            "`run` must be the folder of a finished run, or a keras.Model. "
            f"Received: run={shorten(run)}."
        )
    examples = data.load(dataset, split, None if data_dir is None else str(data_dir))
    if found is not None:
        examples = found.as_tested(examples)
    if examples.dataset.multi_label:
        raise Mistake(
            "A temperature is for pictures of one class each. "
            f"Received: {examples.dataset.name} with multi_label=True."
        )
    check_fits(examples, model, names)
    logits, labels = map(
        np.concatenate, zip(*predictions(model, examples, batch_size, views), strict=True)
    )
    temperature = best_temperature(logits, labels)
    if found is not None:
        _keep(found, temperature)
    return temperature


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature at which labels are likeliest, by Newton's method, safeguarded.

    In b = 1 / T the negative log-likelihood is convex. With z the logits,

        slope      mean_n (E_p[z_n] - z_ny)        p = softmax(b z_n)
        curvature  mean_n Var_p[z_n]

    A step of Newton that leaves the interval in which the slope changes its sign is replaced by
    halving it, so the method always ends, in the one minimum.

    Args:
        logits: `(N, classes)`.
        labels: One-hot, `(N, classes)`.

    Raises:
        Mistake: If the likelihood has no maximum at a positive, finite temperature.
    """
    z = np.asarray(logits, "float64")
    z = z - z.max(1, keepdims=True)
    truth = (z * labels).sum(1)

    def slope_and_curvature(b):
        powers = np.exp(b * z)
        p = powers / powers.sum(1, keepdims=True)
        mean = (p * z).sum(1)
        return (mean - truth).mean(), ((p * z * z).sum(1) - mean**2).mean()

    low, high = 0.0, 1.0 / max(float(-truth.mean()), np.finfo("float64").tiny)
    if not np.isfinite(z).all() or slope_and_curvature(low)[0] >= 0 or not truth.any():
        raise _no_minimum(truth)
    # No further out: there the slope is above 0, for truth's share of it is -mean(truth)
    while slope_and_curvature(high)[0] < 0:
        low, high = high, 2.0 * high
    b = 0.5 * (low + high)
    for _ in range(200):
        slope, curvature = slope_and_curvature(b)
        low, high = (b, high) if slope < 0 else (low, b)
        step = b - slope / curvature if curvature > 0 else low
        following = step if low < step < high else 0.5 * (low + high)
        if abs(following - b) <= 1e-15 * b:
            break
        b = following
    return float(1.0 / b)


def _no_minimum(truth):
    right = 100.0 * np.mean(truth == 0)
    return Mistake(
        "A temperature is fitted on finite logits, of pictures that are classified better than by "
        "chance, and not all of them rightly: give more or harder ones. "
        f"Received: {len(truth)} pictures, {right:.4g} % of them classified rightly."
    )


def _serves(run):
    return (run.workdir / "saved_model").is_dir()


def _keep(run, temperature):
    """Writes the SavedModel of a run with a temperature, then notes it in `run.json`."""
    if _serves(run):
        export.saved_model(
            scaled(run.trained_model, temperature),
            run.workdir / "saved_model",
            mean=run.mean,
            std=run.std,
            class_names=run.class_names,
            crop_fraction=run.crop_fraction,
        )
    finished.note_checksums(run.workdir, temperature=temperature)
    for form, name in export.FILE_NAMES.items():
        if (run.workdir / name).is_file():
            say(
                f"{run.workdir / name} does not have the temperature: keras-rescnet export "
                f"--workdir {shlex.quote(str(run.workdir))} --format {form} writes it again."
            )
