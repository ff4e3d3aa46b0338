"""Text between two marks of a file, which is written again when what it shows has changed."""

import pathlib

from keras_rescnet.files import write
from keras_rescnet.mistake import Mistake, shorten


def split_at_marks(file, name) -> tuple[str, str]:
    """Returns what stands before and after the marked text in a file.

    Args:
        file: A file with the lines `<!-- NAME -->` and `<!-- /NAME -->`.
        name: The name in the marks.

    Raises:
        Mistake: If the file does not have the two marks.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    try:
        text = pathlib.Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = ""
    before, first, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise Mistake(f"A file must have {begin} and {end}. Received: {shorten(str(file), str)}.")
    return before + begin, end + after


def update(file, name, text: str) -> None:
    """Writes a text between the two marks of a file.

    Raises:
        Mistake: If the file does not have them.
    """
    before, after = split_at_marks(file, name)
    write(file, f"{before}\n{text}{after}")
