"""What is wrong with flags, runs, records, logs and pictures is one line and exit code 2."""

import json
import os
import pathlib
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_rescnet as kr
from keras_rescnet import export
from keras_rescnet.files import checksum
from support import ROOT, noise
from support.commands import answer

TAGS = str(ROOT / "tests" / "support" / "tagged.py")
RECIPE = str(ROOT / "recipes" / "digits_gclu_resnet8.py")
LONG = "a" * 300  # more than a file's name can have
HEADER = "epoch,train_loss,train_accuracy,test_loss,test_accuracy\n"
RECORD = {
    "recipe": "table9.py:a",
    "overrides": [],
    "seed": 0,
    "epochs": 5,
    "hours": 0.5,
    "machine": "A processor, 2 CPUs",
    "results": {"test_accuracy": 0.5, "best_test_accuracy": 0.5},
}


def small_model():
    layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(10)])


def write_json(path, value):
    path.write_text(json.dumps(value))


def write_runs(folder):
    """Writes a run that is whole, `run`, and others that differ from it in one file each."""
    run = folder / "run"
    run.mkdir()
    (run / "recipe.py").write_text("from support import noise\nrecipe = noise.recipe\n")
    small_model().save(run / "model.keras")
    (run / "log.csv").write_text(HEADER + "1,2,0.5,2,0.5\n")
    facts = {
        "name": None,
        "data": {
            "name": "digits",
            "image_shape": [32, 32, 3],
            "mean": [0.5] * 3,
            "std": [0.2] * 3,
            "class_names": list("0123456789"),
        },
    }
    write_json(run / "run.json", facts)

    def other(name):
        return pathlib.Path(shutil.copytree(run, folder / name))

    (other("no_model") / "model.keras").unlink()
    (other("no_facts") / "run.json").unlink()
    (other("broken_facts") / "run.json").write_bytes(b"{")
    (other("binary_facts") / "run.json").write_bytes(b"\xff\xfe")
    write_json(other("facts_of_a_list") / "run.json", [])
    write_json(other("facts_with_text") / "run.json", {**facts, "data": {"mean": "abc"}})
    write_json(other("facts_with_a_name") / "run.json", {**facts, "name": 3})
    (other("broken_model") / "model.keras").write_bytes(b"no model")
    (other("broken_recipe") / "recipe.py").write_text("1 / 0\n")
    (other("no_recipe") / "recipe.py").write_text("nothing = 1\n")
    mine = other("mine")
    (mine / "recipe.py").unlink()
    write_json(mine / "run.json", {**facts, "data": {**facts["data"], "name": "mine"}})
    folder_facts = other("folder_in_the_way") / "run.json"
    folder_facts.unlink()
    folder_facts.mkdir()
    hostile(other("hostile_class") / "model.keras", class_name="Popen", module="subprocess")
    hostile(other("hostile_layer") / "model.keras", class_name="Lambda", module="os")
    hostile(other("hostile_config") / "model.keras", config=[])
    return run


def hostile(file, **changes):
    """Changes the configuration in a `.keras` file, as someone might who sends one."""
    import zipfile

    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = {**json.loads(members["config.json"]), **changes}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in {**members, "config.json": json.dumps(config)}.items():
            archive.writestr(name, data)


def write_served(folder):
    export.saved_model(small_model(), folder / "served", mean=(0.5,) * 3, std=(0.2,) * 3)
    tf.saved_model.save(tf.Module(), str(folder / "foreign"))
    damaged = pathlib.Path(shutil.copytree(folder / "served", folder / "damaged"))
    (damaged / "saved_model.pb").write_bytes(b"damaged")
    without = pathlib.Path(shutil.copytree(folder / "served", folder / "without_weights"))
    shutil.rmtree(without / "variables")
    Image.fromarray(np.zeros((9, 9, 3), "uint8")).save(folder / "picture.png")
    data = (folder / "picture.png").read_bytes()
    (folder / "half.png").write_bytes(data[: len(data) // 2])
    (folder / "text.png").write_text("no picture")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "no_pictures").mkdir()


def write_tables(folder):
    """Writes folders of recipes and of records; each name says what is wrong with it."""
    table = (
        '"""A table."""\nfrom support import noise\n'
        'recipes = {"a": noise.recipe}\ncolumns = {"A": "*"}\n'
    )
    for name, text in {
        "tables": table,
        "without_columns": table.replace("columns", "rows"),
        "with_numbers": table.replace('"*"', "3"),
        "with_a_list": table.replace('{"a": noise.recipe}', "[noise.recipe]"),
        "unfit": table.replace('"*"', '"b-*"'),
        "failing": "1 / 0\n",
        "broken": "recipes = {\n",
        "leaving": "raise SystemExit(0)\n",
    }.items():
        (folder / name).mkdir()
        (folder / name / "table9.py").write_text(text)
    for name, record in {
        "records": RECORD,
        "record_with_text": {**RECORD, "epochs": "5"},
        "record_of_nothing": {**RECORD, "results": {}},
        "record_with_a_list": {**RECORD, "recipe": ["a"]},
        "record_with_numbers": {**RECORD, "overrides": [3]},
        "record_above_one": {
            **RECORD,
            "results": {"test_accuracy": 98.6, "best_test_accuracy": 99.0},
        },
    }.items():
        (folder / name).mkdir()
        write_json(folder / name / "a.json", {**record, "checksum": checksum(record)})
    for name, data in {"edited": b'{"checksum": "0"}', "no_json": b"{", "binary": b"\xff"}.items():
        (folder / name).mkdir()
        (folder / name / "a.json").write_bytes(data)


def write_logs(folder):
    for name, text in {
        "empty": "",
        "only_header": HEADER,
        "columns": "epoch,loss\n1,2\n",
        "words": HEADER + "1,a,b,c,d\n",
        "short": HEADER + "1,2\n",
        "long": HEADER + "1,2,3,4,5,6\n",
        "nan": HEADER + "1,nan,0.5,2,0.5\n",
        "twice": HEADER + "1,2,0.5,2,0.5\n1,2,0.5,2,0.5\n",
        "zero": HEADER + "0,2,0.5,2,0.5\n",
    }.items():
        (folder / f"log_{name}").mkdir()
        (folder / f"log_{name}" / "log.csv").write_text(text)
    (folder / "log_folder" / "log.csv").mkdir(parents=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder in which the commands are called."""
    folder = tmp_path_factory.mktemp("place")
    write_runs(folder)
    write_served(folder)
    write_tables(folder)
    write_logs(folder)
    small_model().save(folder / "small.keras")
    (folder / "text.keras").write_text("no model")
    (folder / "mine.py").write_text("from support import noise\nrecipe = noise.recipe\n")
    (folder / "marks.md").write_text("<!-- report -->\n<!-- /report -->\n")
    (folder / "one_mark.md").write_text("<!-- report -->\n")
    return folder


RUN = "--workdir=run"
TRAIN = ["training", "--recipe=mine.py"]
RESPONSES = ["responses", "--model=small.keras", "--recipe=mine.py"]
EXPLAIN = ["explain", "--model=small.keras", "--pixels"]
REPORT = ["report", "--results=records", "--recipes=tables"]
DAMAGED = "must be as the run wrote it"
CASES = {
    # flags of every command
    "train: no recipe": (["training"], "--recipe is missing"),
    "train: recipe without a file": (["training", "--recipe=no.py"], "no.py, which is no file"),
    "train: recipe is a folder": (["training", "--recipe=run"], "run, which is no file"),
    "train: recipe without its value": (["training", "--recipe"], "Missing value for flag"),
    "train: unknown flag": ([*TRAIN, "--recepe=a"], "Did you mean: recipe"),
    "train: field as a flag": ([*TRAIN, "--epochs", "5"], "--set epochs=5"),
    "train: field as a flag with =": ([*TRAIN, "--epochs=5"], "--set epochs=5"),
    "train: a field's short name": ([*TRAIN, "--set=lr=1"], "Nearest: 'learning_rate'"),
    "train: field and value apart": ([*TRAIN, "--set", "epochs", "5"], "--set epochs=5"),
    "train: field without a value": ([*TRAIN, "--set=epochs"], "must read field=value"),
    "train: unknown field": ([*TRAIN, "--set=epoch=1"], "Nearest: 'epochs'"),
    "train: unfit field": ([*TRAIN, "--set=epochs=0"], "`epochs` must be"),
    "train: negative seed": ([*TRAIN, "--set=seed=-1"], "`seed` must be"),
    "train: word": (["training", "mine.py"], "given as --flag value. Received: mine.py"),
    "train: devices of words": ([*TRAIN, "--devices=all"], "--devices=all: invalid literal"),
    "train: no devices": ([*TRAIN, "--devices=0", "--workdir=new"], "`devices` must be"),
    "train: no timeout": ([*TRAIN, "--timeout=0", "--workdir=new"], "`timeout` must be"),
    "train: workdir is a file": ([*TRAIN, "--workdir=picture.png"], "must be a folder"),
    "train: workdir of something else": ([*TRAIN, "--workdir=tables"], "tables"),
    "train: record is a file": ([*TRAIN, "--record=picture.png"], "--record must be a folder"),
    "train: record below a file": ([*TRAIN, "--record=mine.py/a"], "--record must be a folder"),
    "train: record of a long name": ([*TRAIN, f"--record={LONG}"], "--record must be a folder"),
    "train: field of evaluate": ([*TRAIN, "--split=test"], "Received: --split=test"),
    # evaluate
    "evaluate: no run": (["evaluate"], "--workdir is missing"),
    "evaluate: word": (["evaluate", "run"], "given as --flag value. Received: run"),
    "evaluate: unknown flag": (["evaluate", RUN, "--spilt=a"], "Did you mean: split"),
    "evaluate: no such run": (["evaluate", "--workdir=no"], "no, which has no run.json"),
    "evaluate: long name": (["evaluate", f"--workdir={LONG}"], "which has no run.json"),
    "evaluate: run is a file": (["evaluate", "--workdir=mine.py"], "which has no run.json"),
    "evaluate: no model": (["evaluate", "--workdir=no_model"], "which has no model.keras"),
    "evaluate: no facts": (["evaluate", "--workdir=no_facts"], "which has no run.json"),
    "evaluate: facts in a folder": (["evaluate", "--workdir=folder_in_the_way"], "no run.json"),
    "evaluate: broken facts": (["evaluate", "--workdir=broken_facts"], DAMAGED),
    "evaluate: binary facts": (["evaluate", "--workdir=binary_facts"], DAMAGED),
    "evaluate: a list of facts": (["evaluate", "--workdir=facts_of_a_list"], DAMAGED),
    "evaluate: text for numbers": (["evaluate", "--workdir=facts_with_text"], DAMAGED),
    "evaluate: number for a name": (["evaluate", "--workdir=facts_with_a_name"], DAMAGED),
    "evaluate: broken model": (["evaluate", "--workdir=broken_model"], "that Keras can load"),
    "evaluate: hostile class": (["evaluate", "--workdir=hostile_class"], "that Keras can load"),
    "evaluate: hostile layer": (["evaluate", "--workdir=hostile_layer"], "that Keras can load"),
    "evaluate: hostile config": (["evaluate", "--workdir=hostile_config"], "that Keras can load"),
    "evaluate: recipe fails": (["evaluate", "--workdir=broken_recipe"], "recipe.py:1: Zero"),
    "evaluate: no recipe": (["evaluate", "--workdir=no_recipe"], "must assign `recipe"),
    "evaluate: data of your own": (["evaluate", "--workdir=mine"], r"kr.evaluate\(workdir, data"),
    "evaluate: split": (["evaluate", RUN, "--split=dev"], "'test'.*Received: split='dev'"),
    "evaluate: no such folder": (["evaluate", RUN, "--folder=no"], "Received: no "),
    "evaluate: folder is a file": (["evaluate", RUN, "--folder=mine.py"], "Received: mine.py "),
    "evaluate: folder of others": (["evaluate", RUN, "--folder=tables"], "the model's classes"),
    "evaluate: json in no folder": (["evaluate", RUN, "--json=no/a"], "--json must lie in"),
    "evaluate: json is a folder": (["evaluate", RUN, "--json=run"], "--json must lie in"),
    "evaluate: matrix in no folder": (
        ["evaluate", RUN, "--confusion=no/a.png"],
        "--confusion must lie in",
    ),
    "evaluate: matrix of no picture": (
        ["evaluate", RUN, "--confusion=a.doc"],
        "--confusion must end in .png or .pdf or .svg",
    ),
    # predict
    "predict: nothing": (["predict"], "Either --workdir or --model must be given"),
    "predict: both": (["predict", RUN, "--model=served", "picture.png"], "Received: both"),
    "predict: no pictures": (["predict", "--model=served"], "Name at least one picture"),
    "predict: no SavedModel": (["predict", RUN, "picture.png"], "has no saved_model.pb"),
    "predict: no such model": (["predict", "--model=no", "picture.png"], "no, which is no folder"),
    "predict: long name": (["predict", f"--model={LONG}", "picture.png"], "which is no folder"),
    "predict: foreign": (["predict", "--model=foreign", "picture.png"], "no serve and no prepare"),
    "predict: damaged": (["predict", "--model=damaged", "picture.png"], "TensorFlow can load"),
    "predict: no weights": (
        ["predict", "--model=without_weights", "picture.png"],
        "TensorFlow can load",
    ),
    "predict: no such picture": (["predict", "--model=served", "no.png"], "no.png, which names no"),
    "predict: empty pattern": (["predict", "--model=served", "x*.png"], "names no picture"),
    "predict: empty folder": (["predict", "--model=served", "no_pictures"], "names no picture"),
    "predict: long picture": (["predict", "--model=served", LONG], "names no picture"),
    "predict: half": (
        ["predict", "--model=served", "half.png"],
        "1 of 1 .* be read: half.png",
    ),
    "predict: text": (["predict", "--model=served", "text.png"], "cannot be read: text.png"),
    "predict: empty": (["predict", "--model=served", "empty.jpg"], "cannot be read: empty.jpg"),
    # export
    "export: no run": (["export"], "--workdir is missing"),
    "export: no such run": (["export", "--workdir=no"], "no, which has no run.json"),
    "export: format": (["export", RUN, "--format=onxx"], "one of <onnx|litert|saved_model>"),
    "export: broken model": (
        ["export", "--workdir=broken_model", "--format=saved_model"],
        "that Keras can load",
    ),
    # responses
    "responses: nothing": (["responses"], "--workdir or --model is missing"),
    "responses: model without data": (["responses", "--model=small.keras"], "needs --recipe"),
    "responses: no such model": (
        ["responses", "--model=no.keras", "--recipe=mine.py"],
        "must be a .keras file. Received: no.keras",
    ),
    "responses: text": (
        ["responses", "--model=text.keras", "--recipe=mine.py"],
        "that Keras can load",
    ),
    "responses: other images": (RESPONSES, r"images of shape \(8, 8, 3\)"),
    "responses: no images": ([*RESPONSES, "--images=0"], "not a positive integer"),
    "responses: no channels": ([*RESPONSES, "--channels=0"], "not a positive integer"),
    "responses: output": ([*RESPONSES, "--output=a.xyz"], "--output must end in"),
    "responses: output in no folder": ([*RESPONSES, "--output=no/a.png"], "--output must lie in"),
    "responses: no such run": (["responses", "--workdir=no"], "no, which has no run.json"),
    # browse
    "browse: no recipe": (["browse"], "--recipe is missing"),
    "browse: negative step": (["browse", "--recipe=mine.py", "--step=-1"], "non-negative"),
    "browse: step beyond": (["browse", "--recipe=mine.py", "--step=15"], "15 steps, 0 to 14"),
    "browse: no pictures": (["browse", "--recipe=mine.py", "--count=0"], "positive integer"),
    "browse: output": (["browse", "--recipe=mine.py", "--output=a.txt"], "must end in"),
    "browse: output is a folder": (["browse", "--recipe=mine.py", "--output=run"], "must lie in"),
    # curves
    "curves: nothing": (["curves"], "Name at least one run's folder"),
    "curves: no log": (["curves", "tables"], "must hold a log.csv"),
    "curves: long name": (["curves", LONG], "must hold a log.csv"),
    "curves: log is a folder": (["curves", "log_folder"], "must hold a log.csv"),
    "curves: empty log": (["curves", "log_empty"], DAMAGED.replace("the", "a")),
    "curves: header alone": (["curves", "log_only_header"], "must have rows and the columns"),
    "curves: columns": (["curves", "log_columns"], "must have rows and the columns epoch"),
    "curves: words": (["curves", "log_words"], "line 2 must have numbers"),
    "curves: short row": (["curves", "log_short"], "line 2 has not as many cells"),
    "curves: long row": (["curves", "log_long"], "line 2 has not as many cells"),
    "curves: not finite": (["curves", "log_nan"], "line 2 must have finite numbers"),
    "curves: epoch twice": (["curves", "log_twice"], "its epochs must increase"),
    "curves: epoch 0": (["curves", "log_zero"], "must have an epoch, 1 or more"),
    "curves: output": (["curves", "run", "--output=c.xyz"], "--output must end in"),
    "curves: output in no folder": (["curves", "run", "--output=no/c.png"], "must lie in"),
    # report
    "report: no records": (["report", "--results=no", "--recipes=tables"], "folder of records"),
    "report: no tables": ([*REPORT, "--recipes=run"], r"a folder of table\*.py"),
    "report: no mark": ([*REPORT, "--update=mine.py"], "A file must have <!-- report --> and"),
    "report: one mark": ([*REPORT, "--update=one_mark.md"], "A file must have <!-- report --> and"),
    "report: no mark of a summary": ([*REPORT, "--summary=marks.md"], "have <!-- summary --> and"),
    "report: no file": ([*REPORT, "--update=no.md"], "A file must have <!-- report --> and"),
    "report: file is a folder": ([*REPORT, "--update=run"], "A file must have <!-- report --> and"),
    "report: edited record": ([*REPORT, "--results=edited"], "its checksum differs"),
    "report: record of no JSON": ([*REPORT, "--results=no_json"], "its checksum differs"),
    "report: binary record": ([*REPORT, "--results=binary"], "its checksum differs"),
    "report: text for epochs": ([*REPORT, "--results=record_with_text"], "its 'epochs' is not"),
    "report: no results": ([*REPORT, "--results=record_of_nothing"], "its 'results' is not"),
    "report: list of recipes": ([*REPORT, "--results=record_with_a_list"], "its 'recipe' is not"),
    "report: numbers": ([*REPORT, "--results=record_with_numbers"], "its 'overrides' is not"),
    "report: per cent": ([*REPORT, "--results=record_above_one"], "its 'results' is not"),
    "report: no columns": ([*REPORT, "--recipes=without_columns"], "`recipes` and `columns`"),
    "report: columns of numbers": ([*REPORT, "--recipes=with_numbers"], "`recipes` and `columns`"),
    "report: list": ([*REPORT, "--recipes=with_a_list"], "`recipes` and `columns`"),
    "report: no column fits": ([*REPORT, "--recipes=unfit"], "fits 0 of"),
    "report: table fails": ([*REPORT, "--recipes=failing"], "table9.py:1: ZeroDivisionError"),
    "report: table is broken": ([*REPORT, "--recipes=broken"], "table9.py:1: "),
    "report: table leaves": ([*REPORT, "--recipes=leaving"], "table9.py:1: SystemExit"),
    # noise
    "noise: no run": (["noise"], "--workdir is missing"),
    "noise: no such run": (["noise", "--workdir=no"], "no, which has no run.json"),
    "noise: one probe": (["noise", RUN, "--probes=1"], "probes=1: 1 is not integer >= 2"),
    "noise: no batches": (["noise", RUN, "--batches=0"], "positive integer"),
    "noise: output": (["noise", RUN, "--output=a.xyz"], "--output must end in"),
    "noise: a run from Python": (["noise", "--workdir=mine"], "must have its recipe file"),
    # precision
    "precision: misspelt": (
        ["precision", "ResNet51"],
        "a .keras file or the folder of a run. Received: 'ResNet51'. Nearest: ResNet",
    ),
    "precision: chunk": (["precision", "--chunk=48"], "--chunk must be a power of 2"),
    "precision: no such file": (["precision", "no.keras"], "must be a .keras file. Received: no"),
    "precision: no run": (["precision", "tables"], "tables, which has no run.json"),
    "precision: output": (["precision", "--output=no/a.png"], "--output must lie in"),
    "precision: bits": (["precision", "--product_bits=25"], "product_bits"),
    # explain
    "explain: no model": (["explain", "picture.png"], "--model is missing"),
    "explain: no pictures": (["explain", "--model=run"], "Name at least one picture"),
    "explain: no such run": (["explain", "--model=no", "picture.png"], "which has no run.json"),
    "explain: no such picture": ([*EXPLAIN, "no.png"], "no.png, which names no picture"),
    "explain: file alone": (
        ["explain", "--model=small.keras", "picture.png"],
        "needs --recipe.*Received: small.keras alone",
    ),
    "explain: class": (
        [*EXPLAIN, "picture.png", "--class=rose"],
        "a number from 0 to 9. Received: --class=rose. Nearest: ",
    ),
    "explain: number": ([*EXPLAIN, "picture.png", "--class=10"], "Received: --class=10"),
    "explain: layer": (
        [*EXPLAIN, "picture.png", "--layer=conv"],
        "has no layer of this name that would do. Received: 'conv'. Nearest: conv2d",
    ),
    "explain: no RC Layer": (
        [*EXPLAIN, "picture.png", "--rc_layer=rc"],
        "must have an RC Layer for its map. Received: .*which has none",
    ),
    "explain: output": ([*EXPLAIN, "picture.png", "--output=a.txt"], "--output must end in"),
    "explain: text": ([*EXPLAIN, "text.png"], "1 of 1 that cannot be read: text.png"),
    # models
    "models: misspelt": (["models", "ResNet51"], "Did you mean ResNet"),
    "models: no classes": (["models", "ResNet50", "--classes=0"], "not a positive integer"),
    "models: no size": (["models", "--input_size=a"], "invalid literal"),
    "models: a file": (["models", "--cvs=true"], "Unknown command line flag 'cvs'"),
}


def files_of(folder):
    """Returns the size and time of every file below a folder."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            status = os.stat(os.path.join(parent, name))
            found[os.path.join(parent, name)] = (status.st_size, status.st_mtime_ns)
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_one_line_and_loses_nothing(case, place, monkeypatch, capsys):
    (command, *arguments), pattern = CASES[case]
    monkeypatch.chdir(place)
    before = files_of(place)
    line = answer(command, *arguments, capsys=capsys)
    assert re.search(pattern, line), line
    assert "Received: " in line and len(line) <= 520, line  # with the command's name
    assert files_of(place) == before


def test_the_table_is_long_enough():
    assert len(CASES) >= 80


MODEL = small_model()
STATISTICS = {"mean": (0.5,) * 3, "std": (0.2,) * 3}
CALLS = {
    "Grad-CAM of one picture": (
        lambda: kr.grad_cam(MODEL, np.zeros((8, 8, 3))),
        r"`images` must be of shape \(N, .*Received: images of shape \(8, 8, 3\)",
    ),
    "Grad-CAM of no class": (
        lambda: kr.grad_cam(MODEL, np.zeros((1, 8, 8, 3)), classes=10),
        "numbers from 0 to 9, .*Received: classes=10",
    ),
    "Grad-CAM of classes of others": (
        lambda: kr.grad_cam(MODEL, np.zeros((1, 8, 8, 3)), classes=[0, 1]),
        r"as many as images, 1. Received: classes=\[0, 1\]",
    ),
    "Grad-CAM of a layer without maps": (
        lambda: kr.grad_cam(MODEL, np.zeros((1, 8, 8, 3)), layer="flatten"),
        "has no layer of this name that would do. Received: 'flatten'",
    ),
    "Grad-CAM of sequences": (
        lambda: kr.grad_cam(kr.models.ViT(16, width=8, depth=1, heads=1), np.zeros((1, 32, 32, 3))),
        r"needs maps \(N, H, W, C\).*Received: vit, whose last are of shape \(1, 5, 8\)",
    ),
    "Grad-CAM of maps": (
        lambda: kr.grad_cam(keras.Sequential(MODEL.layers[:1]), np.zeros((1, 8, 8, 3))),
        r"must return logits \(N, classes\). Received: .*which returns",
    ),
    "RC maps without an RC Layer": (
        lambda: kr.rc_maps(MODEL, np.zeros((1, 8, 8, 3))),
        "must have an RC Layer for its map. Received: ",
    ),
    "evaluate a number": (
        lambda: kr.evaluate(3, kr.data.DIGITS),
        "`run` must be the folder .*Received: run=3",
    ),
    "evaluate a model without data": (lambda: kr.evaluate(MODEL), "dataset=None"),
    "evaluate a model on a name": (lambda: kr.evaluate(MODEL, "digits"), "dataset='digits'"),
    "evaluate a model with a softmax": (
        lambda: kr.evaluate(
            keras.Sequential([MODEL, keras.layers.Softmax(), keras.layers.Identity()]),
            kr.data.DIGITS,
        ),
        "take the last activation off. Received: .*, which ends in softmax",
    ),
    "evaluate a folder on a name": (lambda: kr.evaluate("run", "digits"), "dataset='digits'"),
    "evaluate no folder": (lambda: kr.evaluate("no/such"), "no/such, which has no run.json"),
    "evaluate batches of none": (
        lambda: kr.evaluate(kr.models.CifarResNet8(), kr.data.DIGITS, batch_size=0),
        "`batch_size` must be a positive integer. Received: batch_size=0",
    ),
    "evaluate images of another size": (
        lambda: kr.evaluate(MODEL, kr.data.DIGITS),
        r"of shape \(8, 8, 3\): .* Received: digits of \(32, 32, 3\)",
    ),
    "evaluate another split": (
        lambda: kr.evaluate(MODEL, noise.recipe.dataset, split="dev"),
        "Received: split='dev'",
    ),
    "export no model": (
        lambda: export.saved_model("a.keras", "new", **STATISTICS),
        "`model` must be a keras.Model",
    ),
    "export statistics of one channel": (
        lambda: export.saved_model(MODEL, "new", mean=(0.5,), std=(0.2,)),
        "must be 3 numbers, one per channel",
    ),
    "export a std of 0": (
        lambda: export.saved_model(MODEL, "new", mean=(0.5,) * 3, std=(0.0,) * 3),
        "`std` positive",
    ),
    "export too few names": (
        lambda: export.saved_model(MODEL, "new", class_names=["a"], **STATISTICS),
        "the model's 10 classes",
    ),
    "export into a folder of something else": (
        lambda: export.saved_model(MODEL, ROOT, **STATISTICS),
        "which holds something else",
    ),
    "ONNX of no pictures": (
        lambda: export.onnx(MODEL, "a.onnx", pictures=np.zeros((0, 8, 8, 3)), **STATISTICS),
        "`pictures` must be one picture or more",
    ),
    "ONNX of other pictures": (
        lambda: export.onnx(MODEL, "a.onnx", pictures=np.zeros((1, 9, 9, 3)), **STATISTICS),
        "`pictures` must be one picture or more",
    ),
    "LiteRT into no folder": (
        lambda: export.litert(MODEL, "no/a", pictures=np.zeros((1, 8, 8, 3)), **STATISTICS),
        "`path` must be a file in an existing folder",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_mistake_in_python_is_one_line(case, assert_refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_refused(*CALLS[case])
    assert not os.listdir(tmp_path)


def test_an_ensemble_on_tags_is_refused_before_it_is_trained(tmp_path, capsys):
    words = [f"--recipe={TAGS}", f"--workdir={tmp_path / 'runs'}"]
    message = answer("ensemble", *words, capsys=capsys)
    assert "kr.ensemble.mean(folders, multi_label=True) joins them. Received: --recipe" in message
    assert not (tmp_path / "runs").exists()
