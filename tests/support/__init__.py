"""What several test files need: data, recipes and measurements; fixtures are in conftest.py."""

import os
import pathlib

ROOT = pathlib.Path(__file__).parents[2]

# The environment of a process that a test starts: it finds this package and these files.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
