"""A run's log as TensorBoard reads it."""

import shutil

import tensorflow as tf


class Events:
    """Writes the rows of a log as TensorBoard events, each epoch once.

    Args:
        folder: Where they go; what an earlier part of the run left there is written anew.
        rows: The rows there are already.
        writes: Whether this process writes them: one of a run does.
    """

    def __init__(self, folder, rows, writes=True):
        self.writer = None
        if not writes:
            return
        shutil.rmtree(folder, ignore_errors=True)
        self.writer = tf.summary.create_file_writer(str(folder))
        # What `tf.summary.scalar` writes; that function itself is in the package tensorboard
        self.metadata = tf.compat.v1.SummaryMetadata()
        self.metadata.plugin_data.plugin_name = "scalars"
        for row in rows:
            self.add(row)

    def add(self, row):
        """Adds an epoch's row."""
        if self.writer is None:
            return
        with self.writer.as_default(step=row["epoch"]):
            for name, value in row.items():
                if name != "epoch" and value != "":
                    tf.summary.write(name, tf.constant(value, "float32"), metadata=self.metadata)
        self.writer.flush()
