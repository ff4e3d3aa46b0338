"""SavedModels of runs, asked about pictures."""

import glob
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from keras_rescnet.mistake import Mistake, shorten

BATCH = 32  # pictures per call: the first lines come soon, whatever their number


def find_pictures(words) -> list[pathlib.Path]:
    """Returns the picture files that words name: files, folders (searched through), patterns.

    Raises:
        Mistake: If a word names none.
    """
    from keras_rescnet.data.folder_listing import pictures_in

    pictures = []
    for word in words:
        try:
            path = pathlib.Path(word)
            if path.is_dir():
                files = [path / file for file in pictures_in(path, [], path)]
            elif path.is_file():
                files = [path]
            else:
                files = sorted(map(pathlib.Path, glob.glob(word, recursive=True)))
                files = [file for file in files if file.is_file()]
        except (OSError, ValueError):  # a name that is too long
            files = []
        if not files:
            raise Mistake(
                "Pictures are files, folders or patterns. "
                f"Received: {shorten(word, str)}, which names no picture."
            )
        pictures += files
    return pictures


def find_saved_model(path) -> pathlib.Path:
    """Returns the folder of a SavedModel, from the folder itself or that of a run.

    Raises:
        Mistake: If there is none.
    """
    try:
        for folder in (pathlib.Path(path, "saved_model"), pathlib.Path(path)):
            if (folder / "saved_model.pb").is_file():
                return folder
    except (OSError, ValueError):  # a name that is too long
        pass
    reason = "which is no folder."
    if os.path.isdir(path):
        reason = (
            "which has no saved_model.pb. A run on JAX gets one by "
            "python -m keras_rescnet.export --format saved_model."
        )
    raise Mistake(
        "A model must be the folder of a run or a SavedModel. "
        f"Received: {shorten(str(path), str)}, {reason}"
    )


class Served:
    """The SavedModel of a run, loaded: whatever it holds can run.

    Args:
        folder: Its folder.

    Raises:
        Mistake: If it cannot be loaded, or is not what `kr.export.saved_model` writes.
    """

    def __init__(self, folder):
        import tensorflow as tf

        from keras_rescnet.augment.cores import map_images

        self._decoding_errors = (OSError, tf.errors.OpError)
        received = shorten(str(folder), str)
        try:
            self.model = tf.saved_model.load(str(folder))
        except Exception as error:  # whatever a damaged or foreign folder makes TensorFlow do
            message = shorten(" ".join(str(error).split()), str, 200)
            raise Mistake(
                "A SavedModel must be one that TensorFlow can load. "
                f"Received: {received} ({type(error).__name__}: {message})."
            ) from error
        missing = [name for name in ("serve", "prepare", "class_names") if not self._has(name)]
        if missing:
            raise Mistake(
                "A SavedModel must be one of a run. "
                f"Received: {received}, which has no {' and no '.join(missing)}. "
                "python -m keras_rescnet.export --format saved_model writes one for a run."
            )
        self.class_names = [name.decode() for name in self.model.class_names().numpy()]
        prepared = self.model.prepare.concrete_functions[0].structured_outputs

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def prepare_all(encoded):
            return map_images(self.model.prepare, encoded, prepared)

        self._prepare_all = prepare_all
        self.thresholds = self.model.thresholds().numpy() if self._has("thresholds") else None

    def _has(self, name):
        return callable(getattr(self.model, name, None))

    def guesses(self, paths, count=5) -> Iterator[tuple[pathlib.Path, dict[str, float] | None]]:
        """Yields picture files with the likeliest classes of each and their probabilities.

        Of a model of tags, with those whose probability is at least their threshold; `None` for a
        file that is no picture. `BATCH` files are read at once, on all cores.

        Args:
            paths: The files.
            count: How many classes; of tags all are there.
        """
        for start in range(0, len(paths), BATCH):
            names = paths[start : start + BATCH]
            pictures = self._prepare(names)
            read = [pixels for pixels in pictures if pixels is not None]
            rows = iter(self.model.serve(np.stack(read)).numpy() if read else ())
            for name, pixels in zip(names, pictures, strict=True):
                yield name, None if pixels is None else self._likeliest(next(rows), count)

    def _prepare(self, paths):
        """Returns the pixels of picture files, `None` for those that are none."""
        try:
            return list(self._prepare_all([path.read_bytes() for path in paths]).numpy())
        except self._decoding_errors:
            return [None] if len(paths) == 1 else [self._prepare([path])[0] for path in paths]

    def _likeliest(self, probabilities, count):
        best = np.argsort(-probabilities, kind="stable")
        if self.thresholds is None:
            best = best[:count]
        else:
            best = best[probabilities[best] >= self.thresholds[best]]
        return {self.class_names[i]: float(probabilities[i]) for i in best}
