"""Moved to `keras_rescnet.files`, which data and export use too."""

from keras_rescnet.files import (  # noqa: F401
    checksum,
    remove_leftovers,
    sync_tree,
    write,
    write_aside,
    write_folder,
)
