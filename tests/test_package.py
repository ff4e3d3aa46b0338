"""What setup.cfg ships."""

import ast
import configparser
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

import pytest
import setuptools

import keras_rescnet as kr
from support import ROOT

SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "setup.cfg")


def test_every_package_and_the_recipes_ship():
    found = setuptools.find_packages(ROOT, include=["keras_rescnet*"])
    assert SETTINGS["options"]["packages"].split() == [*sorted(found), "keras_rescnet.recipes"]
    assert (ROOT / "keras_rescnet" / "py.typed").is_file()


def test_the_version_is_in_one_place():
    assert SETTINGS["metadata"]["version"] == "attr: keras_rescnet.__version__"
    try:
        installed = importlib.metadata.version("keras_rescnet")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")
    assert installed == kr.__version__


def imported(*folders):
    """Returns the packages that the Python files below folders import."""
    files = [file for folder in folders for file in pathlib.Path(folder).rglob("*.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names}


def test_every_requirement_is_imported_by_something():
    lines = SETTINGS["options"]["install_requires"].split("\n")
    required = {re.match(r"[\w-]+", line).group().replace("-", "_") for line in lines if line}
    unused = required - imported(ROOT / "keras_rescnet", ROOT / "recipes")
    # absl-py is imported as absl; importlib_resources stands there for tensorflow-datasets
    assert unused == {"absl_py", "importlib_resources"}
    datasets = importlib.util.find_spec("tensorflow_datasets").submodule_search_locations[0]
    builder = pathlib.Path(datasets) / "core" / "dataset_builder.py"
    assert "import importlib_resources" in builder.read_text()


def test_the_long_description_reads_anywhere():
    """An index of packages shows it without the repository that README's links lead into."""
    text = (ROOT / SETTINGS["metadata"]["long_description"].removeprefix("file: ")).read_text()
    assert text.startswith("# keras_rescnet") and not re.findall(r"\]\((?!https://)", text)


BUILD = """
import sys
from setuptools_reproducible import build_sdist, build_wheel

folder = sys.argv[1]  # setuptools replaces sys.argv
build_sdist(folder)
build_wheel(folder)
"""


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Two folders with a wheel and a source distribution each, of copies of unlike times."""
    pytest.importorskip("setuptools_reproducible", reason="the backend of pyproject.toml")
    folder = tmp_path_factory.mktemp("distributions")
    ignored = shutil.ignore_patterns(
        ".*", "build", "dist", "runs", "results", "tests", "*.egg-info"
    )
    for number in ("1", "2"):
        source = folder / f"source{number}"
        shutil.copytree(ROOT, source, ignore=ignored)
        for file in source.rglob("*"):
            os.utime(file, (1.6e9, 1.6e9 + 1e6 * int(number)))
        (folder / number).mkdir()
        subprocess.run(
            [sys.executable, "-c", BUILD, folder / number],
            cwd=source,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return folder / "1", folder / "2"


@pytest.mark.slow
def test_two_builds_are_the_same_bytes(distributions):
    first, second = ({file.name: file.read_bytes() for file in d.iterdir()} for d in distributions)
    assert len(first) == 2 and first == second


@pytest.mark.slow
def test_the_source_archive_holds_the_documents_and_recipes(distributions):
    (archive,) = distributions[0].glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"docs/quickstart.md", "docs/gain.png", "recipes/table1.py", "train.py"} <= names


@pytest.fixture(scope="module")
def site(distributions, tmp_path_factory):
    """The wheel in a folder of its own; what it depends on is that of this environment."""
    (wheel,) = distributions[0].glob("*.whl")
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--target", folder]
    subprocess.run([*pip, wheel], check=True)
    return folder


def run_in_site(site, folder, *arguments):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_a_recipe_trains_from_the_wheel_alone(site, tmp_path):
    changes = ["epochs=1", "warmup_epochs=0", "steps_per_epoch=2"]
    flags = ["--recipe=digits_gclu_resnet8", *(f"--set={change}" for change in changes)]
    run_in_site(site, tmp_path, "-m", "keras_rescnet", "train", *flags)
    results = json.loads((tmp_path / "runs" / "digits_gclu_resnet8" / "results.json").read_text())
    assert results["parameters"] == 78_042
    assert (site / "keras_rescnet" / "py.typed").is_file()


WEIGHTS = """
import sys
import keras_rescnet as kr

assert kr.__file__.startswith(sys.argv[1]), kr.__file__
model = kr.models.CifarResNet8(activation=kr.gclu, weights="digits")
card = kr.models.pretrained()["digits_gclu_resnet8"]
print(repr(kr.evaluate(model, kr.data.DIGITS)["accuracy"]), repr(card["results"]["test_accuracy"]))
"""


@pytest.mark.slow
def test_the_weights_work_from_the_wheel_alone(site, tmp_path):
    measured, recorded = run_in_site(site, tmp_path, "-c", WEIGHTS, site).split()
    assert measured == recorded == "0.9887323943661972"
