"""The documentation site: `sphinx-build -W -n docs build/site`, with the extra `docs`."""

import inspect
import os
import pathlib
import sys

# Before anything imports TensorFlow
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from docutils import nodes  # noqa: E402
from sphinx.util import inspect as sphinx_inspect  # noqa: E402
from sphinx.util import logging  # noqa: E402

import keras_rescnet as kr  # noqa: E402

project = "keras_rescnet"
author = copyright = "the authors of keras_rescnet"
version = release = kr.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"keras_rescnet {release}"
html_copy_source = False
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
highlight_language = "text"  # of blocks that name none, which are commands and their output

autodoc_default_options = {
    "members": True,
    # What every Keras layer has, and its class says; and the default of a recipe's field
    "exclude-members": "build,call,compute_output_shape,compute_output_spec,from_config,"
    "get_config,decay",
}
toc_object_entries_show_parents = "hide"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
napoleon_custom_sections = ["Reference", ("Call arguments", "params_style")]
default_role = "code"  # a docstring's `name`

# What other libraries document: their sites are not asked, so that the build needs no network.
nitpick_ignore_regex = [
    ("py:.*", r"(collections|keras|np|numpy|os|pathlib|tensorflow|tf|typing)\..*")
]
nitpick_ignore = [("py:class", "keras_rescnet.data.resumable.ResumableBatches")]

SECTIONS = ("Args:", "Attributes:", "Example:", "Raises:", "Reference:", "Returns:")


def set_blocks_apart(app, what, name, value, options, lines):
    """Makes literal blocks of a docstring's indented ones, which are equations and code."""
    text, last = [], ""
    for line in lines:
        starts = line.startswith("    ") and text and not text[-1]
        if starts and not last.startswith(" ") and last not in SECTIONS:
            text += ["::", ""]
        if last == "Returns:":  # else what stands before a colon would be taken for a type
            line = line.replace(line.strip(), f": {line.strip()}")
        text.append(line)
        last = line or last
    lines[:] = text


def sign_as_init(app, what, name, value, options, signature, annotation):
    """Shows the arguments of `__init__`: the `__new__` of Keras's classes would hide them."""
    if what != "class" or "__init__" not in vars(value):
        return None
    shown = sphinx_inspect.signature(value.__init__, bound_method=True)
    return sphinx_inspect.stringify_signature(shown, unqualified_typehints=True), annotation


def name_pages(app, doctree, docname):
    """Shows the title of a page where its file is named, which is what GitHub shows."""
    for link in doctree.findall(nodes.reference):
        page = pathlib.PurePosixPath(link.get("refuri", "").partition("#")[0]).stem
        if link.astext() == f"{page}.md" and page in app.env.titles:
            link.clear()
            link += nodes.Text(app.env.titles[page].astext())


def find_public_name(app, env, node, contnode):
    """Leads from the module in which an annotation's class lies to the name that users know."""
    domain = env.get_domain("py")
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("keras_rescnet."):
        return None
    for name in domain.objects:
        if name.rpartition(".")[2] == target.rpartition(".")[2]:
            return domain.resolve_xref(
                env, node["refdoc"], app.builder, node["reftype"], name, node, contnode
            )
    return None


def check_coverage(app, env):
    """Warns, which ends the build, of every public name that no page documents."""
    rooms = {"keras_rescnet": kr}
    for name in kr.__all__:
        if inspect.ismodule(room := getattr(kr, name)):
            rooms[f"keras_rescnet.{name}"] = room
    documented = env.get_domain("py").objects
    for prefix, room in rooms.items():
        for name in room.__all__:
            if f"{prefix}.{name}" not in documented:
                logging.getLogger(__name__).warning(
                    "No page in docs/api documents a public name: %s.%s", prefix, name
                )


def setup(app):
    """Connects what is above to the stages of the build."""
    app.connect("autodoc-process-docstring", set_blocks_apart, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", sign_as_init)
    app.connect("doctree-resolved", name_pages)
    app.connect("missing-reference", find_public_name)
    app.connect("env-check-consistency", check_coverage)
