"""What a value of a recipe is, as JSON: the same for values that do the same."""

import ast
import collections
import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import inspect
import itertools
import linecache
import pathlib
import re
import sys
import sysconfig
import types
import typing

import keras
import numpy as np

from keras_rescnet.data import Dataset

_PACKAGE = pathlib.Path(__file__).parents[1]
_STANDARD = pathlib.Path(sysconfig.get_path("stdlib"))
# Whose `get_config`, if it is Keras's own, knows nothing of what a user's class was made with
_WITHOUT_CONFIG = (keras.Loss, keras.Initializer, keras.constraints.Constraint)


def describe(value, path=()):
    """Returns what JSON can hold of a value.

    What a package has is described by its name. What a user wrote, in the recipe file, beside it
    or in a notebook, is described by its code and by all that the code refers to.

    Args:
        value: Anything.
        path: Ids of the values that this one is a part of.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if id(value) in path:
        return "..."  # a function that calls itself, say
    part = functools.partial(describe, path=(*path, id(value)))
    if isinstance(value, tuple | list):
        return [part(item) for item in value]
    if isinstance(value, dict):
        return {str(key): part(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(str(part(item)) for item in value)
    if isinstance(value, np.ndarray | np.generic):
        if value.ndim == 0 and value.dtype != object:
            return part(value.item())
        return [str(value.dtype), list(value.shape), _digest(value.tobytes())]
    if isinstance(value, Dataset):  # what it reads is compared when it has been read
        splits = [value.train_split, value.test_split]
        return {"dataset": value.name, "splits": splits, "read": part(_without_paths(value.read))}
    if isinstance(value, functools.partial):
        named = {key: part(item) for key, item in value.keywords.items()}
        return {"call": part(value.func), "args": part(value.args), **named}
    if isinstance(value, types.ModuleType):
        return _describe_module(value)
    if isinstance(value, types.MethodType):
        return {"method": part(value.__func__), "of": part(value.__self__)}
    if isinstance(value, type):
        return _describe_class(value, part)
    if isinstance(value, staticmethod | classmethod | property):
        return part(value.fget if isinstance(value, property) else value.__func__)
    if inspect.isroutine(value):
        return _describe_function(value, part)
    if hasattr(value, "__wrapped__"):  # such as what functools.cache makes of a function
        return part(value.__wrapped__)
    return _describe_instance(value, part)


def with_lasting_names(described):
    """Returns a description with the names that a new process gives layers within layers.

    Keras counts the names it gives over the life of a process, and a notebook that loads a recipe
    twice would have two recipes.

    Args:
        described: What `describe` returns, of all fields of a recipe.
    """
    names: dict = collections.defaultdict(dict)  # of "dense", 0 and 7: "dense", "dense_7"

    def visit(value):
        if isinstance(value, dict) and isinstance(value.get("config"), dict):
            name = str(value["config"].get("name"))
            stem, _, digits = name.rpartition("_")
            if not stem or not digits.isdecimal():
                stem, digits = name, "0"
            if stem.replace("_", "") == str(value.get("class_name")).lower():
                names[stem][int(digits)] = name
        for part in value.values() if isinstance(value, dict) else value:
            if isinstance(part, dict | list):
                visit(part)

    def rename(value):
        if isinstance(value, dict):
            return {key: rename(part) for key, part in value.items()}
        return [*map(rename, value)] if isinstance(value, list) else fresh.get(value, value)

    visit(described)
    fresh = {
        given[number]: f"{stem}_{place}" if place else stem
        for stem, given in names.items()
        for place, number in enumerate(sorted(given))
    }
    return rename(described)


def _without_paths(read):
    """Returns what reads a dataset without the places it reads from, which decide nothing."""
    if not isinstance(read, functools.partial):
        return read
    args = [item for item in read.args if not isinstance(item, str | pathlib.Path)]
    named = {k: v for k, v in read.keywords.items() if not isinstance(v, str | pathlib.Path)}
    return functools.partial(read.func, *args, **named) if args or named else read.func


def _describe_function(function, part):
    code = getattr(function, "__code__", None)
    if code is None or _is_installed(code.co_filename):
        return _name(function)
    node = _node_of(code)
    if node is None:  # typed into a prompt that keeps no text
        described = {"function": _name(function), **_describe_code(code, part)}
        names, imported = _names_in(code), {}
    else:
        described = {"code": _text_of(node).splitlines()}
        names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        imported = dict(_imported_within(node, function))
    uses = {
        name: part(function.__globals__[name])
        for name in sorted(names & set(function.__globals__) - {"__file__", "__name__"})
    }
    uses |= {name: part(module) for name, module in imported.items()}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            uses[name] = part(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    described["uses"] = uses
    return {**described, "defaults": part(defaults)} if defaults else described


def _describe_code(code, part):
    """Describes code without its text: bytes alone hold neither names nor numbers."""
    constants = [
        _describe_code(constant, part) if isinstance(constant, types.CodeType) else part(constant)
        for constant in code.co_consts
    ]
    return {"code": _digest(code.co_code), "names": [*code.co_names], "constants": constants}


def _names_in(code):
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*map(_names_in, inner))


def _describe_class(cls, part):
    if _is_installed(_file_of(cls)):
        return _name(cls)
    attributes = {
        name: part(value)
        for name, value in vars(cls).items()
        if not name.startswith("__") or (inspect.isfunction(value) and _node_of(value.__code__))
    }
    return {"class": cls.__qualname__, "bases": part(cls.__bases__), **attributes}


def _describe_instance(value, part):
    kind: type = type(value)
    installed = _is_installed(_file_of(kind))
    if hasattr(value, "get_config"):  # of Keras, which counts its names on
        config = value.get_config()
        owner = next(base for base in kind.__mro__ if "get_config" in vars(base))
        of_keras = owner.__module__.startswith("keras.")
        if of_keras and not installed and isinstance(value, _WITHOUT_CONFIG):
            config |= {k: v for k, v in vars(value).items() if k[0] != "_" and k not in config}
        state = part({k: v for k, v in config.items() if k != "name"})
    elif _repr_of(kind) is object.__repr__ and hasattr(value, "__dict__"):
        state = part(vars(value))
    else:
        state = _without_address(value)
        if dataclasses.is_dataclass(value) and (state != repr(value) or "..." in state):
            state = part({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if isinstance(state, str) and installed:
        return state
    return {"instance": part(kind), "state": state}


def _describe_module(module):
    read = _read(module)
    if read is None:
        return module.__name__
    code, imports = read
    uses: dict[str, str] = {}
    waiting = [*imports]
    while waiting:  # not one within the other: of many modules there are too many paths
        name = waiting.pop()
        if name in (module.__name__, *uses) or name not in sys.modules:
            continue
        read = _read(sys.modules[name])
        if read is not None:
            uses[name] = read[0]
            waiting += read[1]
    described = {"module": module.__name__, "code": code}
    return {**described, "uses": uses} if uses else described


def _read(module):
    """Returns a digest of a module's code and the names that it imports; `None` of a package's."""
    file = getattr(module, "__file__", None)
    if file is None or _is_installed(file):
        return None
    try:
        return _parse(pathlib.Path(file).read_bytes(), module.__name__, hasattr(module, "__path__"))
    except (OSError, SyntaxError, ValueError):  # a compiled one
        return None


@functools.lru_cache(maxsize=1024)
def _parse(text, name, is_package):
    tree = ast.parse(text)
    # Not what its functions import, which is there only once they have been called
    imports = tuple(_imports(_outside_of_functions(tree), name, is_package))
    return _digest(_text_of(tree).encode()), imports


def _outside_of_functions(tree):
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from _outside_of_functions(node)


def _imports(nodes, inside, is_package):
    """Yields the names of the modules, and of what may be one, that are imported.

    Args:
        nodes: Nodes of a syntax tree.
        inside: Name of the module they are in, for relative imports.
        is_package: Whether that is a package.
    """
    for node in nodes:
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = inside.split(".")
            above = parents[: len(parents) + is_package - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            found = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in found:  # with the packages it is in, which are imported before it
            yield from itertools.accumulate(name.split("."), "{}.{}".format)


def _imported_within(node, function):
    """Yields names and modules of the user's own that a function imports when it is called."""
    inside = function.__module__ or ""
    is_package = hasattr(sys.modules.get(inside), "__path__")
    for name in _imports(ast.walk(node), inside, is_package):
        with contextlib.suppress(Exception):  # no module, or one that is not there
            spec: typing.Any = importlib.util.find_spec(name.partition(".")[0])
            folders = spec.submodule_search_locations or ()  # of a package without __init__.py
            if not all(map(_is_installed, [spec.origin] if spec.has_location else folders)):
                yield name, importlib.import_module(name)


def _repr_of(kind):
    return kind.__repr__


def _without_address(value):
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _is_installed(file):
    """Returns whether a file is of a package, whose name and version say what it does."""
    path = pathlib.Path(file)
    return (
        bool({"site-packages", "dist-packages"} & set(path.parts))
        or path.is_relative_to(_PACKAGE)
        or path.is_relative_to(_STANDARD)
        or file.startswith("<frozen")
    )


def _file_of(cls):
    for value in vars(cls).values():
        if inspect.isfunction(value) and value.__code__.co_filename != "<string>":
            return value.__code__.co_filename  # a recipe file is no module that could be asked
    module = sys.modules.get(cls.__module__)
    if module is None or cls.__module__ == "__main__":
        return "<string>"
    return getattr(module, "__file__", None) or "<frozen>"  # built in


def _name(value):
    return f"{value.__module__}.{value.__qualname__}"


def _digest(data):
    return hashlib.sha256(data).hexdigest()[:32]


def _node_of(code):
    """Returns the syntax tree of a function, or `None` if its text is not known."""
    text = "".join(linecache.getlines(code.co_filename))
    found = [
        node
        for line, name, node in _functions(text)
        if (line, name) == (code.co_firstlineno, code.co_name)
    ]
    if len(found) > 1:  # lambdas of one line: the one whose body begins where the code does
        starts = {(line, column) for line, _, column, _ in code.co_positions()}
        found = [n for n in found if (n.body.lineno, n.body.col_offset) in starts] or found
    return found[0] if found else None


@functools.lru_cache(maxsize=16)
def _functions(text):
    """Returns the first line, the name and the syntax tree of all functions of a text."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ()
    return tuple(
        (
            min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", []))]),
            getattr(node, "name", "<lambda>"),
            node,
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    )


def _text_of(node):
    """Returns code without comments, docstrings and formatting."""
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            body[:] = body[1:] or [ast.Pass()]
    return ast.unparse(node)


def _is_text(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
