"""Are a network's responses Gaussian, and do they tell the classes apart? Figures 2 and 5.

    python -m keras_rescnet.responses --workdir runs/table1-cifar10-resnet32
    python -m keras_rescnet.responses --workdir runs/a --workdir runs/b --split train
    python -m keras_rescnet.responses --model own.keras --recipe recipes/cifar10_resnet32.py

A response is what the last block gives before its activation, averaged over the image: (N, C)
numbers for N images. Draws a violin for every channel, the models side by side, and below them how
far the channels are from Gaussian and how well they tell classes apart. The numbers of every
channel go into a CSV file beside the picture. A --model can be any Keras classifier; the recipe
says which data it is given.
"""

import csv
import dataclasses
import pathlib
import sys

import keras
import numpy as np
from absl import flags
from keras import layers

from keras_rescnet import data
from keras_rescnet.command import check_output, run_command
from keras_rescnet.curves import import_pyplot, run_names
from keras_rescnet.evaluate import load_run
from keras_rescnet.layers import GCLU
from keras_rescnet.normality import gaussian_distance, normality, scatter
from keras_rescnet.recipe import load_recipe

_ACTIVATIONS = (
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.PReLU,
    layers.ELU,
    GCLU,
)
_PASSED = (
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.LayerNormalization,  # of all blocks together, in transformers
    layers.Reshape,
    layers.ZeroPadding2D,
)


def response_model(model, layer=None):
    """Returns a model from images to responses `(N, C)`, with a copy of the weights of `model`.

        r[n, c] = mean over positions of x[n, ..., c]

    where `x` is the last map or sequence in the model, before its activation if it has one.

    Reference:
        Xu et al., "Deep feature response discriminative calibration", Neurocomputing 615
        (2025) 128848, Figures 2 and 5; `src/classification/get_feature.py` of
        github.com/tcmyxc/CV-Tutorial, which takes the last block's activation away.

    Args:
        model: A functional or sequential classifier, channels last.
        layer: Name of the layer whose output is `x`, instead.

    Raises:
        ValueError: if there is no such layer, or no map or sequence in the model.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(
            "Responses need a functional or sequential model. "
            f"Received: {model.name} of {type(model).__name__}."
        )
    copy = keras.models.clone_model(model)  # in it, every layer is called once
    copy.set_weights(model.get_weights())
    if layer is None:
        x = _before_last_activation(copy)
    elif layer in (own.name for own in copy.layers):
        x = copy.get_layer(layer).output
    else:
        raise ValueError(f"{model.name} has no layer of this name. Received: {layer!r}.")
    x = keras.ops.cast(x, "float32")
    responses = keras.ops.mean(x, axis=tuple(range(1, len(x.shape) - 1)))
    return keras.Model(copy.inputs[0], responses, name=f"{model.name}_responses")


def _before_last_activation(model):
    maps = [own for own in model.layers if len(_call(own).outputs[0].shape) in (3, 4)]
    maps = [own for own in maps if not isinstance(own, layers.InputLayer)]
    if not maps:
        raise ValueError(
            f"A model must have a map (N, H, W, C) or a sequence. Received: {model.name}."
        )
    makers = {id(_call(own).outputs[0]): own for own in maps}
    last = maps[-1]
    while isinstance(last, _PASSED) and id(_call(last).input_tensors[0]) in makers:
        last = makers[id(_call(last).input_tensors[0])]
    given = _call(last).input_tensors[0]
    if isinstance(last, keras.Model):
        return keras.Model(last.inputs[0], _before_last_activation(last))(given)
    if isinstance(last, _ACTIVATIONS):
        return given
    if getattr(last, "activation", keras.activations.linear) is not keras.activations.linear:
        linear = type(last).from_config({**last.get_config(), "activation": "linear"})
        x = linear(given)
        linear.set_weights(last.get_weights())
        return x
    return _call(last).outputs[0]


def _call(layer):
    # The public `input` and `output` of a model in a model are its own, not those of the call.
    return layer._inbound_nodes[-1]


def responses(model, examples, images=None, batch_size=128):
    """Returns the responses of a `response_model`, `(N, C)` float32, and the classes, `(N,)`.

    Args:
        model: What `response_model` returns.
        examples: What `keras_rescnet.data.load` returns.
        images: How many, from the first on; all by default.
        batch_size: Images at a time.
    """
    values, labels = [], []
    batches = data.evaluation_batches(examples, batch_size=batch_size)
    if images is not None:
        batches = batches.take(-(-images // batch_size))
    for batch in batches.as_numpy_iterator():
        kept = batch["weights"] > 0
        values.append(model.predict_on_batch(batch["images"])[kept])
        labels.append(batch["labels"][kept].argmax(1))
    return np.concatenate(values)[:images], np.concatenate(labels)[:images]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Responses of one model and what was measured of them, a number for each channel."""

    values: np.ndarray  # (N, C)
    skewness: np.ndarray
    excess_kurtosis: np.ndarray
    ks_distance: np.ndarray
    discriminability: np.ndarray
    overall_discriminability: float  # of all channels together


def measure(values, labels):
    """Returns what is `Measured` of responses `(N, C)` and classes `(N,)`."""
    between, within = scatter(values, labels)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = between / within
    return Measured(
        values,
        *np.transpose([normality(column) for column in values.T]),
        discriminability=ratio,
        overall_discriminability=float(between.sum() / within.sum()),
    )


def describe(name, measured):
    """Returns what the numbers of a model say, in words."""
    count, channels = measured.values.shape
    limit = gaussian_distance(count)
    near = int((measured.ks_distance <= limit).sum())
    rows = {
        "skewness": f"{np.nanmedian(measured.skewness):+.3f}  "
        "0: symmetric; above: a longer tail of strong responses; below: of weak ones",
        "excess kurtosis": f"{np.nanmedian(measured.excess_kurtosis):+.3f}  "
        "0: tails of a Gaussian; above: heavier; below: lighter",
        "KS distance": f"{np.nanmedian(measured.ks_distance):6.3f}  "
        "largest gap between the share of responses up to a value and a Gaussian's share",
        "between / within": f"{measured.overall_discriminability:6.3f}  "
        "of all channels together: variance of class means over variance inside of classes",
    }
    lines = [f"{name}: {channels} channels, {count:,} images; medians over channels:"]
    lines += [f"  {what:<17} {text}" for what, text in rows.items()]
    lines.append(
        f"  {near} of {channels} channels are as near to a Gaussian as 95 % of samples of one "
        f"are (KS distance up to {limit:.3f})."
    )
    return "\n".join(lines)


def plot(models, path, channels=16):
    """Draws the responses of models, and writes the numbers of every channel beside the picture.

    Args:
        models: Dict of names to `Measured`.
        path: PNG file to write; the numbers go into a CSV file beside it.
        channels: How many violins to draw of a model, from the first channel on.

    Raises:
        ValueError: if matplotlib is missing.
    """
    pyplot = import_pyplot()
    figure, axes = pyplot.subplot_mosaic(
        [["violins", "violins"], ["normality", "classes"]], figsize=(12, 8), layout="constrained"
    )
    for number, (name, measured) in enumerate(models.items()):
        look = {"color": f"C{number}", "label": name}
        shown = measured.values[:, :channels]
        places = np.arange(shown.shape[1]) + (number + 0.5) / len(models) - 0.5
        parts = axes["violins"].violinplot(
            shown, places, widths=0.9 / len(models), showextrema=False, showmedians=True
        )
        for body in parts["bodies"]:
            body.set(facecolor=look["color"], alpha=0.6)
        parts["cmedians"].set(color=look["color"])
        axes["normality"].plot(np.sort(measured.ks_distance), **look)
        axes["classes"].plot(np.sort(measured.discriminability)[::-1], **look)
    limit = gaussian_distance(min(len(measured.values) for measured in models.values()))
    axes["normality"].axhline(limit, color="gray", linestyle=":", label="95 % of Gaussian samples")
    axes["violins"].set(xlabel="channel", ylabel="response, mean over the image")
    axes["normality"].set(xlabel="channels, sorted", ylabel="KS distance to a Gaussian")
    axes["classes"].set(xlabel="channels, sorted", ylabel="between-class / within-class variance")
    for panel in ("normality", "classes"):
        axes[panel].legend(fontsize="small")
        axes[panel].grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    _write_csv(models, pathlib.Path(path).with_suffix(".csv"))


def _write_csv(models, path):
    columns = ("skewness", "excess_kurtosis", "ks_distance", "discriminability")
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "channel", "mean", "std", *columns])
        for name, measured in models.items():
            numbers = [measured.values.mean(0), measured.values.std(0)]
            numbers += [getattr(measured, column) for column in columns]
            for channel, row in enumerate(np.transpose(numbers)):
                writer.writerow([name, channel, *(f"{number:.6g}" for number in row)])


def main(arguments):
    """Measures and draws the models that are named."""
    values = flags.FlagValues()
    workdirs = flags.DEFINE_multi_string("workdir", [], "Folder of a run.", flag_values=values)
    files = flags.DEFINE_multi_string("model", [], "A .keras file.", flag_values=values)
    path = flags.DEFINE_string("recipe", None, "Whose data to use.", flag_values=values)
    pixels = flags.DEFINE_bool("pixels", False, "--model takes [0, 255].", flag_values=values)
    layer = flags.DEFINE_string("layer", None, "A layer's output instead.", flag_values=values)
    split = flags.DEFINE_string("split", "test", "'test' or 'train'.", flag_values=values)
    images = flags.DEFINE_integer("images", None, "How many; all.", 1, flag_values=values)
    channels = flags.DEFINE_integer("channels", 16, "Violins a model.", 1, flag_values=values)
    data_dir = flags.DEFINE_string("data_dir", None, "TFDS's folder.", flag_values=values)
    output = flags.DEFINE_string("output", "responses.png", "PNG to write.", flag_values=values)

    def command(_):
        if not workdirs.value and not files.value:
            raise ValueError("--workdir DIR or --model FILE is missing. Received: none.")
        if files.value and path.value is None:
            raise ValueError("--model needs --recipe, which says the data. Received: none.")
        check_output("output", output.value)
        own = None if path.value is None else load_recipe(path.value).dataset
        found = []
        for name, workdir in zip(run_names(workdirs.value), workdirs.value, strict=True):
            recipe, model = load_run(workdir)
            found.append((name, model, own or recipe.dataset))
        for file in files.value:
            dataset = own
            if pixels.value:
                count = own.image_shape[-1]
                dataset = dataclasses.replace(own, mean=(0.0,) * count, std=(1 / 255,) * count)
            found.append((file, _load_model(file), dataset))
        models = {}
        for name, model, dataset in found:
            _check_images(name, model, dataset)
            examples = data.load(dataset, split.value, data_dir.value)
            own_responses = response_model(model, layer.value)
            models[name] = measure(*responses(own_responses, examples, images.value))
            print(describe(name, models[name]), flush=True)
        plot(models, output.value, channels.value)
        print(f"Wrote {output.value} and the CSV file of its numbers.")

    run_command("responses", __doc__, arguments, values, command)


def _load_model(file):
    if not pathlib.Path(file).is_file() or pathlib.Path(file).suffix != ".keras":
        raise ValueError(f"--model must be a .keras file. Received: {file}.")
    return keras.models.load_model(file)


def _check_images(name, model, dataset):
    expected = model.input_shape[1:]
    if any(e not in (None, s) for e, s in zip(expected, dataset.image_shape, strict=True)):
        raise ValueError(
            f"The data must have {name}'s images of shape {expected}. "
            f"Received: {dataset.name} of {dataset.image_shape}."
        )


if __name__ == "__main__":
    main(sys.argv)
