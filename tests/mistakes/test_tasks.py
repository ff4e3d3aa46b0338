"""Losses, weights of classes, tags and tables that are refused."""

import dataclasses
import functools
import json

import keras
import numpy as np
import pytest

import keras_rescnet as kr
from keras_rescnet import data, losses
from keras_rescnet.training.data import RunData
from keras_rescnet.training.losses import build_losses, build_teacher
from support import noise, tagged
from support.pictures import picture

ONE, TAGS = noise.recipe, tagged.recipe
LABELS, LOGITS = np.eye(2, dtype="float32"), np.zeros((2, 2), "float32")


def mean_over_the_batch(labels, logits):
    return keras.ops.mean(losses.binary_crossentropy(labels, logits))


def elementwise(labels, logits):
    return keras.ops.square(labels - logits)


def failing(labels, logits):
    raise KeyError("colour")


RECIPES = {
    "a class": ({"loss": keras.losses.BinaryCrossentropy}, "Received: loss=BinaryCross.*a class"),
    "a name": ({"loss": "mse"}, "`loss` must be a function or None. Received: loss='mse'"),
    "smoothing": (
        {"loss": losses.categorical_crossentropy, "label_smoothing": 0.1},
        "`label_smoothing` is for the default loss.*partial.*Received: label_smoothing=0.1",
    ),
    "a list of weights": ({"class_weights": [1.0]}, "`class_weights` must be a dict or None"),
    "a numbered weight": ({"class_weights": {0: 1.0}}, "names of classes to weights.*{0: 1.0}"),
    "a negative weight": ({"class_weights": {"a": -1}}, "at least 0. Received: class_weights={'a"),
    "an infinite weight": ({"class_weights": {"a": float("inf")}}, "at least 0. Received: cla"),
    "a large weight": ({"class_weights": {"a": 10**400, "b": -1}}, "at least 0. Received: class_w"),
    "a wordy weight": ({"class_weights": {"a": "2"}}, "at least 0. Received: class_weights={'a'"),
}


@pytest.mark.parametrize("case", RECIPES)
def test_recipe(case, assert_refused):
    changes, pattern = RECIPES[case]
    assert_refused(lambda: dataclasses.replace(ONE, **changes), pattern)


LOSSES = {
    "softmax of tags": (TAGS, {"loss": None, "class_weights": None}, "must be one for tags.*None"),
    "a teacher of tags": (
        TAGS,
        {"loss": losses.Distillation("a.keras"), "class_weights": None},
        "must be one for tags.*Received: loss=<keras_rescnet.losses.Distillation",
    ),
    "weights of a teacher": (
        ONE,
        {"loss": losses.Distillation("a.keras"), "class_weights": {"3": 2.0}},
        "must take an argument class_weights.*Received: loss=<keras_rescnet.losses.Dist",
    ),
    "a scalar": (ONE, {"loss": mean_over_the_batch}, r"the loss of every picture.*of shape \(\) "),
    "a map": (ONE, {"loss": elementwise}, r"shape \(N,\).*of shape \(2, 10\) for 2 pictures from"),
    "nothing": (ONE, {"loss": lambda labels, logits: None}, "every picture.*Received: None of sh"),
    "integers": (
        ONE,
        {"loss": lambda labels, logits: keras.ops.argmax(logits, axis=-1)},
        r"floats of shape \(N,\).*of shape \(2,\)",
    ),
    "an error": (ONE, {"loss": failing}, "recipe's `loss` failed in .*KeyError: 'colour'.*Rec"),
    "one argument": (ONE, {"loss": lambda labels: labels}, "`loss` failed in .*TypeError"),
    "probabilities": (
        TAGS,
        {"loss": keras.losses.BinaryCrossentropy(), "class_weights": None},
        r"must take logits: give it from_logits=True.*Received: loss=BinaryCrossentropy\(from",
    ),
    **{
        f"probabilities, {function.__name__}": (
            ONE,
            {"loss": function},
            rf"must take logits.*functools.partial. Received: loss={function.__name__}\(from",
        )
        for function in (
            keras.losses.binary_crossentropy,
            keras.losses.categorical_crossentropy,
            keras.losses.binary_focal_crossentropy,
            keras.losses.categorical_focal_crossentropy,
        )
    },
    "probabilities, partial": (
        ONE,
        {"loss": functools.partial(keras.losses.categorical_crossentropy, label_smoothing=0.1)},
        r"must take logits.*Received: loss=categorical_crossentropy\(from_logits=False",
    ),
    **{
        f"probabilities alone, {name}": (
            ONE,
            {"loss": loss},
            f"must take logits, not probabilities. Received: loss={name}",
        )
        for name, loss in {
            "KLDivergence": keras.losses.KLDivergence(),
            "Poisson": keras.losses.Poisson(),
            "kl_divergence": keras.losses.kl_divergence,
            "poisson": keras.losses.poisson,
        }.items()
    },
    "probabilities of a teacher's loss": (
        ONE,
        {"loss": losses.Distillation("a.keras", loss=keras.losses.categorical_crossentropy)},
        "must take logits",
    ),
    "an unknown class": (
        TAGS,
        {"class_weights": {"rad": 2.0}},
        "must name classes of the dataset. Received: 'rad'. Nearest: 'red'",
    ),
    "weights of keras": (
        TAGS,
        {"loss": keras.losses.BinaryCrossentropy(from_logits=True)},
        "`loss` must take an argument class_weights.*Received: loss=.*has none",
    ),
    "weights of a function": (TAGS, {"loss": elementwise}, "an argument class_weights"),
    "gamma": (
        TAGS,
        {"loss": functools.partial(losses.binary_focal_crossentropy, gamma=-1)},
        "`gamma` must be a number, at least 0. Received: gamma=-1",
    ),
    "smoothing above 1": (
        ONE,
        {"loss": functools.partial(losses.categorical_crossentropy, label_smoothing=1.5)},
        "`label_smoothing` must be at least 0 and below 1. Received: label_smoothing=1.5",
    ),
    "smoothing of 1": (
        TAGS,
        {"loss": functools.partial(losses.binary_crossentropy, label_smoothing=1.0)},
        "`label_smoothing` must be at least 0 and below 1. Received: label_smoothing=1.0",
    ),
}


@pytest.mark.parametrize("case", LOSSES)
def test_loss(case, assert_refused):
    recipe, changes, pattern = LOSSES[case]
    recipe = dataclasses.replace(recipe, **changes)
    names = RunData(recipe).train.class_names
    assert_refused(lambda: build_losses(recipe, names), pattern)


DISTILLATIONS = {
    "no teacher": (None, {}, "`teacher` must be a .keras file, or a function.*teacher=None"),
    "empty": ("", {}, "`teacher` must be .* teacher=''"),
    "a model": (tagged.model((32, 32, 3), 10), {}, "`teacher` must be .* teacher=<Functional"),
    "temperature of 0": ("a.keras", {"temperature": 0}, "must be a positive number.*temperature=0"),
    "a wordy temperature": (
        "a.keras",
        {"temperature": "2"},
        "must be a positive number.*temperature='2'",
    ),
    "alpha of 2": (
        "a.keras",
        {"alpha": 2},
        r"`alpha` must be in \[0, 1\]. Received: alpha=2",
    ),
    "NaN": ("a.keras", {"alpha": float("nan")}, r"in \[0, 1\]. Received: alpha=nan"),
}


@pytest.mark.parametrize("case", DISTILLATIONS)
def test_distillation(case, assert_refused):
    teacher, options, pattern = DISTILLATIONS[case]
    assert_refused(lambda: losses.Distillation(teacher, **options), pattern)


def test_teacher(tmp_path, assert_refused):
    def build(teacher, **changes):
        loss = losses.Distillation(teacher)
        return lambda: build_teacher(dataclasses.replace(ONE, loss=loss, **changes))

    recipe = dataclasses.replace(ONE, loss=losses.Distillation("no.keras"))
    assert_refused(recipe.digest, "a .keras file that can be read. Received: teacher='no.keras'")
    assert_refused(build("no.keras"), "must be a .keras file. Received: no.keras")
    tagged.model((32, 32, 3), 4).save(tmp_path / "model.keras")
    pattern = r"The teacher of `loss` does not fit: .*logits of shape \(None, 10\)"
    assert_refused(build(tmp_path / "model.keras"), pattern)
    assert_refused(build(lambda input_shape, classes: 3), "does not fit: .*Received: 3")
    assert_refused(build(lambda size: None), "`loss` failed in .*TypeError")
    facts = {"mean": [0.1] * 3, "std": [0.2] * 3, "class_names": ["a", "b"]}
    (tmp_path / "run.json").write_text(json.dumps({"data": facts}))
    pattern = r"trained with the dataset's `mean`.* with \(0.1, 0.1, 0.1\)"
    assert_refused(build(tmp_path / "model.keras"), pattern)


def coloured(**changes):
    return dataclasses.replace(tagged.dataset, **changes)


def arrays(labels):
    images = np.zeros((len(labels), 32, 32, 3), "uint8")
    return lambda: data.ArrayExamples(tagged.dataset, images, labels, tagged.TAGS)


def fetching(labels):
    def fetch(indices):
        return np.array([b""] * len(indices), object), np.array([labels] * len(indices))

    return lambda: data.EncodedExamples(tagged.dataset, 4, fetch, tagged.TAGS)._fetch_checked([0])


MULTI_LABEL = {
    "a word": (lambda: coloured(multi_label="yes"), "True or False. Received: multi_label='yes'"),
    "numbers of classes": (
        arrays(np.arange(4)),
        r"must be 0 and 1 of shape \(N, 4\). Received: int",
    ),
    "three columns": (arrays(np.zeros((2, 3))), r"\(N, 4\). Received: float64 of shape \(2, 3\)"),
    "shares": (arrays(np.full((2, 4), 0.5)), "must be 0 and 1.* Received: numbers from 0.5 to 0.5"),
    "words": (arrays(np.full((2, 4), "a")), "must be 0 and 1.* Received: <U1 of shape"),
    "fetched numbers": (fetching(3), r"must be 0 and 1.*Received: int64 of shape \(1,\)"),
    "fetched twos": (fetching([0, 1, 2, 0]), "must be 0 and 1.*Received: numbers from 0 to 2"),
    "thresholds without tags": (
        lambda: kr.export.saved_model(
            tagged.model((8, 8, 3), 2), "out", mean=[0.5] * 3, std=[0.5] * 3, thresholds=[0.5] * 2
        ),
        "go with multi_label=True. Received: thresholds=",
    ),
    "one threshold": (
        lambda: kr.export.saved_model(
            tagged.model((8, 8, 3), 2),
            "out",
            mean=[0.5] * 3,
            std=[0.5] * 3,
            multi_label=True,
            thresholds=[0.5],
        ),
        r"`thresholds` must be 2 probabilities.*Received: thresholds=\[0.5\], multi_label=True",
    ),
}


@pytest.mark.parametrize("case", MULTI_LABEL)
def test_multi_label(case, assert_refused):
    assert_refused(*MULTI_LABEL[case])


HEAD = "path,tags,split\n"
GOOD = "a.png,x,train\nb.png,y|x,train\nc.png,x,test\n"
TABLES = {  # text of the file, options, and what the answer has
    "no file": (None, {}, "must be a CSV file in UTF-8. Received: .*: No such file"),
    "empty": ("", {}, "must have the columns path, and label or tags.*with none"),
    "other columns": ("file,class\n", {}, "must have the columns .*pictures.csv with file, class"),
    "both kinds": ("path,label,tags\n", {}, "columns path, and label or tags"),
    "a column twice": ("path,path,tags\n", {}, "columns path, and label or tags"),
    "no rows": (HEAD, {}, "pictures to train on and to test with.*none for train"),
    "a short row": (
        HEAD + GOOD + "d.png,x\n",
        {},
        "the 3 cells of the first line.*line 5: d.png,x",
    ),
    "a long row": (HEAD + "a.png,x,train,1\n", {}, "the 3 cells of the first line.*line 2"),
    "a quote": (HEAD + 'a.png,"x,train\n', {}, "must be a CSV file.*line 2: unexpected end"),
    "latin 1": (HEAD.encode() + b"\xe9.png,x,train\n", {}, "in UTF-8. Received: .*not UTF-8"),
    "no path": (HEAD + ",x,train\n", {}, "must have the path of a picture.*'' in row 2 of"),
    "no label": ("path,label,split\na.png,,train\n", {}, "must have a label.*'a.png' in row 2"),
    "missing files": (
        HEAD + GOOD + "no.png,x,train\nnone.png,x,train\n",
        {},
        "must name files. Received: 2 of 5 that are no files, the first is 'no.png' in row 5",
    ),
    "a picture twice": (
        HEAD + GOOD + "./a.png,x,test\n",
        {},
        "every picture once. Received: './a.png' in rows 2 and 5",
    ),
    "a picture twice, once by its whole path": (
        "path,tags,split\na.png,x,train\n{folder}/a.png,x,test\n",
        {},
        "every picture once. Received: '.*/a.png' in rows 2 and 3",
    ),
    "a text for a path": (
        HEAD + GOOD + f"{'long ' * 99},x,train\n",
        {},
        "must name files. Received: 1 of 4 that are no files, the first is 'long .* in row 5",
    ),
    "unknown split": (HEAD + GOOD.replace("test", "tets"), {}, "train or test; nearest.*is test"),
    "no split": ("path,tags\na.png,x\n", {}, "must have a column split.*no column split and val"),
    "split and share": (HEAD + GOOD, {"validation_share": 0.5}, "a column split and valid.*=0.5"),
    "a share of 1": (HEAD + GOOD, {"validation_share": 1}, "between 0 and 1.*validation_share=1"),
    "nothing to test": (HEAD + GOOD.replace("test", "train"), {}, "test with.*none for test"),
    "a tag of the test": (
        HEAD + GOOD.replace("c.png,x", "c.png,z"),
        {},
        "must have a picture to train on. Received: 'z', which only test has",
    ),
    "no tags": (HEAD + "a.png,,train\nc.png,,test\n", {}, "1 or more tags. Received: \\[\\]"),
    "one class": (
        "path,label,split\na.png,x,train\nc.png,x,test\n",
        {},
        r"2 or more classes. Received: \['x'\]",
    ),
    "a strange label": (HEAD + "a.png,x\a,train\n", {}, "must be printable.*row 2"),
    "a root": (HEAD + GOOD, {"root": 3}, "`root` must be a folder. Received: root=3"),
    "another root": (HEAD + GOOD, {"root": "elsewhere"}, "must name files.*3 of 3"),
    "size of 0": (HEAD + GOOD, {"size": 0}, "positive integer.*size=0"),
}


@pytest.mark.parametrize("case", TABLES)
def test_table(case, tmp_path, assert_refused, monkeypatch):
    text, options, pattern = TABLES[case]
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        picture(ord(name), 8, 8).save(tmp_path / f"{name}.png")
    if isinstance(text, str):
        text = text.replace("{folder}", str(tmp_path))
    if text is not None:
        (tmp_path / "pictures.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert_refused(lambda: data.load(data.image_table("pictures.csv", **options), "train"), pattern)


COLUMNS = {
    "a list": ([1, 2], r"a DataFrame or a dict of columns of one length. Received: table=\[1, 2\]"),
    "nothing": (None, "a DataFrame or a dict of columns of one length. Received: table=None"),
    "lengths": ({"path": ["a"], "tags": []}, "columns of one length. Received: table={'path'"),
    "a number": ({"path": 3, "tags": 4}, "a dict of columns of one length"),
    "no tags": ({"path": ["a"]}, "must have the columns path, and .*the table with path"),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_columns(case, assert_refused):
    table, pattern = COLUMNS[case]
    assert_refused(lambda: data.image_table(table), pattern)
