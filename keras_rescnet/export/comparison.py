"""Pictures to compare an export with its model on."""

import numpy as np

COUNT = 64


def pictures_of(run, data_dir=None):
    """Returns uint8 pictures `(N, H, W, C)`: the first of a run's test set, 64 at most.

    A run that was started from Python on a dataset of your own has no test set that can be read
    again; it gets pictures of noise.

    Args:
        run: A `FinishedRun`.
        data_dir: Where the data are; the run knows where they were.
    """
    from keras_rescnet import data
    from keras_rescnet.mistake import Mistake

    try:
        dataset = run.dataset
    except Mistake:
        noise = np.random.default_rng(0)
        return noise.integers(0, 256, (COUNT, *run.model.input_shape[1:]), "uint8")
    examples = data.load(dataset, "test", data_dir or run.data_dir)
    count = min(COUNT, len(examples))
    batch = next(data.evaluation_batches(examples, batch_size=count).as_numpy_iterator())
    return np.rint(examples.dataset.denormalize(batch["images"])).astype("uint8")
