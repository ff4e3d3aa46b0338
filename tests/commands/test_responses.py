"""`responses`: numbers against closed forms, and which tensor of a model it takes."""

import csv
import dataclasses
import math
import re
import statistics

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import keras_rescnet
from keras_rescnet import models
from keras_rescnet.analysis import responses
from keras_rescnet.analysis.normality import gaussian_distance, normality, scatter
from keras_rescnet.data import DIGITS
from keras_rescnet.layers import RCLayer
from support import ROOT, noise
from support.commands import answer, run_command

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.normal(size=(3, 32, 32, 3)).astype("float32")


def test_moments_of_a_uniform_grid():
    # (2 i - n - 1) / 2, i = 1..n: kurtosis (3 n^2 - 7) / (5 (n^2 - 1)) times 3 for odd and even n
    n = 101
    skewness, excess, _ = normality(np.arange(n))
    assert skewness == pytest.approx(0.0, abs=1e-12)
    assert excess == pytest.approx(3 * (3 * n**2 - 7) / (5 * (n**2 - 1)) - 3, rel=1e-12)


def test_moments_of_two_values():
    # a share p of ones among zeros: (1 - 2 p) / sqrt(p q) and (1 - 6 p q) / (p q)
    p, q = 0.25, 0.75
    skewness, excess, _ = normality(np.array([0, 0, 0, 1] * 50))
    assert skewness == pytest.approx((1 - 2 * p) / math.sqrt(p * q), rel=1e-12)
    assert excess == pytest.approx((1 - 6 * p * q) / (p * q), rel=1e-12)


def test_the_distance_of_two_values_is_that_of_their_gaussian():
    # z = -1 and 1: the share up to -1 jumps to 1/2, where Phi is Phi(-1)
    distance = normality(np.array([2.0, 4.0] * 10))[2]
    assert distance == pytest.approx(0.5 - statistics.NormalDist().cdf(-1), rel=1e-12)


def test_the_distance_is_the_definition():
    values = GENERATOR.exponential(size=200)
    fitted = statistics.NormalDist(values.mean(), values.std())
    expected = 0.0
    for value in values:
        for share in ((values <= value).mean(), (values < value).mean()):
            expected = max(expected, abs(share - fitted.cdf(value)))
    assert normality(values)[2] == pytest.approx(expected, rel=1e-9)


def test_quantiles_of_a_gaussian_are_near_it():
    n = 1000
    gaussian = statistics.NormalDist(5.0, 3.0)
    values = [gaussian.inv_cdf((i + 0.5) / n) for i in range(n)]
    skewness, excess, distance = normality(values)
    assert abs(skewness) < 1e-9 and abs(excess) < 0.05
    assert distance < 1.5 / n < gaussian_distance(n)


def test_a_constant_has_no_shape():
    assert all(math.isnan(number) for number in normality(np.full(9, 0.1)))


def test_five_in_a_hundred_gaussian_samples_are_farther():
    samples = np.random.default_rng(1).normal(size=(2000, 50))
    farther = np.mean([normality(sample)[2] > gaussian_distance(50) for sample in samples])
    assert farther == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 2000))


def test_scatter_adds_up_to_the_variance():
    values = GENERATOR.normal(size=(60, 4))
    labels = GENERATOR.integers(0, 5, 60) + (np.arange(60) % 2)  # one class may be empty
    between, within = scatter(values, labels)
    np.testing.assert_allclose(between + within, values.var(0), rtol=1e-12)
    expected = sum(
        (labels == k).sum() * (values[labels == k].mean(0) - values.mean(0)) ** 2
        for k in np.unique(labels)
    )
    np.testing.assert_allclose(between, expected / 60, rtol=1e-10)


def test_separate_classes_are_told_apart():
    values = np.array([[-1.0, 1.0], [-3.0, 1.0], [1.0, -1.0], [3.0, -1.0]])
    measured = responses.measure(values, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(measured.discriminability, [4.0, math.inf])
    assert measured.overall_discriminability == 5.0  # (4 + 1) / (1 + 0)


def outputs(model, name):
    return keras.ops.convert_to_numpy(
        keras.Model(model.input, model.get_layer(name).output)(IMAGES)
    )


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: models.CifarResNet8(activation="gelu"), "stage3_block1_add"),
        (lambda: models.VGG((1, 1), widths=(4, 6), hidden=8), "stage2_1_bn"),
        (
            lambda: models.VGG(
                (1, 1), widths=(4, 8), hidden=8, calibration=lambda name: RCLayer(4, name=name)
            ),
            "stage2_1_calibration",
        ),
        (lambda: models.AlexNet(widths=(4,) * 5, hidden=8), "conv5"),
        (lambda: models.ViT(8, width=16, depth=2, heads=2), "block2_out"),
        (
            lambda: models.Swin(8, width=8, depths=(1, 1), heads=(2, 2), window_size=2),
            "stage2_block1_out",
        ),
    ],
)
def test_responses_are_those_of_the_last_block_before_its_activation(build, name):
    model = build()
    taken = keras.ops.convert_to_numpy(responses.response_model(model)(IMAGES))
    x = outputs(model, name)
    np.testing.assert_allclose(taken, x.mean(tuple(range(1, x.ndim - 1))), atol=1e-5)


@pytest.mark.parametrize("activate", [keras.ops.relu, keras_rescnet.gclu, keras_rescnet.gelu])
def test_of_a_sum_that_is_an_operation_the_branch_is_not_taken_alone(activate):
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, name="shortcut")(inputs)
    y = layers.Conv2D(4, 1, name="branch")(x)
    end = layers.GlobalAveragePooling2D()(keras.ops.max_pool(activate(x + y), 2))
    model = keras.Model(inputs, layers.Dense(10)(end))
    taken = keras.ops.convert_to_numpy(responses.response_model(model)(IMAGES))
    total = outputs(model, "shortcut") + outputs(model, "branch")
    np.testing.assert_allclose(taken, total.mean((1, 2)), atol=1e-5)


def pretrained():
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, activation="relu", name="first")(inputs)
    x = layers.Conv2D(5, 3, activation="relu", name="last")(x)
    return keras.Model(inputs, x, name="pretrained")


def flat(inner):
    head = [layers.GlobalAveragePooling2D(), layers.Dense(10)]
    return keras.Sequential([keras.Input((32, 32, 3)), *inner.layers[1:], *head])


def nested_sequential(inner):
    return keras.Sequential([inner, layers.GlobalAveragePooling2D(), layers.Dense(10)])


def nested_functional(inner):
    inputs = keras.Input((32, 32, 3))
    x = layers.MaxPooling2D(2)(inner(layers.Activation("linear")(inputs)))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def nested_classifier(inner):
    """A classifier within a model that prepares its images, as `Rescaling` does."""
    inputs = keras.Input((32, 32, 3))
    return keras.Sequential([inputs, layers.Rescaling(1.0), flat(inner), layers.Softmax()])


def pooled_to_one_position(inner):
    x = layers.GlobalAveragePooling2D(keepdims=True)(inner.output)
    return keras.Model(inner.input, layers.Flatten()(layers.Conv2D(10, 1)(x)))


@pytest.mark.parametrize(
    "build",
    [flat, nested_sequential, nested_functional, nested_classifier, pooled_to_one_position],
)
def test_an_activation_inside_of_a_layer_is_taken_away(build):
    inner = pretrained()
    taken = keras.ops.convert_to_numpy(responses.response_model(build(inner))(IMAGES))
    kernel, bias = inner.get_layer("last").get_weights()
    convolved = keras.ops.conv(outputs(inner, "first"), kernel) + bias
    expected = keras.ops.convert_to_numpy(convolved).mean((1, 2))
    np.testing.assert_allclose(taken, expected, atol=1e-5)
    assert (expected < 0).any()


def test_a_layer_can_be_named():
    model = models.CifarResNet8()
    taken = keras.ops.convert_to_numpy(responses.response_model(model, "stem_bn")(IMAGES))
    np.testing.assert_allclose(taken, outputs(model, "stem_bn").mean((1, 2)), atol=1e-5)
    with pytest.raises(ValueError, match="no layer of this name. Received: 'stem'"):
        responses.response_model(model, "stem")


def test_a_model_without_maps_is_refused():
    dense = keras.Sequential([keras.Input((4,)), layers.Dense(2)], name="dense")
    with pytest.raises(ValueError, match="must have a map .* Received: dense, which has none"):
        responses.response_model(dense)


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        pass

    with pytest.raises(ValueError, match="functional or sequential model. Received: .* of Own"):
        responses.response_model(Own())


def test_every_image_is_there_once_in_order():
    examples = noise.random_pictures(DIGITS, "test")
    model = responses.response_model(models.CifarResNet8())
    values, labels = responses.responses(model, examples, batch_size=8)
    pixels = (examples.images / 255.0 - np.array(DIGITS.mean)) / np.array(DIGITS.std)
    expected = keras.ops.convert_to_numpy(model(pixels.astype("float32"), training=False))
    np.testing.assert_allclose(values, expected, atol=1e-4)
    np.testing.assert_array_equal(labels, examples.labels)
    some, _ = responses.responses(model, examples, images=11, batch_size=8)
    np.testing.assert_allclose(some, expected[:11], atol=1e-4)


@pytest.fixture
def recipe_file(tmp_path):
    file = tmp_path / "recipe.py"
    file.write_text("from support import noise\n\nrecipe = noise.recipe\n")
    return file


def test_the_command_draws_a_run_and_a_file_side_by_side(tmp_path, recipe_file, capsys):
    run = tmp_path / "run"
    recipe = keras_rescnet.load_recipe(recipe_file, ["epochs=1", "warmup_epochs=0"])
    keras_rescnet.train(dataclasses.replace(recipe, steps_per_epoch=1), run)
    other = tmp_path / "other.keras"
    models.CifarResNet8().save(other)
    picture = tmp_path / "out.png"
    flags = [f"--workdir={run}", f"--model={other}", f"--recipe={recipe_file}", "--images=19"]
    run_command("responses", *flags, f"--output={picture}")
    printed = capsys.readouterr().out
    assert "\nrun: 4 channels, 19 images" in f"\n{printed}"  # called by its folder's name
    assert f"{other}: 64 channels, 19 images" in printed
    assert picture.read_bytes()[:4] == b"\x89PNG"
    with open(picture.with_suffix(".csv")) as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 + 64
    model = responses.response_model(keras.models.load_model(other))
    values, _ = responses.responses(model, noise.random_pictures(DIGITS, "test"), images=19)
    skewness, excess, distance = normality(values[:, 63])
    last = {key: float(text) for key, text in rows[-1].items() if key not in ("model", "channel")}
    assert last["mean"] == pytest.approx(values[:, 63].mean(), rel=1e-4)
    assert last["skewness"] == pytest.approx(skewness, rel=1e-4)
    assert last["excess_kurtosis"] == pytest.approx(excess, rel=1e-4)
    assert last["ks_distance"] == pytest.approx(distance, rel=1e-4)


def test_files_are_shown_to_a_run_as_its_test_pictures_were(finished_run, tmp_path):
    """Those of a run on arrays are not cropped, whose pixels files then give again."""
    test = noise.random_pictures(noise.recipe.dataset, "test")
    for number, (image, label) in enumerate(zip(test.images, test.labels, strict=True)):
        for part in ("train", "val"):
            file = tmp_path / "pictures" / part / test.class_names[label] / f"{number:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
    recipe = tmp_path / "files.py"
    recipe.write_text(
        "import dataclasses\n\nimport keras_rescnet as kr\nfrom support import noise\n\n"
        f"data = kr.data.image_folder({str(tmp_path / 'pictures')!r}, size=32)\n"
        "recipe = dataclasses.replace(noise.recipe, dataset=data)\n"
    )
    written = []
    for number, words in enumerate([[], [f"--recipe={recipe}"]]):
        picture = tmp_path / f"{number}.png"
        run_command("responses", f"--workdir={finished_run}", f"--output={picture}", *words)
        with open(picture.with_suffix(".csv")) as file:
            written.append([float(row["mean"]) for row in csv.DictReader(file)])
    assert written[0] == pytest.approx(written[1], rel=1e-4)


@pytest.mark.parametrize(
    ("file", "model", "row"),
    [
        ("airbench94_cifar10", "gelu.keras", "fast network, GELU, CIFAR-10"),
        ("airbench94_cifar10", "gclu.keras", "fast network, GCLU, CIFAR-10"),
        ("resnet8_cifar100", "resnet8.keras", "ResNet-8, GCLU, CIFAR-100"),
    ],
)
def test_the_page_has_the_recorded_medians(file, model, row):
    page = (ROOT / "docs" / "reproduction.md").read_text()
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {row} |")]
    cells = [float(cell) for cell in line.strip("|").split("|")[1:]]
    with open(ROOT / "results" / "responses" / f"{file}.csv", newline="") as lines:
        rows = [found for found in csv.DictReader(lines) if found["model"] == model]
    names = ("skewness", "excess_kurtosis", "ks_distance", "discriminability")
    columns = [[float(found[name]) for found in rows] for name in names]
    medians = [statistics.median(column) for column in columns]
    assert cells[0] == len(rows)
    assert cells[1:5] == pytest.approx(medians, abs=0.006)
    assert cells[5] == pytest.approx(statistics.correlation(*columns[2:]), abs=0.006)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--workdir or --model is missing"),
        (["--model=x.keras"], "--model needs --recipe"),
        (
            ["--model=x.keras", "--recipe={recipe}"],
            "must be a .keras file. Received: x.keras",
        ),
        (["--workdir=x", "--output=no/x.png"], "--output must lie in an existing folder"),
        (["--workdir=x"], "must be the folder of a finished run. Received: x"),
        (
            ["--model={recipe}", "--recipe={recipe}"],
            "must be a .keras file. Received: .*recipe.py",
        ),
        (["--model={model}", "--recipe={recipe}"], "images of shape .*Received: digits of .32"),
    ],
)
def test_mistakes_are_said(words, message, tmp_path, recipe_file, capsys):
    small = tmp_path / "small.keras"
    keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3)]).save(small)
    words = [word.format(recipe=recipe_file, model=small) for word in words]
    assert re.search(message, answer("responses", *words, capsys=capsys))
