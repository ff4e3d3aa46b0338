"""The one formula by which pixels become what a model is given."""

import numpy as np


def scale_and_offset(mean, std):
    """Returns what normalizes pixels in [0, 255] channel by channel, float32 `(C,)` each.

        (pixels / 255 - mean) / std = pixels scale + offset

    Args:
        mean: Mean of each channel, of pixels divided by 255.
        std: Standard deviation of each channel, likewise.
    """
    mean, std = np.asarray(mean, "float64"), np.asarray(std, "float64")
    return (1.0 / (255.0 * std)).astype("float32"), (-mean / std).astype("float32")
