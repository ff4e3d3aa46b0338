"""The site of docs/: it is built, and its pictures are what the code draws today."""

import importlib.util
import re
import subprocess
import sys

import pytest
import tensorflow as tf

from support import ENVIRONMENT, ROOT


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    """A public name without a page, a broken reference, a page in no table of contents: each one
    is a warning, and ends the build."""
    for package in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(package, reason="the extra `docs`")
    command = ["sphinx", "-W", "-n", "-q", "-b", "html", ROOT / "docs", tmp_path / "site"]
    done = subprocess.run(
        [sys.executable, "-m", *command], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for page in (tmp_path / "site").rglob("*.html"):
        for source in re.findall(r'<img[^>]* src="([^"]*)"', page.read_text()):
            assert (page.parent / source).is_file(), f"{page.name}: {source}"


@pytest.mark.slow
def test_the_pictures_of_transforms_are_those_of_today():
    spec = importlib.util.spec_from_file_location("draw", ROOT / "docs" / "draw.py")
    draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    for name, transform in draw.TRANSFORMS.items():
        stored = tf.io.read_file(str(ROOT / "docs" / "augmentations" / f"{name}.jpg"))
        drawn = tf.io.encode_jpeg(draw.augmented(transform), quality=draw.QUALITY)
        levels = [tf.cast(tf.io.decode_jpeg(data), "float32") for data in (stored, drawn)]
        assert tf.reduce_mean(tf.abs(levels[0] - levels[1])) < 0.5, name
