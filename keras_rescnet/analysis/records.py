"""Records of finished runs: one small JSON file each, sealed by a checksum."""

import json
import pathlib

from keras_rescnet.files import checksum
from keras_rescnet.mistake import Mistake
from keras_rescnet.recipe import recipe_name
from keras_rescnet.training.workdir import WorkDir


def check_folder(folder):
    """Makes the folder of records, before a run that would end in vain.

    Raises:
        ValueError: if it cannot be made.
    """
    try:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Mistake(
            f"--record must be a folder. Received: {folder} ({error.strerror})."
        ) from None


def write_record(folder, recipe, path, overrides, workdir):
    """Writes the record of a finished run.

    Args:
        folder: Where records are kept.
        recipe: The `Recipe` that was trained.
        path: `FILE` or `FILE:NAME`, as it was asked for.
        overrides: The `field=value` strings that replaced fields.
        workdir: The folder of the run.

    Returns:
        The path of the record.
    """
    with WorkDir(workdir, recipe, chief=False) as work:
        run, results = work.run, work.results
    record = {
        "recipe": str(path),
        "overrides": list(overrides),
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "reference": recipe.reference,
        "results": results,
        "hours": round(run["seconds"] / 3600, 3),
        # The start that finished the run; those of a run that was made with several differ
        **run["starts"][-1]["environment"],
        "starts": [
            {name: start[name] for name in ("step", "seconds", "environment")}
            for start in run["starts"][:-1]
        ],
    }
    record["checksum"] = checksum(record)
    file = pathlib.Path(folder) / f"{recipe_name(path)}-{record['checksum'][:8]}.json"
    file.write_text(json.dumps(record, indent=2) + "\n")
    return file


def read_record(file):
    """Returns a record.

    Raises:
        ValueError: if it is not what `write_record` wrote.
    """
    try:
        record = json.loads(pathlib.Path(file).read_text())
    except json.JSONDecodeError:
        record = {}
    if record.get("checksum") != checksum(record):
        raise Mistake(
            "A record must be as the run wrote it, but its checksum differs. "
            f"Received: {file}. Run the recipe again with --record."
        )
    return record
