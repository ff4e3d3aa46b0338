"""Sums in one order, on TensorFlow."""

import contextlib

# `disable_op_determinism` is not public. Should it go, test_determinism.py fails at this import.
from tensorflow.python.framework import config


@contextlib.contextmanager
def sums_in_order():
    """Makes TensorFlow's kernels add up in the same order whatever runs beside them.

    The gradients of a tensor that is used three times or more, as the input of Keras's layer
    normalization is, are summed by one operation, `AddN`. It adds into the first of its inputs
    that nobody else needs any more, and so in an order that depends on which other operations are
    done: the last bit of a sum varies with the load of the machine. With TensorFlow's determinism
    it takes its inputs as they come.

    This is on while steps run, and off while they are traced: there it would choose other
    operations than those of a run on another backend or device, and refuse random ones.
    """
    before = config.is_op_determinism_enabled()
    config.enable_op_determinism()
    try:
        yield
    finally:
        if not before:
            config.disable_op_determinism()
