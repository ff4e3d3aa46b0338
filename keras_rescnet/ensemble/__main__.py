"""Trains the members of an ensemble and measures them: alone, together, and on corrupted pictures.

    python -m keras_rescnet.ensemble --recipe digits_gclu_resnet8 --members 5 --workdir runs/five
    python -m keras_rescnet.ensemble --recipe digits_gclu_resnet8 --workdir runs/five --corruptions

Every member is a run of the recipe with a seed of its own, in a folder of its own. The same command
again continues where it was stopped, and measures again what is finished. Prints means over members
and over corruptions; ensemble.csv in the folder holds every number.

A recipe is a Python program: run only recipes that you trust.
"""

import os
import sys

from absl import flags

from keras_rescnet.command import define_data_dir, define_recipe, quiet_imports, run_command
from keras_rescnet.mistake import Mistake


def main(arguments):
    """Trains and measures the ensemble that the arguments name."""
    values = flags.FlagValues()
    path, overrides = define_recipe(values)
    folder = flags.DEFINE_string(
        "workdir", None, "Folder in which every member has a folder of its own.", flag_values=values
    )
    members = flags.DEFINE_integer(
        "members", 5, "How many members to train.", 1, flag_values=values
    )
    corrupted = flags.DEFINE_bool(
        "corruptions",
        False,
        "Also measures on pictures with eight corruptions at five severities, 40 times the work.",
        flag_values=values,
    )
    data_dir = define_data_dir(values)

    def command(_):
        with quiet_imports():
            from keras_rescnet import corruptions, ensemble
            from keras_rescnet.recipe import load_recipe
        recipe = load_recipe(path.value, overrides.value)
        if recipe.dataset.multi_label:
            raise Mistake(
                "An ensemble is measured on pictures of one class each: kr.ensemble.train trains "
                "members on tags, and kr.ensemble.mean(folders, multi_label=True) joins them. "
                f"Received: --recipe {path.value}."
            )
        folders = ensemble.train(recipe, folder.value, members.value, data_dir=data_dir.value)
        names = corruptions.__all__ if corrupted.value else []
        chosen = [getattr(corruptions, name) for name in names]
        options = {"corruptions": chosen, "data_dir": data_dir.value}
        rows = ensemble.measure(folders, recipe.dataset, **options)
        print(ensemble.table(rows), flush=True)
        output = os.path.join(folder.value, "ensemble.csv")
        ensemble.write_csv(rows, output)
        print(f"Every number is in {output}.")

    run_command("ensemble", __doc__, arguments, values, command, required=["recipe", "workdir"])


if __name__ == "__main__":
    main(sys.argv)
