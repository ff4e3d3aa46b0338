"""How a command begins and ends: its flags, a quiet start, an exit code."""

import contextlib
import errno
import gc
import importlib.util
import io
import os
import pathlib
import select
import signal
import sys
import tempfile
import textwrap
import traceback

from absl import flags

from keras_rescnet.console import drop_stdout
from keras_rescnet.mistake import Mistake, ProcessLost, mistakes_in_tensorflow, shorten

_BACKENDS = ("tensorflow", "jax", "torch", "numpy", "openvino")
_FLAGS_OF_ABSL = ("flagfile", "undefok")  # which every command has, and nobody needs

# What Keras imports where it is installed, for wrappers, galleries and data frames that no command
# needs: a third of the seconds in which it and TensorFlow load
_OPTIONAL = ("matplotlib", "pandas", "sklearn")

# What the system answers where nothing can be written, which is no defect
_UNWRITABLE = (errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.ENOSPC, errno.EPERM, errno.EROFS)


def run_command(name, help_text, arguments, values, function, *, required=(), takes_words=False):
    """Parses flags, calls `function` with the words that are no flags, and ends the process.

    `--help` is answered before anything else, so what is slow to import is imported in `function`,
    inside `quiet_imports`. A `Mistake` is the user's to mend: one line and exit code 2, with its
    traceback after `--traceback`. Any other exception is a defect and keeps its traceback. A loss
    that is not finite ends with 3, a run that lost another of its processes with 4, Ctrl-C with
    130, and a reader of the output that is gone (`| head -1`) with 141.

    Args:
        name: The command's name in messages.
        help_text: What `--help` prints above the flags.
        arguments: As `sys.argv`: the program, flags and words.
        values: absl's `FlagValues` of the command.
        function: Called with the list of words.
        required: Names of the flags that must be given.
        takes_words: Whether there may be words.
    """
    flags.DEFINE_bool(
        "traceback",
        False,
        "Prints where in the code a mistake was found, above the line that explains it.",
        flag_values=values,
    )
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave_at_once)
    for stream in (sys.stdout, sys.stderr):  # names of files may be no UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        if {"--help", "-h", "-help"} & set(arguments):
            print(f"{help_text.strip()}\n\nFlags:\n\n{_describe(values)}")
        else:
            with mistakes_in_tensorflow():
                function(_parse(arguments, values, required, takes_words))
        if sys.stdout is not None:
            sys.stdout.flush()
    except Mistake as error:
        _end(name, error, 2, error if "--traceback" in arguments else None)
    except FloatingPointError as error:
        _end(name, error, 3)
    except BrokenPipeError:
        if not _is_gone(sys.stdout):
            raise
        drop_stdout()
        sys.exit(128 + signal.SIGPIPE)
    except ProcessLost as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        os._exit(4)  # an orderly exit would wait for the process that is gone
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        if error.filename is None:
            drop_stdout()
        message = f"{error.strerror}. Received: {error.filename or 'stdout'}."
        _end(name, message, 2, error if "--traceback" in arguments else None)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    finally:
        if interrupt is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)


@contextlib.contextmanager
def quiet():
    """Holds back what is written to stderr, and writes it if the body fails.

    With a `TF_CPP_MIN_LOG_LEVEL` below 2 in the environment nothing is held back.
    """
    if sys.stderr is None or os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2") < "2":
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException as error:
            if not isinstance(error, Mistake):
                held.seek(0)
                os.write(stderr, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


@contextlib.contextmanager
def quiet_imports():
    """Holds back what TensorFlow's libraries print while they load, as `quiet` does.

    What is loaded first is not searched for garbage, now or later: that took a quarter of its time.

    Raises:
        Mistake: If `KERAS_BACKEND` names a backend that is not there.
    """
    _check_backend()
    with quiet(), _no_garbage():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        if "keras" not in sys.modules:
            with _hidden(*_OPTIONAL):
                import keras  # and with it its backend
        yield
        if "tensorflow" in sys.modules:
            import keras
            import tensorflow as tf

            tf.config.list_physical_devices()  # prints, the first time, that there is no GPU
            keras.config.disable_traceback_filtering()  # it would hide who raised a defect
            tf.debugging.disable_traceback_filtering()


@contextlib.contextmanager
def _hidden(*packages):
    """Makes packages look as if they were not installed; those that are loaded stay."""
    hidden = dict.fromkeys(name for name in packages if name not in sys.modules)
    sys.modules.update(hidden)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def _no_garbage():
    """Keeps Python's collector from walking over what is imported, a million objects that stay."""
    if "keras" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def define_recipe(values):
    """Defines `--recipe` and `--set`, and returns their holders."""
    recipe = flags.DEFINE_string(
        "recipe",
        None,
        "Recipe to use: FILE, FILE:NAME of a file with several, or the name of a recipe that comes "
        "with this package. The file is a Python program, and is executed.",
        flag_values=values,
    )
    overrides = flags.DEFINE_multi_string(
        "set",
        [],
        "Replaces a field of the recipe, as in --set epochs=30. May be repeated.",
        flag_values=values,
    )
    return recipe, overrides


def define_data_dir(values, default="~/tensorflow_datasets"):
    """Defines `--data_dir`, and returns its holder; `default` is what its explanation names."""
    return flags.DEFINE_string(
        "data_dir",
        None,
        "Folder in which TensorFlow Datasets keeps its data, or which holds the pictures of an "
        f"image_folder(), in place of its path. Not given, it is {default}.",
        flag_values=values,
    )


def check_output(flag, path, suffixes=()):
    """Checks that a file can be written at `path`: before the work, not after it.

    Args:
        flag: The flag that named it.
        path: The file.
        suffixes: What it may end in; anything if there are none.

    Raises:
        Mistake: If its folder is not there, or it ends in something else.
    """
    file = pathlib.Path(path)
    try:
        fits = not file.is_dir() and file.resolve().parent.is_dir()
    except (OSError, ValueError):  # a name that is too long, or with a zero byte
        fits = False
    if not fits:
        raise Mistake(f"--{flag} must lie in an existing folder. Received: {shorten(path, str)}.")
    if not os.access(file if file.exists() else file.resolve().parent, os.W_OK):
        raise Mistake(f"--{flag} must be writable. Received: {shorten(path, str)}.")
    if suffixes and file.suffix.lower() not in suffixes:
        raise Mistake(
            f"--{flag} must end in {' or '.join(suffixes)}. Received: {shorten(path, str)}."
        )


def _parse(arguments, values, required, takes_words):
    """Returns the words among the arguments, after `values` has taken the flags."""
    try:
        found = values(arguments)[1:]
    except flags.UnrecognizedFlagError as error:
        message = shorten(str(error), str, 200).rstrip("?. ")
        raise Mistake(f"{message}.{_field_hint(error, arguments, values)}") from error
    except (flags.Error, UnicodeError) as error:
        received = shorten(" ".join(arguments[1:]), str)
        message = shorten(str(error), str, 200).rstrip(".")
        raise Mistake(f"{message}. Received: {received}. --help explains every flag.") from error
    if found and not takes_words:
        raise Mistake(_stray_words(found, values))
    for name in required:
        if values[name].value is None:
            raise Mistake(f"--{name} is missing; --help explains it. Received: no --{name}.")
    return found


def _field_hint(error, arguments, values):
    """Returns how to replace a field of a recipe, for who gave it as a flag of its own."""
    if "set" not in values or "Did you mean" in str(error):
        return f" Received: {shorten(error.flagvalue, str)}. --help explains every flag."
    name, separator, value = error.flagvalue.lstrip("-").partition("=")
    if not separator:
        following = arguments[arguments.index(error.flagvalue) + 1 :]
        value = following[0] if following else "VALUE"
    return (
        f" Received: {error.flagvalue}. A field of the recipe is replaced by --set {name}={value}."
    )


def _stray_words(found, values):
    fields = [text for text in (values["set"].value if "set" in values else []) if "=" not in text]
    if fields:
        return (
            f"A field of the recipe is replaced by --set {shorten(fields[-1], str)}="
            f"{shorten(found[0], str)}. Received: --set {shorten(fields[-1], str)} "
            f"{shorten(found[0], str)}."
        )
    return f"Arguments are given as --flag value. Received: {shorten(' '.join(found), str)}."


def _describe(values):
    """Returns names, explanations and defaults of the flags, in the order of their definition."""
    paragraphs = []
    for name in values:
        if name in _FLAGS_OF_ABSL:
            continue
        flag = values[name]
        text = flag.help.partition(";\n")[0]  # absl adds that a flag may be repeated
        if flag.default is not None and flag.default != [] and not flag.boolean:
            text += f" The default is {flag.default}."
        indent = " " * 4
        paragraphs.append(
            f"  --{name}\n"
            + textwrap.fill(text, 88, initial_indent=indent, subsequent_indent=indent)
        )
    return "\n".join(paragraphs)


def _check_backend():
    name = os.environ.get("KERAS_BACKEND")
    if name and (name not in _BACKENDS or importlib.util.find_spec(name) is None):
        installed = [other for other in _BACKENDS[:3] if importlib.util.find_spec(other)]
        raise Mistake(
            f"KERAS_BACKEND must name a backend that is installed: {', '.join(installed)}. "
            f"Received: KERAS_BACKEND={shorten(name, str)}."
        )


def _leave_at_once(number, _):
    # An exception would print pages while libraries load, and be lost in a garbage collection.
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(128 + number)


def _is_gone(stream):
    """Returns whether nobody reads any more what is written to a stream."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # none, closed, or no file
        poll = select.poll()
        poll.register(stream.fileno(), 0)  # an error is told without being asked for
        return bool(poll.poll(0))
    return False


def _end(name, message, code, error=None):
    if error is not None:
        traceback.print_exception(error)
    print(f"{name}: {message}", file=sys.stderr)
    sys.exit(code)
