"""What README.md and docs/ show works: Python blocks run, commands and files exist."""

import configparser
import functools
import operator
import re
import shlex
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_rescnet as kr
from keras_rescnet import load_recipe
from keras_rescnet.recipe.recipe import field_names
from support import ENVIRONMENT, ROOT, pictures
from support.golden import state_dict_of

DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    return [text for name, text in BLOCK.findall(page.read_text()) if name == language]


SLOW = ("README", "models", "quickstart")  # they train, or build the large networks
SHOWN = [
    pytest.param(page, marks=[pytest.mark.slow] if page.stem in SLOW else [])
    for page in PAGES
    if blocks(page, "python")
]


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.name)
def test_python_blocks_run(page, finished_run, tmp_path, monkeypatch):
    """All blocks of a page, one after the other, where a run of the digits lies in runs/."""
    shutil.copytree(finished_run, tmp_path / "runs" / "digits_gclu_resnet8")
    pictures.picture().save(tmp_path / "rose.jpg")
    monkeypatch.chdir(tmp_path)
    names = {
        "kr": kr,
        "keras": keras,
        "np": np,
        "tf": tf,
        "images": np.zeros((1, 64, 64, 3), "float32"),
        "pixels": np.zeros((2, 32, 32, 3), "uint8"),
    }
    shown = blocks(page, "python")
    if "state_dict" in "".join(shown):
        network = kr.models.ResNet50 if page.stem == "README" else kr.models.ResCNet50
        names["state_dict"] = state_dict_of(network())
    for block in shown:
        exec(compile(block, page, "exec"), names)


def commands(page):
    """Returns the command lines of a page, of its blocks and between backquotes."""
    text = page.read_text()
    lines = [
        line for _, block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()
    ]
    lines += re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    started = [
        re.sub(r"^(\w+=\S+ )+", "", part.strip()) for line in lines for part in line.split("&&")
    ]
    return [line for line in started if re.match(r"(python|keras-rescnet|pip|pytest) \S", line)]


COMMANDS = sorted({command for page in PAGES for command in commands(page)})


@functools.cache
def help_of(*command):
    done = subprocess.run(
        [sys.executable, *command, "--help"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist_with_their_flags(command):
    words = shlex.split(command, comments=True)
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    match words:
        case ["python", "train.py", *_]:
            known = help_of("train.py")
        case ["python", "-m", module, *_]:
            known = help_of("-m", module)
        case ["keras-rescnet", name, *_]:
            named = name != "COMMAND" and not name.startswith("-")
            known = "--help" + help_of("-m", "keras_rescnet", *([name] if named else []))
        case ["python", script, *_]:
            known = (ROOT / script).read_text()
        case ["pip", "install", *_]:
            known = "--upgrade"
            settings = configparser.ConfigParser()
            settings.read(ROOT / "setup.cfg")
            own = re.findall(r"(?:\.|keras_rescnet\S*)\[(.*)\]", command)
            extras = re.findall(r"[\w-]+", "".join(own))
            assert set(extras) <= set(settings["options.extras_require"])
        case _:
            return
    missing = [flag for flag in flags if not re.search(rf"{flag}\b", known)]
    assert not missing, f"{command} has no {missing}"


@pytest.mark.parametrize("command", [line for line in COMMANDS if "--recipe recipes/" in line])
def test_recipes_of_commands_load(command):
    words = shlex.split(command, comments=True)
    recipe = words[words.index("--recipe") + 1]
    changes = [text for flag, text in zip(words, words[1:], strict=False) if flag == "--set"]
    path, _, name = recipe.partition(":")
    assert (ROOT / path).is_file()
    if not name and "table" in path or "ROW" in name:
        return
    assert load_recipe(ROOT / path if not name else f"{ROOT / path}:{name}", changes)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Relative links, and headings of other pages."""
    targets = re.findall(r"\]\((?!https?://)([^)#\s]*)(?:#([^)]*))?\)", page.read_text())
    for path, heading in targets:
        target = (page.parent / path) if path else page
        assert target.exists(), path
        if target.suffix == ".md" and DOCS in page.parents:
            assert DOCS in target.resolve().parents, f"{path} is no page of the site"
        if target.is_dir() and DOCS in page.parents:  # the site leads to a page of that name
            assert (DOCS / f"{target.name}.md").exists(), f"{path}: name a file in it"
        if heading:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert heading in {
                re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings
            }


def test_the_tests_of_the_page_on_behaviour_exist():
    named = re.findall(r"`(\S+\.py)::(test_\w+)`", (DOCS / "behaviour.md").read_text())
    assert len(named) > 63
    for file, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE), name


def test_names_of_this_package_exist():
    """`kr.layers.RCLayer(...)` between backquotes, on any page."""
    missing = []
    for page in PAGES:
        for name in re.findall(r"`(?:partial\()?kr\.([\w.]+)", BLOCK.sub("", page.read_text())):
            try:
                operator.attrgetter(name.rstrip("."))(kr)
            except AttributeError:
                missing.append(f"{page.name}: kr.{name}")
    assert not missing


def test_every_page_is_in_the_table_of_contents():
    contents = (DOCS / "index.md").read_text()
    listed = re.findall(
        r"^[\w/]+$", "".join(re.findall(r":hidden:\n(.*?):::", contents, re.S)), re.M
    )
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"} | {"api/index"}
    assert sorted(listed) == sorted(pages)


def test_the_page_on_recipes_has_every_field():
    table = (DOCS / "recipes.md").read_text().partition("## Every field")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert sorted(re.findall(r"`(\w+)`", "".join(rows))) == sorted(field_names())


def test_the_page_on_installing_has_every_extra():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    table = (DOCS / "install.md").read_text().partition("## Extras")[2].partition("## ")[0]
    assert set(re.findall(r"`([\w-]+)`", table)) == set(settings["options.extras_require"])


def test_errors_are_answered_as_the_page_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = "".join(blocks(DOCS / "errors.md", "pycon")).split(">>> ")[1:]
    assert len(shown) > 9
    for code, _, answer in (text.partition("\n") for text in shown):
        with pytest.raises(kr.Mistake) as raised:
            eval(code, {"kr": kr, "np": np})
        assert f"Mistake: {raised.value}" == " ".join(answer.split())


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_citation_has_the_version():
    assert f"\nversion: {kr.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_there_is_a_picture_of_every_transform():
    names = set(kr.augment.__all__) - {"Rows", "Transform"}
    assert {file.stem for file in (DOCS / "augmentations").iterdir()} == names
    page = (DOCS / "augmentations.md").read_text()
    assert set(re.findall(r"^!\[(\w+)\]\(augmentations/\1.jpg\)$", page, re.MULTILINE)) == names
