"""How all commands begin and end: help, quiet, exit codes."""

import contextlib
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from absl import flags

from keras_rescnet import __main__ as console
from keras_rescnet.command import check_output, quiet, run_command
from keras_rescnet.mistake import Mistake, ProcessLost
from keras_rescnet.training.engines.waiting import lost
from support import commands

ROOT = pathlib.Path(__file__).parents[2]
NAMES = [name if name != "train" else "training" for name in console.COMMANDS]


def help_of(name, capsys):
    capsys.readouterr()
    commands.run_command(name, "--help")
    return capsys.readouterr().out


def flags_of(name, monkeypatch):
    """Returns the flags of a command, as absl holds them."""
    held = {}
    monkeypatch.setattr(
        "keras_rescnet.command.run_command",
        lambda name, text, arguments, values, *_, **__: held.update(
            {flag: values[flag] for flag in values}
        ),
    )
    commands.run_command(name)
    monkeypatch.undo()
    return {flag: held[flag] for flag in held if flag not in ("flagfile", "undefok")}


@pytest.mark.parametrize("name", NAMES)
def test_help_explains_every_flag_in_a_sentence(name, capsys, monkeypatch):
    text = help_of(name, capsys)
    defined = flags_of(name, monkeypatch)
    assert defined
    for flag, value in [*defined.items(), ("traceback", None)]:
        assert f"\n  --{flag}\n" in text
        if value is not None:
            sentence = value.help.partition(";\n")[0]
            assert len(sentence.split()) >= 4 and sentence.endswith("."), (flag, sentence)
    assert "flagfile" not in text and "(default" not in text
    assert max(map(len, text.splitlines())) <= 100


HELP = """
import contextlib, io, runpy, sys
for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as text:
        runpy.run_module(f"keras_rescnet.{name}", run_name="__main__", alter_sys=True)
    assert "Flags:" in text.getvalue()
    heavy = {"tensorflow", "keras", "jax", "numpy", "matplotlib"} & set(sys.modules)
    assert not heavy, (name, heavy)
"""


def test_help_imports_nothing_that_is_slow():
    command = [sys.executable, "-c", HELP, *NAMES]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_commands_start_without_what_only_keras_offers_more_with():
    script = """if True:
        import gc, sys
        from keras_rescnet.command import quiet_imports
        with quiet_imports():
            from keras_rescnet.training.run import Run
            assert not gc.isenabled()
        assert "keras" in sys.modules and gc.isenabled() and gc.get_freeze_count() > 100_000
        print(sorted({"matplotlib", "pandas", "sklearn"} & set(sys.modules)))
        import matplotlib.pyplot, sklearn.base  # as ever, when they are needed
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_the_program_of_the_checkout_answers_as_the_command(capsys):
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", "--help"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == help_of("training", capsys)


@pytest.mark.parametrize(
    "name", ["evaluate", "explain", "export", "noise", "predict", "training", "responses"]
)
def test_help_says_what_is_trusted(name, capsys):
    assert "trust" in help_of(name, capsys)


def test_the_console_script_lists_and_runs_commands(monkeypatch, capsys, finished_run):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["keras-rescnet", *map(str, arguments)])
        console.main()

    with pytest.raises(SystemExit) as caught:
        run()
    assert caught.value.code == 2
    listed = capsys.readouterr().out
    assert all(f"\n  {name} " in listed for name in console.COMMANDS)
    with pytest.raises(SystemExit) as caught:
        run("evalute")
    assert caught.value.code == 2
    expected = "keras-rescnet: There is no such command. Received: 'evalute'. Nearest: evaluate.\n"
    assert capsys.readouterr().err == expected
    run("models", "CifarResNet8")
    assert "78,042" in capsys.readouterr().out
    run("evaluate", f"--workdir={finished_run}")
    assert "digits, test: 20 images" in capsys.readouterr().out


def test_commands_do_not_replace_the_functions_of_their_name(finished_run):
    script = (
        "import runpy, sys, keras_rescnet as kr\n"
        "sys.argv = ['keras-rescnet', 'evaluate', '--help']\n"
        "runpy.run_module('keras_rescnet', run_name='__main__', alter_sys=True)\n"
        "assert 'evaluate' not in vars(kr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def run(function, *arguments, **options):
    values = flags.FlagValues()
    flags.DEFINE_string("name", None, "A name of some kind.", flag_values=values)
    flags.DEFINE_multi_string("set", [], "Replaces a field.", flag_values=values)
    run_command("test", "A test.", ["test", *arguments], values, function, **options)


def ending(capsys, function, *arguments, **options):
    """Returns the exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as caught:
        run(function, *arguments, **options)
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


def fail_with(error):
    def function(_):
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (Mistake("`a` must be 1. Received: a=2."), 2, "test: `a` must be 1. Received: a=2.\n"),
        (FloatingPointError("The loss is not finite."), 3, "test: The loss is not finite.\n"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(143), 143, ""),
        (
            OSError(28, "No space left on device", "a.png"),
            2,
            "test: No space left on device. Received: a.png.\n",
        ),
    ],
)
def test_endings(error, code, line, capsys):
    assert ending(capsys, fail_with(error)) == (code, "", line)


def test_a_defect_keeps_its_traceback():
    errors = [ValueError("defect"), KeyError("defect"), FileNotFoundError(2, "defect")]
    # Of a user's `read`, not of another process or of stdout
    errors += [ConnectionResetError(104, "defect"), BrokenPipeError(32, "defect")]
    for error in errors:
        with pytest.raises(type(error), match="defect"):
            run(fail_with(error))


def test_a_process_that_is_gone_ends_with_4():
    script = (
        "from absl import flags\nfrom keras_rescnet.command import run_command\n"
        "from keras_rescnet.mistake import ProcessLost\n"
        "def lose(_):\n    raise ProcessLost('One is away.')\n"
        "run_command('test', '', ['test'], flags.FlagValues(), lose)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (4, "test: One is away.\n")
    error = lost(ValueError("away"))
    assert isinstance(error, ProcessLost) and "gone" in str(error) and "away" in str(error)


def test_the_traceback_of_a_mistake_is_shown_on_demand(capsys):
    code, _, error = ending(capsys, fail_with(Mistake("wrong")), "--traceback")
    assert code == 2
    assert error.startswith("Traceback") and error.endswith("test: wrong\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "5"], "--epochs. A field of the recipe is replaced by --set epochs=5."),
        (["--epochs=5"], "--epochs=5. A field of the recipe is replaced by --set epochs=5."),
        (["--epochs"], "A field of the recipe is replaced by --set epochs=VALUE."),
        (["--set", "epochs", "5"], "by --set epochs=5. Received: --set epochs 5."),
        (["--nam=x"], "Did you mean: name. Received: --nam=x."),
        (["word"], "Arguments are given as --flag value. Received: word."),
        (["--name"], "Missing value for flag --name. Received: --name."),
        ([], "--name is missing; --help explains it. Received: no --name."),
    ],
)
def test_flags_that_do_not_fit_are_one_line_with_a_hint(arguments, message, capsys):
    code, out, error = ending(capsys, fail_with(AssertionError), *arguments, required=["name"])
    assert (code, out) == (2, "")
    assert message in error and error.count("\n") == 1


def test_files_to_write_are_checked_before_the_work(tmp_path):
    check_output("out", tmp_path / "a.png", (".png",))
    for path, message in (
        (tmp_path, "--out must lie in an existing folder. Received: "),
        (tmp_path / "no" / "a.png", "--out must lie in an existing folder. Received: "),
        (tmp_path / ("a" * 300 + ".png"), "Received: "),
        ("\0.png", "--out must lie in an existing folder. Received: "),
        (tmp_path / "a.xyz", "--out must end in .png. Received: "),
    ):
        with pytest.raises(Mistake, match=message):
            check_output("out", path, (".png",))
        assert not (tmp_path / "no").exists()


def environment(**changes):
    quiet = {name: text for name, text in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return {**quiet, **changes}


def test_no_noise_of_tensorflow_is_printed(finished_run):
    command = [sys.executable, "-m", "keras_rescnet.evaluate", f"--workdir={finished_run}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("digits, test: 20 images")


def test_what_is_held_back_is_printed_if_the_work_fails(capfd, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    with quiet():
        os.write(2, b"noise\n")
    assert capfd.readouterr().err == ""
    for error, shown in ((ImportError("broken"), "noise\n"), (Mistake("wrong"), "")):
        with pytest.raises(type(error)), quiet():
            os.write(2, b"noise\n")
            raise error
        assert capfd.readouterr().err == shown
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with quiet():
        os.write(2, b"wanted\n")
    assert capfd.readouterr().err == "wanted\n"


@pytest.mark.parametrize("backend", ["jaxx", "torch"])
def test_a_backend_that_is_not_there_is_one_line(backend, finished_run, monkeypatch, capsys):
    if backend == "torch":
        find = importlib.util.find_spec
        monkeypatch.setattr(
            "importlib.util.find_spec", lambda name: None if name == "torch" else find(name)
        )
    monkeypatch.setenv("KERAS_BACKEND", backend)
    line = commands.answer("evaluate", f"--workdir={finished_run}", capsys=capsys)
    assert "a backend that is installed: tensorflow, " in line
    assert f"Received: KERAS_BACKEND={backend}." in line


def test_a_reader_that_is_gone_is_no_defect():
    command = f"{sys.executable} -m keras_rescnet.models --help | true; exit ${{PIPESTATUS[0]}}"
    for _ in range(3):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        assert done.stderr == "" and done.returncode in (0, 128 + signal.SIGPIPE)


@pytest.mark.parametrize("lines", [1, 10_000])
def test_a_reader_that_is_gone_is_noticed_whatever_is_printed(lines, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit) as caught:
            run(lambda _: print("line\n" * lines))
        monkeypatch.undo()
    assert caught.value.code == 128 + signal.SIGPIPE


@pytest.mark.parametrize("closed", ["1", "2", "1,2"])
def test_a_closed_output_is_no_defect(closed, tmp_path):
    """Python has no streams then."""
    script = (
        "from absl import flags\nfrom keras_rescnet.command import quiet, run_command\n"
        "def write(_):\n    with quiet():\n        print(1)\n    open('done', 'w').close()\n"
        "run_command('test', '', ['test'], flags.FlagValues(), write)\n"
    )
    ends = " ".join(f"{number}>&-" for number in closed.split(","))
    command = f'cd {tmp_path} && {sys.executable} -c "{script}" {ends}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "done").exists()


def test_a_full_disk_under_the_output_is_one_line():
    command = [sys.executable, "-m", "keras_rescnet.models", "--help"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    expected = "models: No space left on device. Received: stdout.\n"
    assert (done.returncode, done.stderr) == (2, expected)


def test_ctrl_c_during_imports_ends_with_130_and_without_a_traceback(finished_run):
    command = [sys.executable, "-m", "keras_rescnet.evaluate", f"--workdir={finished_run}"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.0)  # it imports for seconds
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out, error) == (130, "", "")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("curves", ["run"]),
        ("evaluate", ["--workdir=run", "--confusion=a.png"]),
        ("responses", ["--workdir=run"]),
        ("browse", ["--recipe=recipe.py"]),
        ("explain", ["--model=run", "picture.png"]),
        ("noise", ["--workdir=run"]),
        ("precision", []),
    ],
)
def test_a_missing_extra_is_named_before_the_work(name, arguments, monkeypatch, capsys):
    """Before the files that are named here, and are not there, are looked for."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    line = commands.answer(name, *arguments, capsys=capsys)
    assert 'Install it with pip install "keras_rescnet[plot]".' in line
