"""Trains a recipe.

    python train.py --recipe recipes/cifar10_gclu_vgg16.py
    python train.py --recipe recipes/table5.py:cifar10-vgg16-gclu --set epochs=30 --set seed=1

The run's folder is runs/<recipe name>, or --workdir. The same command again goes on with a run that
was stopped, and prints the results of a finished one. KERAS_BACKEND=jax trains with JAX.

Exit codes: 0 trained, 2 a mistake in what was asked for, 3 the loss is no longer finite,
130 and 143 stopped by Ctrl-C and SIGTERM, and saved.
"""

import contextlib
import os
import sys
import tempfile

from absl import flags

RECIPE = flags.DEFINE_string("recipe", None, "Recipe file, or FILE:NAME for one of several.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; runs/<recipe name> by default.")
SET = flags.DEFINE_multi_string("set", [], "field=value: replaces a field of the recipe.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TensorFlow Datasets keeps its data.")
RECORD = flags.DEFINE_string("record", None, "Folder to write a record of the finished run into.")
DEVICES = flags.DEFINE_integer("devices", None, "Devices to use; all GPUs by default.")


def main(arguments):
    """Parses flags, then imports what is slow to import."""
    if {"--help", "-h", "-help"} & set(arguments):
        print(f"{__doc__}\n{flags.FLAGS.main_module_help()}")
        return
    try:
        rest = flags.FLAGS(arguments)[1:]
        if rest:
            raise flags.Error(f"Arguments are given as --flag value. Received: {' '.join(rest)}")
        if RECIPE.value is None:
            raise flags.Error("--recipe FILE is missing; --help says more.")
    except flags.Error as error:
        print(f"train.py: {error}", file=sys.stderr)
        sys.exit(2)
    with _quiet():
        import tensorflow

        from keras_rescnet.command import run

        tensorflow.config.list_physical_devices()  # where it looks for GPUs
    run("train.py", _train)


@contextlib.contextmanager
def _quiet():
    """Holds back what TensorFlow's libraries write to stderr while they load, unless they fail.

    The run says which devices it uses. TF_CPP_MIN_LOG_LEVEL=0 shows everything.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


def _train():
    import json

    from keras_rescnet import load_recipe, train
    from keras_rescnet.recipe import recipe_name

    recipe = load_recipe(RECIPE.value, SET.value)
    workdir = WORKDIR.value or os.path.join("runs", recipe_name(RECIPE.value))
    results = train(recipe, workdir, data_dir=DATA_DIR.value, devices=DEVICES.value)
    print(json.dumps(results, indent=2))
    if recipe.reference is not None:
        print(
            f"The paper has {recipe.reference:.2f} % (the best epoch's accuracy on the test set)."
        )
    if RECORD.value is not None:
        from keras_rescnet.record import write_record

        record = write_record(RECORD.value, recipe, RECIPE.value, SET.value, workdir)
        print(f"The record is {record}.")
    print(f"Everything is in {workdir}.")


if __name__ == "__main__":
    main(sys.argv)
