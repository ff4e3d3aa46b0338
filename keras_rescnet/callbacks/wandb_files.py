"""What files of Weights & Biases hold that its offline mode has written."""

import json
import pathlib
import struct
from collections.abc import Iterator

_HEADER = 7  # bytes of a file before its first block, and of a record before its data
_BLOCK = 32768
_ENDS = (1, 4)  # kinds of records: a whole one, and the last part of one


def offline_rows(folder: pathlib.Path, run: str) -> Iterator[dict]:
    """Yields the rows of all starts of a run; `_step` is the step that one was logged with.

    A start that was killed leaves a file that ends anywhere, mostly before its first row.

    Args:
        folder: The folder that wandb was given as its `dir`.
        run: Id of the run.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    for file in sorted(folder.glob(f"wandb/offline-run-*-{run}/run-{run}.wandb")):
        for data in _records(file.read_bytes()):
            items = Record.FromString(data).history.item
            if items:
                yield {
                    item.key or ".".join(item.nested_key): json.loads(item.value_json)
                    for item in items
                }


def _records(data):
    """Yields the records of LevelDB's log format, of which a block holds no header in parts."""
    place, parts = _HEADER, []
    while place + _HEADER <= len(data):
        _, length, kind = struct.unpack_from("<IHB", data, place)
        left = _BLOCK - place % _BLOCK
        if left < _HEADER or kind == 0:  # the rest of a block is empty
            place += left
            continue
        if place + _HEADER + length > len(data):
            return
        parts.append(data[place + _HEADER : place + _HEADER + length])
        place += _HEADER + length
        if kind in _ENDS:
            yield b"".join(parts)
            parts = []
