"""A run's log as TensorBoard reads it."""

import contextlib
import pathlib

import tensorflow as tf

from keras_rescnet.console import say

_SUFFIX = ".keras_rescnet"  # of the names of these files, and of no others


class Events:
    """Writes the rows of a run's log as TensorBoard events, every epoch once.

    The events of earlier parts of the run are written anew, into one file. Other files in the
    folder stay. That events cannot be written stops nothing.

    Args:
        folder: The folder of the events.
        rows: The rows of the epochs so far, dicts of numbers with an `"epoch"`; `None` is left out.
        chief: Whether this process writes them. One process of a run does.
    """

    def __init__(self, folder, rows: list[dict], chief: bool = True):
        self._writer = None
        if not chief:
            return
        for file in pathlib.Path(folder).glob(f"events.out.tfevents.*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                file.unlink()
        # What `tf.summary.scalar` writes; that function itself needs the package tensorboard
        self._metadata = tf.compat.v1.SummaryMetadata()
        self._metadata.plugin_data.plugin_name = "scalars"
        with self._writing():
            self._writer = tf.summary.create_file_writer(str(folder), filename_suffix=_SUFFIX)
        for row in rows:
            self.add(row)

    def add(self, row: dict) -> None:
        """Adds the row of an epoch."""
        if self._writer is None:
            return
        with self._writing(), self._writer.as_default(step=row["epoch"]):
            for name, value in row.items():
                if name != "epoch" and value is not None:
                    tf.summary.write(name, tf.constant(value, "float32"), metadata=self._metadata)
            self._writer.flush()

    @contextlib.contextmanager
    def _writing(self):
        try:
            yield
        except tf.errors.OpError as error:
            reason = str(error).splitlines()[0]
            say(f"tensorboard/ could not be written ({reason}). Training continues without it.")
            self._writer = None
