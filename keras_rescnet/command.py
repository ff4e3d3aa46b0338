"""How every command ends."""

import pathlib
import sys
import traceback


def run(name, function):
    """Calls `function`, and ends the process as commands of this package end.

    A `ValueError` or `TypeError` that this package raised is the user's to mend: one line, exit
    code 2. Any other is a defect, and keeps its traceback. A loss that is not finite ends with 3,
    Ctrl-C with 130.
    """
    try:
        function()
    except (ValueError, TypeError) as error:
        raised_in = pathlib.Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if pathlib.Path(__file__).parent not in raised_in.parents:
            raise
        _end(name, error, 2)
    except FloatingPointError as error:
        _end(name, error, 3)
    except KeyboardInterrupt:
        sys.exit(130)


def _end(name, error, code):
    print(f"{name}: {error}", file=sys.stderr)
    sys.exit(code)
