"""What several test files need: data, recipes and measurements; fixtures are in conftest.py."""

import os
import pathlib

ROOT = pathlib.Path(__file__).parents[2]
DIGITS_RECORD = ROOT / "results" / "digits_gclu_resnet8-c3906061.json"  # seed 0, which ships

# The environment of a process that a test starts: it finds this package and these files. JAX sets
# the level of TensorFlow's messages, which a process would take for a wish to read them.
ENVIRONMENT = {
    **{name: text for name, text in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"},
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
}
