"""Words that must not end what they are about."""

import subprocess
import sys

import pytest

from support import ENVIRONMENT

SAY = """
import sys
from keras_rescnet.console import say

for number in range(20_000):
    say(f"line {number}")
print("all said", file=sys.stderr)
"""


@pytest.mark.parametrize("redirection", ["| head -1", "> /dev/full", ">&-"])
def test_what_is_said_ends_nothing_when_nobody_hears_it(redirection):
    command = f"set -o pipefail; {sys.executable} -c '{SAY}' {redirection}"
    done = subprocess.run(
        ["bash", "-c", command], env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "all said\n")


def test_what_a_terminal_cannot_show_is_escaped():
    code = "from keras_rescnet.console import say; say('a\\udcff\\u00e9')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\\udcff\\xe9\n", b"")
