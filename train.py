"""Trains a recipe.

    python train.py --recipe recipes/cifar10_gclu_vgg16.py
    python train.py --recipe recipes/table5.py:cifar10-vgg16-gclu --set epochs=30 --set seed=1

    --recipe FILE[:NAME]   recipe file; NAME for one of several
    --set field=value      replaces a field of the recipe; may be repeated
    --workdir DIR          folder of the run; runs/<recipe name> by default
    --data_dir DIR         where TensorFlow Datasets keeps its data
    --devices N            devices to use; all GPUs by default, one CPU without any
    --timeout SECONDS      of several processes: how long one waits for the others; 300 by default
    --record DIR           writes a record of the finished run into this folder

The same command again goes on with a run that was stopped, and prints the results of a finished
one. KERAS_BACKEND=jax trains with JAX. TF_CPP_MIN_LOG_LEVEL=0 shows TensorFlow's own messages.

Exit codes: 0 trained, 2 a mistake in what was asked for, 3 the loss is no longer finite, 4 another
process of the run is gone, 130 and 143 stopped by Ctrl-C and SIGTERM, and saved.
"""

import contextlib
import os
import sys
import tempfile


def main():
    """Answers `--help` before what is slow to import; the rest is the command `train`."""
    if {"--help", "-h", "-help"} & set(sys.argv):
        print(__doc__)
        return
    with _quiet():
        import tensorflow

        from keras_rescnet.training.__main__ import main as train

        tensorflow.config.list_physical_devices()  # where it looks for GPUs
    train(sys.argv)


@contextlib.contextmanager
def _quiet():
    """Holds back what TensorFlow's libraries write to stderr while they load, unless they fail."""
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


if __name__ == "__main__":
    main()
